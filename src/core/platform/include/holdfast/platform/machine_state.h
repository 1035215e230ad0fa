// What else happens on this machine while something is measured, and how its memory and clock are
// set: from /proc and /sys. Whatever the kernel does not tell is absent. `root` is prepended to
// /proc and /sys, so that tests can show another machine.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::platform {

// CPU time since boot of the processors that this process may use.
struct CpuTimes {
  double busy_seconds = 0;   // of everybody, time stolen by the hypervisor included
  double steal_seconds = 0;  // stolen alone
  unsigned processors = 0;   // 0: not known

  // `cpus` are the processors to count.
  static CpuTimes read(const std::vector<int>& cpus, const std::string& root = {});
};

// Processors in the affinity mask of the calling thread, ascending.
std::vector<int> allowed_processors();

// CPU time of all threads of a process, and of its children that it has waited for; nullopt when it
// is gone or hidden.
std::optional<double> process_cpu_seconds(pid_t pid, const std::string& root = {});

struct ProcessMemory {
  std::optional<std::uint64_t> resident_bytes;
  std::optional<std::uint64_t> resident_peak_bytes;
  // Of them in huge pages. Hidden from other users' processes and, without CAP_SYS_PTRACE, from
  // those that cannot be dumped.
  std::optional<std::uint64_t> huge_page_bytes;

  static ProcessMemory read(pid_t pid, const std::string& root = {});
};

// "always", "madvise" or "never"; empty where the kernel does not tell.
std::string transparent_huge_pages(const std::string& root = {});

struct ClockState {
  std::string governor;         // "performance", "schedutil"; empty: not told, as in most VMs
  std::optional<double> hertz;  // now, of the first processor
  std::optional<double> hertz_max;

  static ClockState read(int cpu, const std::string& root = {});
};

}  // namespace holdfast::platform
