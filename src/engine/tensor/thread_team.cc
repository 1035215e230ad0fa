#include "holdfast/tensor/thread_team.h"

#include <system_error>
#include <thread>

#include "holdfast/platform/clock.h"
#include "holdfast/platform/futex.h"
#include "holdfast/platform/thread.h"

namespace holdfast::tensor {

namespace {

// Some 20 to 50 us of pauses: longer than any stage's imbalance on an undisturbed machine, shorter
// than a scheduler quantum, so a thread whose peer was descheduled gives its CPU away.
constexpr std::uint32_t kSpinLimit = 1500;
// With more threads than CPUs the peer that we wait for may need this very CPU.
constexpr std::uint32_t kSpinLimitOversubscribed = 16;
// Beside a busy process, time spent spinning is taken from the thread's own fair share of its CPU,
// and is missing later. So a wait that spun in vain halves the next ones' patience, down to some
// microseconds, and each that did not gives a little back.
constexpr std::uint32_t kSpinFloor = 400;
constexpr std::uint32_t kSpinGain = 64;
// More threads than CPUs: the CPU is offered to whoever waits for it. A switch to a peer costs a
// tenth of a futex, which is a system call of ours, one of the waker's, and a wake-up on another
// CPU. As many turns as other threads of the team may share this CPU, a few times over.
constexpr std::uint32_t kYieldLimit = 32;
// A peer's stage takes microseconds. Who kept the CPU for longer than this is another process, and
// would be given its whole time slice with every offer: then no more offers for a while.
constexpr std::int64_t kStrangerAfterNs = 700'000;
constexpr std::uint32_t kWaitsWithoutYield = 64;

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

}  // namespace

struct ThreadTeam::Impl {
  std::vector<std::thread> threads;
};

ThreadTeam::ThreadTeam(std::size_t threads, bool oversubscribed, std::span<const int> cpus)
    : threads_(threads),
      oversubscribed_(oversubscribed),
      spin_limit_(oversubscribed ? kSpinLimitOversubscribed : kSpinLimit),
      cpus_(cpus.begin(), cpus.end()),
      shares_(threads),
      caller_(this, 0, threads),
      impl_(std::make_unique<Impl>()) {
  caller_.patience_.spins = spin_limit_;
}

Result<std::unique_ptr<ThreadTeam>> ThreadTeam::create(std::size_t threads, std::size_t usable_cpus,
                                                       std::span<const int> cpus) {
  if (threads == 0 || threads > kThreadsMax) {
    return invalid_argument("threads must be between 1 and " + std::to_string(kThreadsMax));
  }
  std::unique_ptr<ThreadTeam> team(new ThreadTeam(threads, threads > usable_cpus, cpus));
  HF_TRY(team->start());
  return team;
}

Status ThreadTeam::start() {
  impl_->threads.reserve(threads_ - 1);
  for (std::size_t i = 1; i < threads_; ++i) {
    try {
      impl_->threads.emplace_back([this, i] { worker_main(i); });
    } catch (const std::system_error& e) {
      return exhausted("cannot start a compute thread", e.what());
    }
  }
  if (cpus_.empty()) return ok_status();
  std::atomic<bool> placed{true};
  run([&](Worker& worker) {
    if (worker.index() > 0 && !place(worker.index()).ok()) placed = false;
  });
  if (!placed) return invalid_argument("a processor of engine.affinity is not available");
  return ok_status();
}

Status ThreadTeam::place(std::size_t index) const {
  return platform::pin_current_thread(cpus_[index % cpus_.size()]);
}

Status ThreadTeam::place_caller() const { return cpus_.empty() ? ok_status() : place(0); }

ThreadTeam::~ThreadTeam() {
  stopping_ = true;
  change(job_generation_, job_generation_.word.load(std::memory_order_relaxed) + 1);
  for (std::thread& thread : impl_->threads) thread.join();
}

// Sequentially consistent, as is the sleepers' side: either the sleeper's look at the word sees the
// change, or this look at `sleepers` sees the sleeper. Nobody is left asleep, and where nobody
// sleeps the change costs no system call.
void ThreadTeam::change(Signal& signal, std::uint32_t value) const {
  signal.word.store(value, std::memory_order_seq_cst);
  if (signal.sleepers.load(std::memory_order_seq_cst) > 0) platform::futex_wake_all(signal.word);
}

void ThreadTeam::sleep_while_equal(Signal& signal, std::uint32_t value) const {
  signal.sleepers.fetch_add(1, std::memory_order_seq_cst);
  while (signal.word.load(std::memory_order_seq_cst) == value) {
    platform::futex_wait(signal.word, value);
  }
  signal.sleepers.fetch_sub(1, std::memory_order_relaxed);
}

bool ThreadTeam::spin_while_equal(const Signal& signal, std::uint32_t value,
                                  std::uint32_t spins) const {
  for (std::uint32_t i = 0; i < spins; ++i) {
    if (signal.word.load(std::memory_order_acquire) != value) return true;
    pause_cpu();
  }
  return false;
}

bool ThreadTeam::yield_while_equal(const Signal& signal, std::uint32_t value,
                                   Patience& patience) const {
  if (patience.waits_without_yield > 0) {
    --patience.waits_without_yield;
    return false;
  }
  const platform::Clock& clock = platform::system_clock();
  std::int64_t before = clock.monotonic_ns();
  for (std::uint32_t i = 0; i < kYieldLimit; ++i) {
    if (signal.word.load(std::memory_order_acquire) != value) return true;
    std::this_thread::yield();
    const std::int64_t now = clock.monotonic_ns();
    if (now - before > kStrangerAfterNs) {
      patience.waits_without_yield = kWaitsWithoutYield;
      break;
    }
    before = now;
  }
  return false;
}

void ThreadTeam::wait_for_peers(std::uint32_t generation, Patience& patience) {
  if (spin_while_equal(generation_, generation, patience.spins)) {
    patience.spins = std::min(patience.spins + kSpinGain, spin_limit_);
    return;
  }
  patience.spins = std::max(patience.spins / 2, std::min(kSpinFloor, spin_limit_));
  if (oversubscribed_ && yield_while_equal(generation_, generation, patience)) return;
  sleep_while_equal(generation_, generation);
}

void ThreadTeam::barrier(Patience& patience) {
  const std::uint32_t generation = generation_.word.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
    // The last one resets the count before it lets the others go on to the next barrier.
    arrived_.store(0, std::memory_order_relaxed);
    change(generation_, generation + 1);
    return;
  }
  wait_for_peers(generation, patience);
}

// Half of what is left, so that the pieces get small towards the end and a share costs few claims.
Range ThreadTeam::claim(std::size_t victim, std::size_t units, std::uint32_t deal) {
  const Range share = share_of(units, 1, victim, threads_);
  const std::size_t size = share.end - share.begin;
  std::atomic<std::uint64_t>& state = shares_[victim].state;
  std::uint64_t seen = state.load(std::memory_order_relaxed);
  while (true) {
    const auto ahead = static_cast<std::int32_t>(static_cast<std::uint32_t>(seen >> 32) - deal);
    // Whoever began a later deal found this one taken to the end.
    if (ahead > 0) return {};
    const std::size_t taken = ahead == 0 ? static_cast<std::uint32_t>(seen) : 0;
    if (ahead == 0 && taken >= size) return {};
    // 0 of an empty share: it is marked as begun all the same, so that no mark is ever old enough
    // for the difference to wrap.
    const std::size_t count = (size - taken + 1) / 2;
    if (state.compare_exchange_weak(seen, std::uint64_t{deal} << 32 | (taken + count),
                                    std::memory_order_relaxed)) {
      return {share.begin + taken, share.begin + taken + count};
    }
  }
}

void ThreadTeam::run_erased(Job job, void* context) {
  job_ = job;
  context_ = context;
  if (threads_ > 1) {
    change(job_generation_, job_generation_.word.load(std::memory_order_relaxed) + 1);
  }
  caller_.deals_ = deals_;
  job(context, caller_);
  caller_.barrier();
  deals_ = caller_.deals_;
}

void ThreadTeam::worker_main(std::size_t index) {
  Worker self(this, index, threads_);
  self.patience_.spins = spin_limit_;
  std::uint32_t seen = 0;
  for (;;) {
    if (!spin_while_equal(job_generation_, seen, spin_limit_)) {
      sleep_while_equal(job_generation_, seen);
    }
    // Runs do not overlap and end with a barrier, so the generation moved by exactly one.
    ++seen;
    if (stopping_) return;
    self.deals_ = deals_;
    job_(context_, self);
    self.barrier();
  }
}

}  // namespace holdfast::tensor
