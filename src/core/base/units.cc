#include "holdfast/base/units.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <vector>

namespace holdfast {

namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array kSizeUnits = {Unit{"", 1},
                                   Unit{"B", 1},
                                   Unit{"KiB", double(kKiB)},
                                   Unit{"MiB", double(kMiB)},
                                   Unit{"GiB", double(kGiB)},
                                   Unit{"KB", 1e3},
                                   Unit{"MB", 1e6},
                                   Unit{"GB", 1e9}};
constexpr std::array kTimeUnits = {Unit{"ms", 1}, Unit{"s", 1e3}, Unit{"m", 60e3},
                                   Unit{"h", 3600e3}, Unit{"d", 86400e3}};

// Largest value that a double counts exactly; far beyond any real size or time.
constexpr double kValueMax = 9007199254740992.0;

template <std::size_t N>
Result<double> parse_with_unit(std::string_view text, const std::array<Unit, N>& units,
                               const char* accepted) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  const auto found =
      std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.name == unit; });
  if (error != std::errc() || found == units.end() || !(value >= 0)) {
    return invalid_argument("'" + std::string(text) + "' is not understood; write " + accepted);
  }
  const double scaled = value * found->factor;
  if (!(scaled <= kValueMax)) return invalid_argument("'" + std::string(text) + "' is too large");
  return scaled;
}

}  // namespace

Result<std::uint64_t> parse_size_bytes(std::string_view text) {
  HF_TRY_ASSIGN(
      const double bytes,
      parse_with_unit(text, kSizeUnits, "a number with B, KiB, MiB or GiB, such as 8MiB"));
  return static_cast<std::uint64_t>(bytes);
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return std::chrono::milliseconds(0);
  HF_TRY_ASSIGN(const double ms,
                parse_with_unit(text, kTimeUnits, "a number with ms, s, m, h or d, such as 30s"));
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::llround(ms)));
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr const char* kNames[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  std::size_t i = 0;
  while (value >= 999.5 && i + 1 < std::size(kNames)) {
    value /= 1000;
    ++i;
  }
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, i == 0 || value >= 99.5 ? "%.0f %s" : "%.1f %s", value,
                kNames[i]);
  return buffer;
}

std::string format_duration(std::chrono::milliseconds duration) {
  const double s = static_cast<double>(duration.count()) / 1000;
  char buffer[48];
  if (s < 1) {
    std::snprintf(buffer, sizeof buffer, "%.0fms", s * 1000);
  } else if (s < 60) {
    std::snprintf(buffer, sizeof buffer, "%.1fs", s);
  } else {
    const auto whole = static_cast<long long>(s);
    if (whole < 3600) {
      std::snprintf(buffer, sizeof buffer, "%lldm%02llds", whole / 60, whole % 60);
    } else {
      std::snprintf(buffer, sizeof buffer, "%lldh%02lldm", whole / 3600, whole % 3600 / 60);
    }
  }
  return buffer;
}

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit) return limit + 1;
  std::vector<std::size_t> before(a.size() + 1), previous(a.size() + 1), current(a.size() + 1);
  for (std::size_t i = 0; i <= a.size(); ++i) previous[i] = i;
  for (std::size_t j = 1; j <= b.size(); ++j) {
    current[0] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      current[i] = std::min({previous[i] + 1, current[i - 1] + 1, previous[i - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[i] = std::min(current[i], before[i - 2] + 1);
      }
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return std::min(previous[a.size()], limit + 1);
}

}  // namespace holdfast
