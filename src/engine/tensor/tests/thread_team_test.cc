#include "holdfast/tensor/thread_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

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

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadTeamSizes, testing::Values(1, 2, 3, 4, 9));

}  // namespace
}  // namespace holdfast::tensor
