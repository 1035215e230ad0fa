#include "holdfast/platform/machine_probe.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "holdfast/base/check.h"
#include "holdfast/base/units.h"
#include "holdfast/platform/huge_memory.h"
#include "holdfast/platform/machine_state.h"
#include "holdfast/platform/thread.h"

namespace holdfast::platform {
namespace {

using Clock = std::chrono::steady_clock;

// Several times the largest last-level caches of two sockets would be gigabytes; cores of a virtual
// machine see a slice, and a pass over this much leaves little of it in any cache.
constexpr std::uint64_t kReadBytes = 256 * kMiB;
// Between two looks at the clock.
constexpr std::size_t kReadStepWords = std::size_t{1} << 17;
constexpr std::chrono::milliseconds kReadTime{50};
// Long against a look at the clock, short against a time slice.
constexpr std::chrono::milliseconds kWorkTime{12};
// Samples are short, so that few of them are preempted; the median leaves those out.
constexpr int kBarrierSamples = 25;
constexpr int kMeetings = 200;
// Of the whole measurement: with one processor for two threads every meeting costs a time slice.
constexpr std::chrono::milliseconds kBarrierTime{40};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Sixteen independent sums, so that loads and not additions are what is waited for.
std::uint64_t read_words(std::span<const std::uint64_t> words) {
  std::uint64_t sums[16] = {};
  for (std::size_t i = 0; i + 16 <= words.size(); i += 16) {
    for (std::size_t j = 0; j < 16; ++j) sums[j] ^= words[i + j];
  }
  std::uint64_t all = 0;
  for (const std::uint64_t s : sums) all ^= s;
  return all;
}

// Two threads meet again and again. Each keeps its own sense.
class SpinBarrier {
 public:
  void meet(int& sense) {
    sense ^= 1;
    if (arrived_.fetch_add(1) == 1) {
      arrived_.store(0);
      sense_.store(sense);
      return;
    }
    while (sense_.load(std::memory_order_acquire) != sense) {
    }
  }

 private:
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> sense_{0};
};

}  // namespace

std::string_view placement_name(Placement placement) {
  switch (placement) {
    case Placement::kSingle:
      return "single";
    case Placement::kSmt:
      return "smt";
    case Placement::kNear:
      return "near";
    case Placement::kFar:
      return "far";
    case Placement::kBusy:
      return "busy";
  }
  return "busy";
}

// The bounds lie between the states that were seen on virtual machines: 16 ns for siblings, 33
// within a complex, 165 and more across; a meeting during which a thread was preempted takes
// microseconds. Where siblings are slow to meet, their arithmetic gives them away.
Placement MachineLimits::placement() const {
  if (threads < 2) return Placement::kSingle;
  if (barrier_ns <= 0 || barrier_ns > 600) return Placement::kBusy;
  if (barrier_ns < 24 || (barrier_ns < 60 && int8_scaling < 0.65)) return Placement::kSmt;
  return barrier_ns < 90 ? Placement::kNear : Placement::kFar;
}

struct MachineProbe::State {
  unsigned threads = 1;
  ProbeWork int8;
  ProbeWork f32;
  LargeBuffer buffer;
  std::atomic<std::uint64_t> sink{0};

  std::span<const std::uint64_t> words(unsigned index) {
    const std::size_t share = kReadBytes / sizeof(std::uint64_t) / threads;
    const auto* all = static_cast<const std::uint64_t*>(static_cast<const void*>(buffer.data()));
    return {all + index * share, share};
  }

  double read(unsigned index) {
    const std::span<const std::uint64_t> mine = words(index);
    const std::size_t step = std::min(kReadStepWords, mine.size());
    std::size_t at = 0;
    double bytes = 0;
    const auto start = Clock::now();
    while (Clock::now() - start < kReadTime) {
      if (at + step > mine.size()) at = 0;
      sink += read_words(mine.subspan(at, step));
      at += step;
      bytes += static_cast<double>(step * sizeof(std::uint64_t));
    }
    return bytes / seconds_since(start);
  }

  static double work(const ProbeWork& body) {
    double operations = 0;
    const auto start = Clock::now();
    while (Clock::now() - start < kWorkTime) operations += body();
    return operations / seconds_since(start);
  }

  // Runs body(first), body(first + 1), ... at the same time, each on a processor of its own where
  // there are enough; the sum of what they return.
  Result<double> together(unsigned first, unsigned count,
                          const std::function<double(unsigned)>& body) const {
    const std::vector<int> cores = one_cpu_per_core();
    std::vector<double> rates(count, 0.0);
    std::atomic<unsigned> ready{0};
    std::atomic<unsigned> wanted{count};
    std::vector<std::thread> running;
    Status failed = ok_status();
    for (unsigned i = 0; i < count && failed.ok(); ++i) {
      auto thread = start_thread("hf-probe", [&, i] {
        if (cores.size() >= threads)
          ignore_error(pin_current_thread(cores[first + i]), "a hint: the system places it then");
        ++ready;
        while (ready < wanted) std::this_thread::yield();
        if (wanted == count) rates[i] = body(i);
      });
      if (thread.ok()) {
        running.push_back(std::move(*thread));
      } else {
        failed = thread.error();
        wanted = 0;
      }
    }
    for (std::thread& t : running) t.join();
    if (!failed.ok()) return failed.error();
    double sum = 0;
    for (const double r : rates) sum += r;
    return sum;
  }

  Result<double> barrier_ns() const {
    SpinBarrier barrier;
    std::atomic<bool> stop{false};
    std::vector<double> samples;
    const auto body = [&](unsigned index) {
      int sense = 0;
      const auto start = Clock::now();
      while (true) {
        if (index == 0) {
          stop = samples.size() == kBarrierSamples ||
                 (!samples.empty() && Clock::now() - start > kBarrierTime);
        }
        barrier.meet(sense);  // thread 1 sees `stop` as it was set before
        if (stop) return 0.0;
        const auto begun = Clock::now();
        for (int i = 0; i < kMeetings; ++i) barrier.meet(sense);
        if (index == 0) samples.push_back(seconds_since(begun) / kMeetings * 1e9);
        barrier.meet(sense);  // so that `stop` is not written while thread 1 still reads it
      }
    };
    HF_TRY(together(0, 2, body));
    std::nth_element(samples.begin(),
                     samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2),
                     samples.end());
    return samples[samples.size() / 2];
  }
};

MachineProbe::MachineProbe(std::unique_ptr<State> state) : state_(std::move(state)) {}
MachineProbe::MachineProbe(MachineProbe&&) noexcept = default;
MachineProbe& MachineProbe::operator=(MachineProbe&&) noexcept = default;
MachineProbe::~MachineProbe() = default;

Result<MachineProbe> MachineProbe::create(unsigned threads, ProbeWork int8, ProbeWork f32) {
  HF_CHECK(threads >= 1);
  auto state = std::make_unique<State>();
  state->threads = threads;
  state->int8 = std::move(int8);
  state->f32 = std::move(f32);
  HF_TRY_ASSIGN(state->buffer, LargeBuffer::allocate(kReadBytes, nullptr, {}));
  // Written, or all pages would be the one of zeros, which every cache holds.
  auto* words = static_cast<std::uint64_t*>(static_cast<void*>(state->buffer.data()));
  for (std::size_t i = 0; i < kReadBytes / sizeof(std::uint64_t); i += 8) words[i] = i;
  return MachineProbe(std::move(state));
}

Result<MachineLimits> MachineProbe::measure() {
  State& s = *state_;
  MachineLimits out;
  out.threads = s.threads;
  double alone = 0;
  const unsigned singles = std::min(2u, s.threads);
  // With one processor for both, every meeting would cost a time slice and tell nothing.
  if (s.threads > 1 && allowed_processors().size() > 1) {
    HF_TRY_ASSIGN(out.barrier_ns, s.barrier_ns());
  }
  for (unsigned i = 0; i < singles; ++i) {
    HF_TRY_ASSIGN(const double one,
                  s.together(i, 1, [&](unsigned) { return State::work(s.int8); }));
    alone += one / singles;
  }
  HF_TRY_ASSIGN(out.int8_ops_per_second,
                s.together(0, s.threads, [&](unsigned) { return State::work(s.int8); }));
  HF_TRY_ASSIGN(out.f32_ops_per_second,
                s.together(0, s.threads, [&](unsigned) { return State::work(s.f32); }));
  HF_TRY_ASSIGN(out.memory_bytes_per_second,
                s.together(0, s.threads, [&](unsigned i) { return s.read(i); }));
  if (alone > 0) out.int8_scaling = out.int8_ops_per_second / (alone * s.threads);
  return out;
}

}  // namespace holdfast::platform
