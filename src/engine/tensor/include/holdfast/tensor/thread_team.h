// ThreadTeam: persistent threads that run one function together, with a barrier between its stages.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

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
  // Without a team, for tests of one thread's share: no barrier(), no deal().
  Worker(ThreadTeam* team, std::size_t index, std::size_t count)
      : team_(team), index_(index), count_(count) {}

  std::size_t index() const { return index_; }
  std::size_t count() const { return count_; }
  // This thread's static part of `items`. The answer depends on the number of threads; no result
  // may.
  Range share(std::size_t items, std::size_t unit = 1) const {
    return share_of(items, unit, index_, count_);
  }
  // Calls fn(Range) for pieces of [0, items), cut at multiples of `unit`, until all of it has been
  // taken by some thread: first pieces of this thread's own share in ascending order, then what is
  // left of the others'. So a thread that lost its CPU, or has not begun, keeps at most the piece
  // that it is in. Every thread of the team makes the same sequence of deal() calls with the same
  // `items` and `unit`. Which thread does what varies from run to run; no result may depend on it.
  // Returning says that everything was taken, not that it was finished: for that, barrier().
  template <typename Fn>
  void deal(std::size_t items, std::size_t unit, Fn&& fn);
  // Returns once every thread of the team has called it the same number of times; what they wrote
  // before is visible.
  void barrier();

 private:
  friend class ThreadTeam;
  // How long this thread waits before it sleeps; adapts to what else runs on the machine.
  struct Patience {
    std::uint32_t spins = 0;
    std::uint32_t waits_without_yield = 0;
  };
  ThreadTeam* team_;
  std::size_t index_;
  std::size_t count_;
  std::uint32_t deals_ = 0;
  Patience patience_;
};

// The engine's compute threads. The caller of run() is worker 0; the others sleep between runs.
// Owner: the engine loop. run() may be called from one thread at a time (owned by that thread).
class ThreadTeam {
 public:
  static constexpr std::size_t kThreadsMax = 256;

  // kInvalidArgument for 0 or more than kThreadsMax threads, kExhausted if a thread cannot be
  // started. `usable_cpus` is how many CPUs this process may run on: with more threads than that,
  // waiting threads give the CPU up almost at once instead of spinning. `cpus`: where worker i
  // runs, cpus[i % cpus.size()]; empty: where the system puts it. kInvalidArgument for a CPU that
  // this process may not use.
  static Result<std::unique_ptr<ThreadTeam>> create(std::size_t threads, std::size_t usable_cpus,
                                                    std::span<const int> cpus = {});
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  std::size_t size() const { return threads_; }
  // Moves the calling thread to worker 0's CPU, if one is given. Threads that it starts later
  // inherit the place: start those first. kInvalidArgument as create().
  Status place_caller() const;

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
  using Patience = Worker::Patience;
  struct Impl;
  // A word that threads wait for to change, and how many of them sleep. On a cache line of its own.
  struct alignas(64) Signal {
    std::atomic<std::uint32_t> word{0};
    std::atomic<std::uint32_t> sleepers{0};
  };
  // How far one thread's share is taken: number of the deal << 32 | units taken. A deal's first
  // taker finds the number of an older one there, and replaces it; so nobody has to reset it.
  struct alignas(64) Share {
    std::atomic<std::uint64_t> state{0};
  };

  ThreadTeam(std::size_t threads, bool oversubscribed, std::span<const int> cpus);
  Status start();
  Status place(std::size_t index) const;
  void run_erased(Job job, void* context);
  void barrier(Patience& patience);
  void worker_main(std::size_t index);
  void change(Signal& signal, std::uint32_t value) const;
  void wait_for_peers(std::uint32_t generation, Patience& patience);
  // True once the word changed.
  bool spin_while_equal(const Signal& signal, std::uint32_t value, std::uint32_t spins) const;
  bool yield_while_equal(const Signal& signal, std::uint32_t value, Patience& patience) const;
  void sleep_while_equal(Signal& signal, std::uint32_t value) const;
  // The next units of `victim`'s share of `units`; empty once that share is taken.
  Range claim(std::size_t victim, std::size_t units, std::uint32_t deal);

  std::size_t threads_;
  bool oversubscribed_;
  std::uint32_t spin_limit_;
  std::vector<int> cpus_;
  Job job_ = nullptr;
  void* context_ = nullptr;
  std::uint32_t deals_ = 0;  // of all runs so far
  bool stopping_ = false;
  // Apart from the generation: arrivals would otherwise slow down those who watch it.
  alignas(64) std::atomic<std::uint32_t> arrived_{0};
  Signal generation_;
  Signal job_generation_;
  std::vector<Share> shares_;
  Worker caller_;  // worker 0, between its runs
  std::unique_ptr<Impl> impl_;
};

inline void Worker::barrier() {
  if (count_ > 1) team_->barrier(patience_);
}

template <typename Fn>
void Worker::deal(std::size_t items, std::size_t unit, Fn&& fn) {
  if (count_ == 1) {
    if (items > 0) fn(Range{0, items});
    return;
  }
  ++deals_;
  const std::size_t units = (items + unit - 1) / unit;
  for (std::size_t i = 0; i < count_; ++i) {
    const std::size_t victim = index_ + i < count_ ? index_ + i : index_ + i - count_;
    for (Range r = team_->claim(victim, units, deals_); !r.empty();
         r = team_->claim(victim, units, deals_)) {
      fn(Range{r.begin * unit, std::min(r.end * unit, items)});
    }
  }
}

}  // namespace holdfast::tensor
