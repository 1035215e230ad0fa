// ThreadTeam: persistent threads that run one function together, with a barrier between its stages.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "holdfast/base/result.h"

namespace holdfast::tensor {

class ThreadTeam;

struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool empty() const { return begin >= end; }
};

// Part `index` of `count` of [0, items), cut at multiples of `unit`: the parts are disjoint, cover
// everything, and differ by at most one unit.
inline Range share_of(std::size_t items, std::size_t unit, std::size_t index, std::size_t count) {
  const std::size_t units = (items + unit - 1) / unit;
  const std::size_t base = units / count;
  const std::size_t extra = units % count;
  const std::size_t first = index * base + std::min(index, extra);
  const std::size_t last = first + base + (index < extra ? 1 : 0);
  return {std::min(first * unit, items), std::min(last * unit, items)};
}

// One thread's view of the team inside ThreadTeam::run. Owned by the run; used only by its own
// thread.
class Worker {
 public:
  Worker(ThreadTeam* team, std::size_t index, std::size_t count)
      : team_(team), index_(index), count_(count) {}

  std::size_t index() const { return index_; }
  std::size_t count() const { return count_; }
  // This thread's static part of `items`. The answer depends on the number of threads; no result
  // may.
  Range share(std::size_t items, std::size_t unit = 1) const {
    return share_of(items, unit, index_, count_);
  }
  // Returns once every thread of the team has called it the same number of times; what they wrote
  // before is visible.
  void barrier();

 private:
  ThreadTeam* team_;
  std::size_t index_;
  std::size_t count_;
};

// The engine's compute threads. The caller of run() is worker 0; the others sleep between runs.
// Owner: the engine loop. run() may be called from one thread at a time (owned by that thread).
class ThreadTeam {
 public:
  static constexpr std::size_t kThreadsMax = 256;

  // kInvalidArgument for 0 or more than kThreadsMax threads, kExhausted if a thread cannot be
  // started. `usable_cpus` is how many CPUs this process may run on: with more threads than that,
  // waiting threads give the CPU up almost at once instead of spinning.
  static Result<std::unique_ptr<ThreadTeam>> create(std::size_t threads, std::size_t usable_cpus);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  std::size_t size() const { return threads_; }

  // Calls fn(Worker&) on every thread of the team and returns when all have finished. fn must not
  // throw.
  template <typename Fn>
  void run(Fn&& fn) {
    using Plain = std::remove_reference_t<Fn>;
    run_erased([](void* context, Worker& worker) { (*static_cast<Plain*>(context))(worker); },
               const_cast<void*>(static_cast<const void*>(std::addressof(fn))));
  }

 private:
  friend class Worker;
  using Job = void (*)(void* context, Worker&);
  struct Impl;

  ThreadTeam(std::size_t threads, std::uint32_t spin_limit);
  Status start();
  void run_erased(Job job, void* context);
  void barrier();
  void worker_main(std::size_t index);
  void wait_while_equal(std::atomic<std::uint32_t>& word, std::uint32_t value) const;

  std::size_t threads_;
  std::uint32_t spin_limit_;
  Job job_ = nullptr;
  void* context_ = nullptr;
  bool stopping_ = false;
  // One cache line each: arrivals would otherwise slow down those who watch the generation.
  alignas(64) std::atomic<std::uint32_t> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};
  alignas(64) std::atomic<std::uint32_t> job_generation_{0};
  std::unique_ptr<Impl> impl_;
};

inline void Worker::barrier() {
  if (count_ > 1) team_->barrier();
}

}  // namespace holdfast::tensor
