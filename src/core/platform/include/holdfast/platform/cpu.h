// What this machine offers the process: instruction sets, cores within affinity and cgroup, memory
// within cgroup.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::platform {

// Instruction sets that both the processor has and the operating system saves. Absent on other
// architectures.
struct CpuFeatures {
  std::string vendor;  // "AuthenticAMD"
  std::string model;   // "AMD EPYC 9654 96-Core Processor"; may be empty
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool bmi2 = false;
  bool avx_vnni = false;
  bool avx512f = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool avx512dq = false;
  bool avx512vnni = false;
  bool avx512bf16 = false;
  bool avx512vbmi = false;
  bool avx512fp16 = false;
  bool amx_tile = false;
  bool amx_int8 = false;
  bool amx_bf16 = false;
  bool neon = false;
  bool dotprod = false;
  bool i8mm = false;
  bool fp16_arith = false;  // half-precision arithmetic on aarch64
  bool bf16 = false;        // aarch64
  bool sve = false;

  // Thread-safe; looks once. The first call asks the system for the AMX tile registers on behalf of
  // the process, so it belongs before a system call filter.
  static const CpuFeatures& detect();
};

// Numbers of processors as the kernel writes them and as taskset reads them: "0-3,8". In the order
// of the text; kInvalidArgument for anything else, for one that is named twice, and for an empty
// list.
Result<std::vector<int>> parse_cpu_list(std::string_view text);

// `root` is prepended to /proc and /sys, so that tests can show another machine.
struct CpuTopology {
  int logical_allowed = 1;             // hardware threads in the affinity mask
  int physical_allowed = 1;            // distinct cores among them
  int numa_nodes = 1;                  // nodes that these are on
  std::optional<double> cgroup_quota;  // processors' worth of time, from v1 or v2
  std::vector<int> allowed;            // the affinity mask, ascending
  std::vector<int> core_cpus;          // one of each core, ascending within a node, node after node

  // Physical cores, not more than the quota rounded down, at least 1: the default number of compute
  // threads.
  int usable_cores() const;
  // Hardware threads, not more than the quota rounded up, at least 1: how many threads can run at
  // the same time.
  int usable_cpus() const;

  static CpuTopology detect(const std::string& root = {});
};

struct MemoryLimits {
  std::uint64_t host_total_bytes = 0;
  std::uint64_t host_available_bytes = 0;           // as MemAvailable
  std::optional<std::uint64_t> cgroup_limit_bytes;  // the tightest on the way up
  std::uint64_t cgroup_available_bytes =
      UINT64_MAX;  // the tightest of limit - used, page cache not counted as used

  // What the process could ever use, and what it could use now.
  std::uint64_t limit_bytes() const;
  std::uint64_t available_bytes() const;

  static MemoryLimits detect(const std::string& root = {});
};

}  // namespace holdfast::platform
