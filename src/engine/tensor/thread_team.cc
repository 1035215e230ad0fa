#include "holdfast/tensor/thread_team.h"

#include <system_error>
#include <thread>
#include <vector>

namespace holdfast::tensor {

namespace {

// About 50 us of pauses: longer than any stage's imbalance on an undisturbed machine, shorter than
// a scheduler quantum, so a thread whose peer was descheduled gives its CPU away.
constexpr std::uint32_t kSpinLimit = 1500;
// With more threads than CPUs the peer that we wait for may need this very CPU.
constexpr std::uint32_t kSpinLimitOversubscribed = 16;

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

ThreadTeam::ThreadTeam(std::size_t threads, std::uint32_t spin_limit)
    : threads_(threads), spin_limit_(spin_limit), impl_(std::make_unique<Impl>()) {}

Result<std::unique_ptr<ThreadTeam>> ThreadTeam::create(std::size_t threads,
                                                       std::size_t usable_cpus) {
  if (threads == 0 || threads > kThreadsMax) {
    return invalid_argument("threads must be between 1 and " + std::to_string(kThreadsMax));
  }
  const std::uint32_t spin = threads > usable_cpus ? kSpinLimitOversubscribed : kSpinLimit;
  std::unique_ptr<ThreadTeam> team(new ThreadTeam(threads, spin));
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
  return ok_status();
}

ThreadTeam::~ThreadTeam() {
  stopping_ = true;
  job_generation_.fetch_add(1, std::memory_order_release);
  job_generation_.notify_all();
  for (std::thread& thread : impl_->threads) thread.join();
}

void ThreadTeam::wait_while_equal(std::atomic<std::uint32_t>& word, std::uint32_t value) const {
  for (std::uint32_t i = 0; i < spin_limit_; ++i) {
    if (word.load(std::memory_order_acquire) != value) return;
    pause_cpu();
  }
  while (word.load(std::memory_order_acquire) == value) {
    word.wait(value, std::memory_order_acquire);
  }
}

void ThreadTeam::barrier() {
  const std::uint32_t generation = generation_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
    // The last one resets the count before it lets the others go on to the next barrier.
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(generation + 1, std::memory_order_release);
    generation_.notify_all();
    return;
  }
  wait_while_equal(generation_, generation);
}

void ThreadTeam::run_erased(Job job, void* context) {
  job_ = job;
  context_ = context;
  if (threads_ > 1) {
    job_generation_.fetch_add(1, std::memory_order_release);
    job_generation_.notify_all();
  }
  Worker self(this, 0, threads_);
  job(context, self);
  self.barrier();
}

void ThreadTeam::worker_main(std::size_t index) {
  Worker self(this, index, threads_);
  std::uint32_t seen = 0;
  for (;;) {
    wait_while_equal(job_generation_, seen);
    // Runs do not overlap and end with a barrier, so the generation moved by exactly one.
    ++seen;
    if (stopping_) return;
    job_(context_, self);
    self.barrier();
  }
}

}  // namespace holdfast::tensor
