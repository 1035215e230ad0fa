// Turns among processes: how many at once, shared out by time, and what a dead or stopped holder
// does to the others. Steps are sleeps, so that shares do not depend on what else the machine does.
#include "holdfast/platform/step_lease.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace holdfast::platform {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class StepLeaseTest : public ::testing::Test {
 protected:
  void create(std::uint32_t permits) {
    auto pool = StepLeasePool::create(permits);
    ASSERT_TRUE(pool.ok()) << pool.error().to_string();
    pool_ = *std::move(pool);
  }
  StepLease join() {
    slots_.push_back(StepLeasePool::take(pool_));
    auto lease = StepLease::attach(slots_.back()->fd(), slots_.back()->number());
    EXPECT_TRUE(lease.ok()) << lease.error().to_string();
    return *std::move(lease);
  }
  // Steps of `step` until `over`; how many there were.
  std::thread computing(StepLease lease, std::chrono::milliseconds step, std::uint32_t cost,
                        std::atomic<int>& steps) {
    return std::thread([this, lease = std::move(lease), step, cost, &steps]() mutable {
      while (!over_) {
        lease.begin();
        std::this_thread::sleep_for(step);
        ++steps;
        lease.end(true, cost);
      }
      lease.end(false);
    });
  }
  // Another process that takes a turn and keeps it.
  pid_t holder(StepLeasePool::Slot& slot) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      auto lease = StepLease::attach(slot.fd(), slot.number());
      const char got = lease.ok() && lease->begin() ? 'y' : 'n';
      if (::write(ready[1], &got, 1) != 1) ::_exit(1);
      while (true) ::pause();
    }
    char got = 0;
    EXPECT_EQ(::read(ready[0], &got, 1), 1);
    EXPECT_EQ(got, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
    return pid;
  }

  std::shared_ptr<StepLeasePool> pool_;
  std::vector<std::unique_ptr<StepLeasePool::Slot>> slots_;
  std::atomic<bool> over_{false};
};

TEST_F(StepLeaseTest, LimitsOfPermitsAndSlots) {
  EXPECT_EQ(StepLeasePool::create(0).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(StepLeasePool::create(kStepPermitsMax + 1).error().code(), ErrorCode::kInvalidArgument);
  create(kStepPermitsMax);
  for (std::size_t i = 0; i < kStepSlotsMax; ++i) slots_.push_back(StepLeasePool::take(pool_));
  EXPECT_NE(slots_.back(), nullptr);
  EXPECT_EQ(StepLeasePool::take(pool_), nullptr);
  slots_.erase(slots_.begin());
  EXPECT_EQ(StepLeasePool::take(pool_)->number(), 0u);
  EXPECT_EQ(StepLease::attach(slots_.back()->fd(), kStepSlotsMax).error().code(),
            ErrorCode::kInvalidArgument);
}

TEST_F(StepLeaseTest, OtherMemoryIsRefused) {
  EXPECT_EQ(StepLease::attach(-1, 0).error().code(), ErrorCode::kInvalidArgument);
  create(1);
  struct stat facts {};
  ASSERT_EQ(::fstat(StepLeasePool::take(pool_)->fd(), &facts), 0);
  const UniqueFd zeros(::memfd_create("zeros", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(zeros.get(), facts.st_size), 0);  // the right size, no content
  EXPECT_EQ(StepLease::attach(zeros.get(), 0).error().code(), ErrorCode::kInvalidArgument);
  ASSERT_EQ(::ftruncate(zeros.get(), facts.st_size - 1), 0);
  EXPECT_EQ(StepLease::attach(zeros.get(), 0).error().code(), ErrorCode::kInvalidArgument);
  // An engine cannot pull the memory away from under the others.
  EXPECT_NE(::ftruncate(StepLeasePool::take(pool_)->fd(), 0), 0);
}

TEST_F(StepLeaseTest, AloneNothingWaits) {
  StepLease alone;
  EXPECT_TRUE(alone.begin());
  EXPECT_FALSE(alone.wanted());
  alone.end(true);
  create(1);
  StepLease lease = join();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(lease.begin());
    EXPECT_FALSE(lease.wanted());
    lease.end(i % 2 == 0);
  }
}

// Invariant: never more at once than there are permits.
TEST_F(StepLeaseTest, NeverMoreAtOnceThanPermits) {
  for (const std::uint32_t permits : {1u, 2u, 3u}) {
    create(permits);
    std::atomic<std::uint32_t> inside{0};
    std::atomic<std::uint32_t> most{0};
    std::atomic<int> late{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, lease = join()]() mutable {
        for (int i = 0; i < 300; ++i) {
          const bool got = lease.begin();
          if (!got) ++late;
          const std::uint32_t now = got ? ++inside : 0;
          std::uint32_t seen = most;
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          std::this_thread::sleep_for(20us);
          if (got) --inside;
          lease.end(i % 7 != 6);
        }
        lease.end(false);
      });
    }
    for (std::thread& t : threads) t.join();
    if (late == 0) {  // a machine that stands still for longer than kWaitMax proves nothing
      EXPECT_LE(most, permits);
      EXPECT_EQ(most, permits);
    }
    slots_.clear();
  }
}

// By time, not by number: short steps are not held up behind long ones.
TEST_F(StepLeaseTest, TimeIsSharedEvenly) {
  create(1);
  std::atomic<int> longs{0};
  std::atomic<int> shorts{0};
  std::thread a = computing(join(), 20ms, 1, longs);
  std::thread b = computing(join(), 5ms, 1, shorts);
  while (longs < 30) std::this_thread::sleep_for(5ms);
  over_ = true;
  a.join();
  b.join();
  EXPECT_GE(shorts, 2 * longs);  // four times as many, were it exact
  EXPECT_LE(shorts, 8 * longs);
}

TEST_F(StepLeaseTest, WorkInTheBackgroundGetsASmallPart) {
  create(1);
  std::atomic<int> front{0};
  std::atomic<int> back{0};
  std::thread a = computing(join(), 2ms, 1, front);
  std::thread b = computing(join(), 2ms, 12, back);
  while (front < 200) std::this_thread::sleep_for(5ms);
  over_ = true;
  a.join();
  b.join();
  EXPECT_GE(back, 5);  // it goes on
  EXPECT_LE(back, front / 6);
}

// Who was idle gets its share at once, and no more than that.
TEST_F(StepLeaseTest, IdleTimeIsNotSavedUp) {
  create(1);
  std::atomic<int> first{0};
  std::atomic<int> second{0};
  StepLease late = join();
  std::thread a = computing(join(), 5ms, 1, first);
  while (first < 40) std::this_thread::sleep_for(5ms);
  const int before = first;
  std::thread b = computing(std::move(late), 5ms, 1, second);
  while (second < 20) std::this_thread::sleep_for(5ms);
  over_ = true;
  a.join();
  b.join();
  EXPECT_GE(first - before, 8);
}

TEST_F(StepLeaseTest, ADeadHoldersTurnIsFreeWhenItsPlaceIsGivenBack) {
  create(1);
  for (int round = 0; round < 20; ++round) {
    auto slot = StepLeasePool::take(pool_);
    const pid_t pid = holder(*slot);
    StepLease lease = join();
    std::atomic<bool> got{false};
    std::thread waiting([&] {
      got = lease.begin();
      lease.end(false);
    });
    if (round % 2 == 0) std::this_thread::sleep_for(10ms);  // it waits by then, most likely
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    slot.reset();
    waiting.join();
    EXPECT_TRUE(got) << round;
    slots_.clear();
  }
}

TEST_F(StepLeaseTest, AStoppedHolderIsWaitedForOnce) {
  create(1);
  auto slot = StepLeasePool::take(pool_);
  const pid_t pid = holder(*slot);
  ::kill(pid, SIGSTOP);
  StepLease lease = join();
  const auto begin = Clock::now();
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(lease.begin());
    lease.end(i != 50);
  }
  EXPECT_GE(Clock::now() - begin, StepLease::kWaitMax);
  EXPECT_LT(Clock::now() - begin, 40 * StepLease::kWaitMax);  // a hundred times it would be
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  slot.reset();
  EXPECT_TRUE(lease.begin());
  lease.end(false);
}

// A process that writes nonsense harms the order of turns and nothing else.
TEST_F(StepLeaseTest, NonsenseInTheSharedMemoryIsSurvived) {
  create(1);
  auto slot = StepLeasePool::take(pool_);
  struct stat facts {};
  ASSERT_EQ(::fstat(slot->fd(), &facts), 0);
  const auto size = static_cast<std::size_t>(facts.st_size);
  auto* memory = static_cast<std::uint8_t*>(
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, slot->fd(), 0));
  ASSERT_NE(memory, MAP_FAILED);
  StepLease lease = join();
  std::uint32_t random = 12345;
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < size; ++i) {
      random = random * 1664525 + 1013904223;
      memory[i] = static_cast<std::uint8_t>(random >> 24);
    }
    lease.begin();
    lease.end(true);
    lease.wanted();
    lease.end(false);
    StepLeasePool::take(pool_).reset();
  }
  ::munmap(memory, size);
}

}  // namespace
}  // namespace holdfast::platform
