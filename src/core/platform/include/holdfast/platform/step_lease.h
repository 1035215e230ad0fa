// StepLease: whose turn it is to compute, among processes that share the same processors.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {

// How many processes can take part, and how many can compute at the same time.
inline constexpr std::size_t kStepSlotsMax = 64;
inline constexpr std::size_t kStepPermitsMax = 64;

struct SharedSteps;  // what the processes share

struct UnmapSteps {
  void operator()(SharedSteps* shared) const;
};
using StepsMapping = std::unique_ptr<SharedSteps, UnmapSteps>;

// The server's end: the shared memory, and which process is which. It believes nothing that it
// reads there: a process that writes nonsense harms only the order of turns. Thread-safe.
class StepLeasePool {
 public:
  // One place among those that take part; given back on destruction, which must come after the end
  // of its process. Whatever turn that had is then free.
  class Slot {
   public:
    Slot(std::shared_ptr<StepLeasePool> pool, std::uint32_t number)
        : pool_(std::move(pool)), number_(number) {}
    ~Slot() { pool_->give_back(number_); }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    std::uint32_t number() const { return number_; }
    int fd() const { return pool_->fd_.get(); }

   private:
    std::shared_ptr<StepLeasePool> pool_;
    std::uint32_t number_;
  };

  // `permits`: how many processes may compute at once, 1..kStepPermitsMax. kExhausted, kIo,
  // kUnsupported where the system has no sealed memory files.
  static Result<std::shared_ptr<StepLeasePool>> create(std::uint32_t permits);
  // Nullptr while kStepSlotsMax are taken: that process computes without turns.
  static std::unique_ptr<Slot> take(const std::shared_ptr<StepLeasePool>& pool);

 private:
  StepLeasePool() = default;
  void give_back(std::uint32_t number);

  UniqueFd fd_;
  StepsMapping shared_;
  std::mutex mutex_;  // of taken_
  std::array<bool, kStepSlotsMax> taken_{};
};

// One process's end. A turn lasts from begin() to the end() that gives it up. Turns are shared out
// by time: whoever has had least is next, and who was idle does not catch up. A turn is an order,
// not a lock: begin() never waits longer than kWaitMax, whether its holder died, was stopped, or
// computes one very long step; then the processes compute side by side as if there were no turns,
// until that holder's turn ends.
//
// Owned by one thread, which calls begin() and end(); wanted() from any thread.
class StepLease {
 public:
  // A stream that shows a token every 50 ms shows one late by five; a dead holder's place is free
  // sooner anyway.
  static constexpr std::chrono::milliseconds kWaitMax{250};
  // Handing a turn over puts two teams of threads to sleep and wakes two: some 50 us.
  static constexpr std::chrono::microseconds kQuantum{4000};

  // Without others: begin() and end() do nothing.
  StepLease() = default;
  // kInvalidArgument where `fd` is not such a memory file or `slot` is none of its places. The
  // descriptor may be closed afterwards.
  static Result<StepLease> attach(int fd, std::uint32_t slot);

  StepLease(StepLease&&) = default;
  StepLease& operator=(StepLease&&) = default;
  ~StepLease();

  // Waits for a turn. False if it did not come in time: the caller computes all the same.
  bool begin();
  // Also after a kept turn, without a begin() of its own. `more`: another step follows at once;
  // then the turn is kept while nobody has a better claim to it. `cost`: how many times the time
  // since begin() counts, 1..1000: work in the background counts more, so that it gets a smaller
  // part.
  void end(bool more, std::uint32_t cost = 1);
  // Somebody waits for a turn.
  bool wanted() const;

 private:
  bool holds() const;
  bool try_take();
  bool wait();
  void catch_up();
  std::optional<std::uint32_t> next(std::uint64_t used_below) const;
  void pass_on();
  void wake_waiting() const;

  StepsMapping shared_;
  std::uint32_t slot_ = 0;
  std::uint32_t permits_ = 0;
  bool begun_ = false;
  bool busy_ = false;  // between steps that follow each other
  std::int64_t begun_ns_ = 0;
  std::int64_t turn_ns_ = 0;            // when this turn came
  std::vector<std::uint64_t> overdue_;  // holders that were not waited for in vain again
};

}  // namespace holdfast::platform
