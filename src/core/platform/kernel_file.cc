#include "kernel_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {

std::optional<std::string> read_kernel_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return std::nullopt;
  std::string text(64 * 1024, '\0');
  std::size_t used = 0;
  while (used < text.size()) {
    const ssize_t n = ::read(fd.get(), text.data() + used, text.size() - used);
    if (n < 0) return std::nullopt;
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
  }
  text.resize(used);
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::optional<std::uint64_t> parse_u64(std::string_view text) {
  std::uint64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return v;
}

std::optional<std::uint64_t> read_u64(const std::string& path) {
  const auto text = read_kernel_file(path);
  return text ? parse_u64(*text) : std::nullopt;
}

std::vector<std::string> cgroup_directories(const std::string& root, std::string_view controller) {
  const auto table = read_kernel_file(root + "/proc/self/cgroup");
  std::vector<std::string> out;
  std::string_view text = table ? std::string_view(*table) : std::string_view();
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string list = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    const bool v2 = list == ",,";
    if (!v2 && list.find("," + std::string(controller) + ",") == std::string::npos) continue;
    const std::string base =
        root + "/sys/fs/cgroup" + (v2 ? std::string() : "/" + std::string(controller));
    // Inside a container the path may belong to the host's view: its own mount root is then the
    // last to try.
    std::string path(line.substr(second + 1));
    while (path.size() > 1) {
      out.push_back(base + path);
      path.resize(path.rfind('/'));
    }
    out.push_back(base);
  }
  return out;
}

}  // namespace holdfast::platform
