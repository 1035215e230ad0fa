#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <vector>

#include "holdfast/platform/cpu.h"
#include "holdfast/platform/thread.h"
#include "kernel_file.h"

namespace holdfast::platform {
namespace {

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

// The directories of this process's group, from its own up to the mount's root: a limit anywhere on
// the way binds.
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

std::optional<double> group_quota(const std::string& directory) {
  if (const auto text =
          read_kernel_file(directory + "/cpu.max")) {  // v2: "max 100000" or "200000 100000"
    const std::size_t space = text->find(' ');
    const auto quota = parse_u64(*text);
    const auto period = space == std::string::npos
                            ? std::nullopt
                            : parse_u64(std::string_view(*text).substr(space + 1));
    if (quota && period && *period > 0) {
      return static_cast<double>(*quota) / static_cast<double>(*period);
    }
    return std::nullopt;
  }
  const auto quota =
      read_u64(directory + "/cpu.cfs_quota_us");  // v1: -1 means none, which parse_u64 refuses
  const auto period = read_u64(directory + "/cpu.cfs_period_us");
  if (!quota || !period || *period == 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::string core_identity(const std::string& root, int cpu) {
  const std::string base =
      root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
  const auto package = read_kernel_file(base + "physical_package_id");
  const auto core = read_kernel_file(base + "core_id");
  if (!package || !core) return "cpu" + std::to_string(cpu);
  return *package + "/" + *core;
}

// The mask may be wider than cpu_set_t on large machines.
std::vector<int> allowed_cpus() {
  for (std::size_t cpus = 1024; cpus <= 65536; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    std::vector<int> out;
    const bool ok = ::sched_getaffinity(0, bytes, set) == 0;
    for (std::size_t i = 0; ok && i < cpus; ++i) {
      if (CPU_ISSET_S(i, bytes, set)) out.push_back(static_cast<int>(i));
    }
    CPU_FREE(set);
    if (ok) return out;
  }
  return {};
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

std::vector<int> one_cpu_per_core() {
  std::set<std::string> seen;
  std::vector<int> out;
  for (const int cpu : allowed_cpus()) {
    if (seen.insert(core_identity({}, cpu)).second) out.push_back(cpu);
  }
  return out;
}

int CpuTopology::usable_cores() const {
  int cores = physical_allowed;
  if (cgroup_quota) cores = std::min(cores, static_cast<int>(std::floor(*cgroup_quota + 1e-9)));
  return std::max(cores, 1);
}

CpuTopology CpuTopology::detect(const std::string& root) {
  CpuTopology t;
  const std::vector<int> cpus = allowed_cpus();
  std::set<std::string> cores;
  for (const int cpu : cpus) cores.insert(core_identity(root, cpu));
  if (!cpus.empty()) {
    t.logical_allowed = static_cast<int>(cpus.size());
    t.physical_allowed = static_cast<int>(cores.size());
  }
  for (const std::string& directory : cgroup_directories(root, "cpu")) {
    const auto quota = group_quota(directory);
    if (quota && (!t.cgroup_quota || *quota < *t.cgroup_quota)) t.cgroup_quota = quota;
  }
  return t;
}

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
