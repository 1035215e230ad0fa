#include "observation.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "output.h"

namespace holdfast::cli {

namespace {

// A few microseconds of work at the speed of fast cores, well below a millisecond on slow ones.
constexpr std::uint32_t kProbeRounds = 2000;

double dot_work(const kernels::KernelTable& table) {
  // Ones, that no arithmetic could depend on; on the stack, that no thread waits for another.
  std::array<std::uint8_t, 64> bytes;
  bytes.fill(1);
  std::int32_t sum = 0;
  const std::uint64_t operations = table.peak_dot(bytes.data(), kProbeRounds, &sum);
  // Half the operations are additions of one: the sum keeps the work from being left out.
  return sum == 0 ? 0 : static_cast<double>(operations);
}

double fma_work(const kernels::KernelTable& table) {
  float sum = 0;
  const std::uint64_t operations = table.peak_fma(1.0f, kProbeRounds, &sum);
  return sum == 0 ? 0 : static_cast<double>(operations);
}

}  // namespace

Result<platform::MachineProbe> open_probe(const kernels::KernelTable& table, unsigned threads) {
  return platform::MachineProbe::create(
      std::max(1u, threads), [&table] { return dot_work(table); },
      [&table] { return fma_work(table); });
}

platform::MachineLimits Observation::limits() const {
  platform::MachineLimits m = before;
  const auto mean = [this](double platform::MachineLimits::*field) {
    return (before.*field + after.*field) / 2;
  };
  m.memory_bytes_per_second = mean(&platform::MachineLimits::memory_bytes_per_second);
  m.int8_ops_per_second = mean(&platform::MachineLimits::int8_ops_per_second);
  m.int8_scaling = mean(&platform::MachineLimits::int8_scaling);
  m.f32_ops_per_second = mean(&platform::MachineLimits::f32_ops_per_second);
  m.barrier_ns = mean(&platform::MachineLimits::barrier_ns);
  return m;
}

WorkLimits Observation::work_limits() const {
  const platform::MachineLimits m = limits();
  return {m.memory_bytes_per_second, m.int8_ops_per_second, m.f32_ops_per_second};
}

std::string Observation::placement() const {
  using platform::Placement;
  const bool busy = before.placement() == Placement::kBusy || after.placement() == Placement::kBusy;
  if (!busy && before.placement() != after.placement()) return "moved";
  return std::string(platform::placement_name(busy ? Placement::kBusy : before.placement()));
}

bool Observation::comparable() const {
  return before.placement() == after.placement() &&
         before.placement() != platform::Placement::kBusy && others_share <= kOthersShareMax;
}

json::Object Observation::to_json() const {
  const platform::MachineLimits m = limits();
  json::Object out{{"memory_bytes_per_second", m.memory_bytes_per_second},
                   {"int8_ops_per_second", m.int8_ops_per_second},
                   {"f32_ops_per_second", m.f32_ops_per_second},
                   {"int8_scaling", m.int8_scaling},
                   {"barrier_ns", m.barrier_ns},
                   {"placement", placement()},
                   {"others_share", others_share},
                   {"steal_share", steal_share},
                   {"comparable", comparable()}};
  if (!huge_pages.empty()) out.set("huge_pages", huge_pages);
  if (!clock.governor.empty()) out.set("governor", clock.governor);
  if (clock.hertz) out.set("hertz", *clock.hertz);
  return out;
}

Observer::Observer(platform::MachineProbe& probe)
    : probe_(probe), processors_(platform::allowed_processors()) {}

Observer::Moment Observer::now() const {
  Moment m;
  m.cpus = platform::CpuTimes::read(processors_);
  m.own_seconds = platform::process_cpu_seconds(::getpid()).value_or(0);
  if (engine_ > 0) m.own_seconds += platform::process_cpu_seconds(engine_).value_or(0);
  m.wall_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  return m;
}

Status Observer::begin(pid_t engine) {
  engine_ = engine;
  HF_TRY_ASSIGN(before_, probe_.measure());
  start_ = now();
  return ok_status();
}

Result<Observation> Observer::finish() {
  const Moment end = now();
  Observation o;
  o.before = before_;
  HF_TRY_ASSIGN(o.after, probe_.measure());
  o.huge_pages = platform::transparent_huge_pages();
  // After the probe, whose work brings a clock up that went down between tests.
  o.clock = platform::ClockState::read(processors_.empty() ? 0 : processors_.front());
  const double all = (end.wall_seconds - start_.wall_seconds) * end.cpus.processors;
  if (all > 0) {
    const double busy = end.cpus.busy_seconds - start_.cpus.busy_seconds;
    const double own = end.own_seconds - start_.own_seconds;
    o.others_share = std::clamp((busy - own) / all, 0.0, 1.0);
    o.steal_share =
        std::clamp((end.cpus.steal_seconds - start_.cpus.steal_seconds) / all, 0.0, 1.0);
  }
  return o;
}

std::string describe(const platform::MachineLimits& m, std::string_view placement) {
  std::string out(placement);
  if (m.barrier_ns > 0) out += " (" + fixed(m.barrier_ns, 0) + " ns)";
  return out + ", bus " + fixed(m.memory_bytes_per_second / 1e9, 1) + " GB/s, int8 dots " +
         fixed(m.int8_ops_per_second / 1e9, 0) + " GOPS, f32 fma " +
         fixed(m.f32_ops_per_second / 1e9, 0) + " GFLOPS";
}

}  // namespace holdfast::cli
