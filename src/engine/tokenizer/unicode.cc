#include "unicode.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>

namespace holdfast::tokenizer {

namespace {

struct GroupStart {
  char32_t first;
  std::uint8_t groups;
};
struct LowerRun {
  char32_t first, last;
  std::uint32_t step;
  std::int32_t distance;
};
struct BaseRun {
  char32_t first, last, base;
};

#include "unicode_tables.inc"

constexpr std::size_t kCodePoints = 0x110000;

// One byte per code point: 1.1 MB written once, against a binary search for every character of
// every text.
using GroupTable = std::array<std::uint8_t, kCodePoints>;

std::unique_ptr<const GroupTable> make_group_table() {
  auto table = std::make_unique<GroupTable>();
  for (std::size_t i = 0; i < std::size(kGroupStarts); ++i) {
    const std::size_t end =
        i + 1 < std::size(kGroupStarts) ? kGroupStarts[i + 1].first : kCodePoints;
    std::fill(table->begin() + kGroupStarts[i].first, table->begin() + static_cast<long>(end),
              kGroupStarts[i].groups);
  }
  return table;
}

template <typename Run, std::size_t N>
const Run* find_run(const Run (&runs)[N], char32_t c) {
  const Run* run = std::lower_bound(std::begin(runs), std::end(runs), c,
                                    [](const Run& r, char32_t v) { return r.last < v; });
  return run != std::end(runs) && run->first <= c ? run : nullptr;
}

// The code point at `pos` and its length; length 0 where the bytes form none.
struct Decoded {
  char32_t code_point;
  std::size_t length;
};

Decoded decode_one(std::string_view text, std::size_t pos) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[pos + i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xC0 || lead >= 0xF8) return {0, 0};
  const std::size_t length = announced_length(text[pos]);
  if (pos + length > text.size()) return {0, 0};
  char32_t c = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {0, 0};
    c = c << 6 | (byte(i) & 0x3Fu);
  }
  if (c >= kCodePoints) return {0, 0};
  return {c, length};
}

}  // namespace

std::uint8_t group_of(char32_t c) {
  static const std::unique_ptr<const GroupTable> table = make_group_table();
  return c < kCodePoints ? (*table)[c] : std::uint8_t{0};
}

char32_t to_lower(char32_t c) {
  const LowerRun* run = find_run(kLowerRuns, c);
  if (run == nullptr || (c - run->first) % run->step != 0) return c;
  return static_cast<char32_t>(static_cast<std::int32_t>(c) + run->distance);
}

char32_t base_of(char32_t c) {
  const BaseRun* run = find_run(kBaseRuns, c);
  return run == nullptr ? c : run->base;
}

std::vector<char32_t> decode_lenient(std::string_view text) {
  std::vector<char32_t> out;
  out.reserve(text.size());
  for (std::size_t pos = 0; pos < text.size();) {
    const Decoded d = decode_one(text, pos);
    out.push_back(d.length == 0 ? U'\uFFFD' : d.code_point);
    pos += d.length == 0 ? 1 : d.length;
  }
  return out;
}

}  // namespace holdfast::tokenizer
