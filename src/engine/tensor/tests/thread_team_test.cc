#include "holdfast/tensor/thread_team.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

#include "holdfast/platform/thread.h"

namespace holdfast::tensor {
namespace {

TEST(ShareOf, PartsCoverEverythingOnce) {
  for (std::size_t items = 0; items < 70; ++items) {
    for (const std::size_t unit : {1u, 4u, 16u}) {
      for (std::size_t count = 1; count <= 5; ++count) {
        std::size_t next = 0;
        for (std::size_t i = 0; i < count; ++i) {
          const Range part = share_of(items, unit, i, count);
          ASSERT_EQ(part.begin, std::min(next, items));
          ASSERT_TRUE(part.begin % unit == 0 || part.empty());
          next = part.end;
        }
        ASSERT_EQ(next, items);
      }
    }
  }
}

TEST(ThreadTeam, RefusesImpossibleSizes) {
  EXPECT_FALSE(ThreadTeam::create(0, 2).ok());
  EXPECT_FALSE(ThreadTeam::create(ThreadTeam::kThreadsMax + 1, 2).ok());
}

class ThreadTeamSizes : public testing::TestWithParam<std::size_t> {};

// Every thread writes, meets the others, and then reads what all of them wrote.
TEST_P(ThreadTeamSizes, BarrierPublishesWrites) {
  const std::size_t n = GetParam();
  auto team = ThreadTeam::create(n, 2);
  ASSERT_TRUE(team.ok());
  std::vector<std::uint64_t> slots(n, 0);
  std::atomic<int> wrong{0};
  for (int run = 0; run < 20; ++run) {
    (*team)->run([&](Worker& worker) {
      for (std::uint64_t stage = 1; stage <= 50; ++stage) {
        slots[worker.index()] = stage * 1000 + static_cast<std::uint64_t>(run);
        worker.barrier();
        for (const std::uint64_t v : slots)
          wrong += v != stage * 1000 + static_cast<std::uint64_t>(run);
        worker.barrier();
      }
    });
  }
  EXPECT_EQ(wrong.load(), 0);
}

TEST_P(ThreadTeamSizes, RunsOncePerThreadAndSleepsBetween) {
  const std::size_t n = GetParam();
  auto team = ThreadTeam::create(n, 2);
  ASSERT_TRUE(team.ok());
  for (int run = 0; run < 3; ++run) {
    std::vector<std::atomic<int>> calls(n);
    (*team)->run([&](Worker& worker) {
      EXPECT_EQ(worker.count(), n);
      ++calls[worker.index()];
    });
    for (auto& c : calls) EXPECT_EQ(c.load(), 1);
    // Longer than any spin: the next run has to wake sleepers.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

// Oracle: counting. Every item once, pieces cut at units, whatever the sizes and however often.
TEST_P(ThreadTeamSizes, DealCoversEverythingOnce) {
  const std::size_t n = GetParam();
  auto team = ThreadTeam::create(n, 2);
  ASSERT_TRUE(team.ok());
  std::vector<std::atomic<int>> taken(300);
  std::atomic<int> wrong{0};
  for (int run = 0; run < 5; ++run) {
    for (const std::size_t items : {0u, 1u, 2u, 7u, 16u, 33u, 100u, 299u}) {
      for (const std::size_t unit : {1u, 4u, 16u}) {
        for (auto& t : taken) t = 0;
        (*team)->run([&](Worker& worker) {
          for (int stage = 1; stage <= 3; ++stage) {
            worker.deal(items, unit, [&](Range r) {
              wrong += r.empty() || r.begin % unit != 0 || (r.end % unit != 0 && r.end != items);
              for (std::size_t i = r.begin; i < r.end; ++i) ++taken[i];
            });
            worker.barrier();
            const Range mine = worker.share(taken.size());
            for (std::size_t i = mine.begin; i < mine.end; ++i)
              wrong += taken[i] != (i < items ? stage : 0);
            worker.barrier();
          }
        });
      }
    }
  }
  EXPECT_EQ(wrong.load(), 0);
}

// Deals need no barrier between them: a thread that is late finds the earlier ones done.
TEST_P(ThreadTeamSizes, DealsFollowWithoutBarriers) {
  const std::size_t n = GetParam();
  auto team = ThreadTeam::create(n, 2);
  ASSERT_TRUE(team.ok());
  std::vector<std::atomic<int>> taken(50);
  for (int run = 1; run <= 50; ++run) {
    (*team)->run([&](Worker& worker) {
      for (std::size_t deal = 0; deal < 40; ++deal) {
        worker.deal(1 + deal, 1, [&](Range r) {
          for (std::size_t i = r.begin; i < r.end; ++i) ++taken[i];
        });
      }
    });
    for (std::size_t i = 0; i < 40; ++i) ASSERT_EQ(taken[i].load(), run * static_cast<int>(40 - i));
  }
}

// A thread that does not come on holds up only the piece that it is in.
TEST(ThreadTeam, OthersTakeWhatALateThreadWouldHaveDone) {
  auto team = ThreadTeam::create(2, 2);
  ASSERT_TRUE(team.ok());
  std::atomic<std::size_t> done{0};
  constexpr std::size_t kItems = 1000;
  (*team)->run([&](Worker& worker) {
    if (worker.index() == 1) {
      // Comes only once everything was done by the other.
      while (done < kItems) std::this_thread::yield();
    }
    worker.deal(kItems, 1, [&](Range r) { done += r.end - r.begin; });
  });
  EXPECT_EQ(done.load(), kItems);
}

std::uint64_t process_cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(t.tv_nsec);
}

// Nobody spins once there is nothing to do. Processor time, not wall time, is measured, so other
// load on the machine does not matter; spinning threads would use the whole of it.
TEST(ThreadTeam, IdleCostsNoProcessorTime) {
  auto team = ThreadTeam::create(4, 4);
  ASSERT_TRUE(team.ok());
  (*team)->run([](Worker& worker) { worker.barrier(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::uint64_t before = process_cpu_ns();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(process_cpu_ns() - before, 5'000'000u);
}

TEST(ThreadTeam, RunsWhereItIsTold) {
  const std::vector<int> cpus = platform::one_cpu_per_core();
  ASSERT_FALSE(cpus.empty());
  auto team = ThreadTeam::create(3, 3, cpus);
  ASSERT_TRUE(team.ok());
  ASSERT_TRUE((*team)->place_caller().ok());
  std::atomic<int> wrong{0};
  (*team)->run(
      [&](Worker& worker) { wrong += sched_getcpu() != cpus[worker.index() % cpus.size()]; });
  EXPECT_EQ(wrong.load(), 0);
  const int absent[] = {1023};
  EXPECT_EQ(ThreadTeam::create(2, 2, absent).error().code(), ErrorCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadTeamSizes, testing::Values(1, 2, 3, 4, 9));

}  // namespace
}  // namespace holdfast::tensor
