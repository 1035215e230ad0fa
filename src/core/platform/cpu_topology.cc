#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <string_view>

#include "holdfast/platform/cpu.h"
#include "holdfast/platform/machine_state.h"
#include "holdfast/platform/thread.h"
#include "kernel_file.h"

namespace holdfast::platform {
namespace {

// More than any kernel is built for.
constexpr int kCpusMax = 65536;

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

// Another machine's root says which processors are allowed; where it does not, and on this machine,
// the system is asked.
std::vector<int> allowed_cpus(const std::string& root) {
  if (root.empty()) return allowed_processors();
  const auto status = read_kernel_file(root + "/proc/self/status");
  constexpr std::string_view kKey = "Cpus_allowed_list:";
  const std::size_t at = status ? status->find(kKey) : std::string::npos;
  if (at == std::string::npos) return allowed_processors();
  std::string_view list = std::string_view(*status).substr(at + kKey.size());
  list = list.substr(0, list.find('\n'));
  list.remove_prefix(std::min(list.find_first_not_of(" \t"), list.size()));
  const auto cpus = parse_cpu_list(list);
  return cpus.ok() ? *cpus : std::vector<int>();
}

// Processor to NUMA node; empty on machines that have no nodes.
std::map<int, int> nodes_of_cpus(const std::string& root) {
  std::map<int, int> out;
  const std::string base = root + "/sys/devices/system/node/";
  const auto online = read_kernel_file(base + "online");
  const auto nodes =
      online ? parse_cpu_list(*online) : Result<std::vector<int>>(std::vector<int>());
  if (!nodes.ok()) return out;
  for (const int node : *nodes) {
    const auto list = read_kernel_file(base + "node" + std::to_string(node) + "/cpulist");
    const auto cpus = parse_cpu_list(list.value_or(""));
    if (!cpus.ok()) continue;  // a node of memory alone has an empty list
    for (const int cpu : *cpus) out[cpu] = node;
  }
  return out;
}

}  // namespace

Result<std::vector<int>> parse_cpu_list(std::string_view text) {
  const auto bad = [&] {
    return invalid_argument("not a list of processors: '" + std::string(text.substr(0, 40)) + "'")
        .with_hint("write numbers and ranges, such as 0-3,8");
  };
  std::vector<int> out;
  std::vector<bool> seen(kCpusMax);
  std::string_view rest = text;
  const auto number = [&rest](int& value) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc() || value < 0 || value >= kCpusMax) return false;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    return true;
  };
  while (true) {
    int first = 0;
    if (!number(first)) return bad();
    int last = first;
    if (rest.starts_with('-')) {
      rest.remove_prefix(1);
      if (!number(last) || last < first) return bad();
    }
    for (int cpu = first; cpu <= last; ++cpu) {
      if (seen[static_cast<std::size_t>(cpu)]) return bad();
      seen[static_cast<std::size_t>(cpu)] = true;
      out.push_back(cpu);
    }
    if (rest.empty()) return out;
    if (!rest.starts_with(',')) return bad();
    rest.remove_prefix(1);
  }
}

std::vector<int> one_cpu_per_core() { return CpuTopology::detect().core_cpus; }

int CpuTopology::usable_cores() const {
  int cores = physical_allowed;
  if (cgroup_quota) cores = std::min(cores, static_cast<int>(std::floor(*cgroup_quota + 1e-9)));
  return std::max(cores, 1);
}

int CpuTopology::usable_cpus() const {
  int cpus = logical_allowed;
  if (cgroup_quota) cpus = std::min(cpus, static_cast<int>(std::ceil(*cgroup_quota - 1e-9)));
  return std::max(cpus, 1);
}

CpuTopology CpuTopology::detect(const std::string& root) {
  CpuTopology t;
  t.allowed = allowed_cpus(root);
  const std::map<int, int> nodes = nodes_of_cpus(root);
  const auto node_of = [&](int cpu) {
    const auto it = nodes.find(cpu);
    return it == nodes.end() ? 0 : it->second;
  };
  std::set<std::string> cores;
  std::set<int> used_nodes;
  for (const int cpu : t.allowed) {
    if (cores.insert(core_identity(root, cpu)).second) t.core_cpus.push_back(cpu);
    used_nodes.insert(node_of(cpu));
  }
  std::ranges::stable_sort(t.core_cpus, {}, node_of);
  if (!t.allowed.empty()) {
    t.logical_allowed = static_cast<int>(t.allowed.size());
    t.physical_allowed = static_cast<int>(t.core_cpus.size());
    t.numa_nodes = static_cast<int>(used_nodes.size());
  }
  for (const std::string& directory : cgroup_directories(root, "cpu")) {
    const auto quota = group_quota(directory);
    if (quota && (!t.cgroup_quota || *quota < *t.cgroup_quota)) t.cgroup_quota = quota;
  }
  return t;
}

}  // namespace holdfast::platform
