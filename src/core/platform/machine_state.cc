#include "holdfast/platform/machine_state.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "kernel_file.h"

namespace holdfast::platform {
namespace {

std::optional<std::uint64_t> first_number(std::string_view text) {
  const std::size_t digit = text.find_first_of("0123456789");
  if (digit == std::string_view::npos) return std::nullopt;
  std::uint64_t v = 0;
  const auto [end, error] = std::from_chars(text.data() + digit, text.data() + text.size(), v);
  if (error != std::errc()) return std::nullopt;
  return v;
}

// Takes the text up to `stop` away from the front.
std::string_view take(std::string_view& text, char stop) {
  const std::size_t end = std::min(text.find(stop), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

// "Key:   123 kB" in bytes.
std::optional<std::uint64_t> kilobytes(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::string_view line = take(text, '\n');
    if (!line.starts_with(key)) continue;
    const auto v = first_number(line.substr(key.size()));
    if (v && *v <= UINT64_MAX / 1024) return *v * 1024;
  }
  return std::nullopt;
}

double ticks_to_seconds(std::uint64_t ticks) {
  return static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// "cpu3 user nice system idle iowait irq softirq steal ...": adds what is not idle. Guest time is
// part of user time already.
void add_processor(std::string_view fields, CpuTimes& out) {
  constexpr std::size_t kIdle = 3;
  constexpr std::size_t kWait = 4;
  constexpr std::size_t kSteal = 7;
  std::uint64_t busy = 0;
  std::uint64_t steal = 0;
  for (std::size_t i = 0; i <= kSteal && !fields.empty(); ++i) {
    while (fields.starts_with(' ')) fields.remove_prefix(1);
    const std::uint64_t v = first_number(take(fields, ' ')).value_or(0);
    if (i != kIdle && i != kWait) busy += v;
    if (i == kSteal) steal = v;
  }
  out.busy_seconds += ticks_to_seconds(busy);
  out.steal_seconds += ticks_to_seconds(steal);
  ++out.processors;
}

std::string proc_path(pid_t pid, const char* name, const std::string& root) {
  return root + "/proc/" + std::to_string(pid) + "/" + name;
}

std::optional<double> frequency_at(const std::string& path) {
  const auto text = read_kernel_file(path);
  const auto khz = text ? first_number(*text) : std::nullopt;
  if (!khz) return std::nullopt;
  return static_cast<double>(*khz) * 1000;
}

}  // namespace

CpuTimes CpuTimes::read(const std::vector<int>& cpus, const std::string& root) {
  CpuTimes out;
  const auto stat = read_kernel_file(root + "/proc/stat");
  std::string_view text = stat ? std::string_view(*stat) : std::string_view();
  while (!text.empty()) {
    std::string_view line = take(text, '\n');
    const std::string_view name = take(line, ' ');
    if (!name.starts_with("cpu") || name.size() == 3) continue;
    const auto cpu = first_number(name);
    if (cpu && std::find(cpus.begin(), cpus.end(), static_cast<int>(*cpu)) != cpus.end())
      add_processor(line, out);
  }
  return out;
}

std::vector<int> allowed_processors() {
  // The mask may be wider than cpu_set_t on large machines.
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

std::optional<double> process_cpu_seconds(pid_t pid, const std::string& root) {
  const auto stat = read_kernel_file(proc_path(pid, "stat", root));
  if (!stat) return std::nullopt;
  // The name in parentheses may hold anything; state is field 3, user and system time 14 and 15,
  // those of children 16 and 17.
  const std::size_t close = stat->rfind(')');
  if (close == std::string::npos) return std::nullopt;
  std::string_view fields = std::string_view(*stat).substr(close + 1);
  if (fields.starts_with(' ')) fields.remove_prefix(1);
  for (int field = 3; field < 14; ++field) take(fields, ' ');
  std::uint64_t ticks = 0;
  for (int field = 14; field <= 17; ++field) {
    const auto v = first_number(take(fields, ' '));
    if (!v) return std::nullopt;
    ticks += *v;
  }
  return ticks_to_seconds(ticks);
}

ProcessMemory ProcessMemory::read(pid_t pid, const std::string& root) {
  ProcessMemory m;
  if (const auto status = read_kernel_file(proc_path(pid, "status", root))) {
    m.resident_bytes = kilobytes(*status, "VmRSS:");
    m.resident_peak_bytes = kilobytes(*status, "VmHWM:");
  }
  if (const auto rollup = read_kernel_file(proc_path(pid, "smaps_rollup", root)))
    m.huge_page_bytes = kilobytes(*rollup, "AnonHugePages:");
  return m;
}

std::string transparent_huge_pages(const std::string& root) {
  const auto text = read_kernel_file(root + "/sys/kernel/mm/transparent_hugepage/enabled");
  if (!text) return {};
  const std::size_t open = text->find('[');
  const std::size_t close = text->find(']', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos) return {};
  return text->substr(open + 1, close - open - 1);
}

ClockState ClockState::read(int cpu, const std::string& root) {
  const std::string base = root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpufreq/";
  ClockState out;
  out.governor = read_kernel_file(base + "scaling_governor").value_or("");
  out.hertz = frequency_at(base + "scaling_cur_freq");
  out.hertz_max = frequency_at(base + "cpuinfo_max_freq");
  return out;
}

}  // namespace holdfast::platform
