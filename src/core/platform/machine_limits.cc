#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "holdfast/platform/cpu.h"
#include "kernel_file.h"

namespace holdfast::platform {
namespace {

// "key value" or "key: value kB" lines.
std::optional<std::uint64_t> find_field(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(key)) continue;
    line.remove_prefix(key.size());
    if (line.empty() || (line.front() != ' ' && line.front() != ':' && line.front() != '\t'))
      continue;
    const std::size_t digit = line.find_first_of("0123456789");
    if (digit != std::string_view::npos) return parse_u64(line.substr(digit));
  }
  return std::nullopt;
}

struct GroupMemory {
  std::optional<std::uint64_t> limit;
  std::uint64_t used = 0;
  std::uint64_t reclaimable = 0;
};

GroupMemory group_memory(const std::string& directory) {
  GroupMemory m;
  const auto statistics = read_kernel_file(directory + "/memory.stat");
  const std::string_view stat = statistics ? std::string_view(*statistics) : std::string_view();
  if (const auto v2 = read_kernel_file(directory + "/memory.max")) {
    m.limit = parse_u64(*v2);  // "max" has no number
    m.used = read_u64(directory + "/memory.current").value_or(0);
    m.reclaimable =
        find_field(stat, "inactive_file").value_or(0) + find_field(stat, "active_file").value_or(0);
    return m;
  }
  m.limit = read_u64(directory + "/memory.limit_in_bytes");
  // v1 writes "no limit" as the largest page-aligned number.
  if (m.limit && *m.limit >= (std::uint64_t{1} << 62)) m.limit.reset();
  m.used = read_u64(directory + "/memory.usage_in_bytes").value_or(0);
  m.reclaimable = find_field(stat, "total_inactive_file").value_or(0) +
                  find_field(stat, "total_active_file").value_or(0);
  return m;
}

}  // namespace

std::uint64_t MemoryLimits::limit_bytes() const {
  return std::min(host_total_bytes, cgroup_limit_bytes.value_or(UINT64_MAX));
}

std::uint64_t MemoryLimits::available_bytes() const {
  return std::min(host_available_bytes, cgroup_available_bytes);
}

MemoryLimits MemoryLimits::detect(const std::string& root) {
  MemoryLimits m;
  if (const auto text = read_kernel_file(root + "/proc/meminfo")) {
    m.host_total_bytes = find_field(*text, "MemTotal").value_or(0) * 1024;
    m.host_available_bytes =
        find_field(*text, "MemAvailable").value_or(m.host_total_bytes / 1024) * 1024;
  } else {
    m.host_total_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                         static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    m.host_available_bytes = m.host_total_bytes;
  }
  for (const std::string& directory : cgroup_directories(root, "memory")) {
    const GroupMemory g = group_memory(directory);
    if (!g.limit) continue;
    m.cgroup_limit_bytes = std::min(m.cgroup_limit_bytes.value_or(UINT64_MAX), *g.limit);
    const std::uint64_t held = g.used - std::min(g.used, g.reclaimable);
    m.cgroup_available_bytes =
        std::min(m.cgroup_available_bytes, *g.limit - std::min(*g.limit, held));
  }
  return m;
}

}  // namespace holdfast::platform
