// The limits of this machine, with the kernels that the engine uses: the probe, and what was seen
// around one measurement.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/cli/work_share.h"
#include "holdfast/json/json.h"
#include "holdfast/kernels/kernel_table.h"
#include "holdfast/platform/machine_probe.h"
#include "holdfast/platform/machine_state.h"

namespace holdfast::cli {

// The probe of `threads` threads with the peak loops of that table, which must live as long.
Result<platform::MachineProbe> open_probe(const kernels::KernelTable& table, unsigned threads);

// What the machine did while something was measured.
struct Observation {
  platform::MachineLimits before;
  platform::MachineLimits after;
  double others_share = 0;  // of the processors' time: everybody else, the hypervisor included
  double steal_share = 0;   // the hypervisor alone
  std::string huge_pages;   // the system's setting; empty: not told
  platform::ClockState clock;

  // Means of both.
  platform::MachineLimits limits() const;
  WorkLimits work_limits() const;
  // A placement's name, "busy" if it was so at one end, or "moved".
  std::string placement() const;
  // One state all the time, not preempted, and nearly alone: other figures may be set beside this.
  bool comparable() const;
  json::Object to_json() const;
};
// The share that others may have in a comparable measurement.
inline constexpr double kOthersShareMax = 0.1;

// Measures around something. Owner: the command (thread-compatible).
class Observer {
 public:
  // `probe` must live as long.
  explicit Observer(platform::MachineProbe& probe);
  // The engine, whose CPU time is not others'; 0: none. Children that were waited for are counted
  // anyway.
  Status begin(pid_t engine);
  Result<Observation> finish();

 private:
  struct Moment {
    platform::CpuTimes cpus;
    double own_seconds = 0;
    double wall_seconds = 0;
  };
  Moment now() const;
  platform::MachineProbe& probe_;
  std::vector<int> processors_;
  pid_t engine_ = 0;
  platform::MachineLimits before_;
  Moment start_;
};

// "near (33 ns), bus 30.1 GB/s, int8 dots 455 GOPS, f32 fma 120 GFLOPS".
std::string describe(const platform::MachineLimits& limits, std::string_view placement);

}  // namespace holdfast::cli
