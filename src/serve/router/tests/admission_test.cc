#include "holdfast/router/admission.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace holdfast::router {
namespace {

using backend::Priority;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kSlots = 4;

class AdmissionTest : public ::testing::Test {
 protected:
  AdmissionControl gate(AdmissionLimits limits) { return AdmissionControl(limits, entropy_); }

  // Served requests of one second each teach the mean.
  void teach(AdmissionControl& gate, int rounds = 20) {
    for (int i = 0; i < rounds; ++i) {
      for (std::uint32_t s = 0; s < kSlots; ++s) {
        ASSERT_FALSE(gate.arrive(now_, kSlots, user_));
        gate.started(user_);
      }
      now_ += seconds(1);
      for (std::uint32_t s = 0; s < kSlots; ++s) gate.ended(now_, kSlots, user_, true);
    }
  }

  static std::uint32_t places_in(const AdmissionControl& gate, double wait_s) {
    return static_cast<std::uint32_t>(wait_s * kSlots / gate.mean_service().count());
  }

  platform::SeededEntropy entropy_{7};
  Instant now_{seconds(100)};
  Arrival user_{"a", 1, Priority::kInteractive, false};
  Arrival batch_{"b", 1, Priority::kBatch, false};
};

TEST_F(AdmissionTest, TheMeanServiceTimeIsLearned) {
  AdmissionControl g = gate({});
  teach(g);
  EXPECT_NEAR(g.mean_service().count(), 1.0, 0.1);  // rounds that end together are the worst case
  EXPECT_EQ(g.under_way(), 0u);
}

TEST_F(AdmissionTest, FreeSlotsAreAlwaysGiven) {
  AdmissionControl g = gate({.queue_max = 1, .queue_wait_max = milliseconds(1)});
  for (std::uint32_t i = 0; i < kSlots; ++i) EXPECT_FALSE(g.arrive(now_, kSlots, user_));
}

TEST_F(AdmissionTest, TheQueueEndsAtItsLimit) {
  AdmissionLimits limits;
  limits.queue_max = 5;
  AdmissionControl g = gate(limits);
  for (std::uint32_t i = 0; i < kSlots + 5; ++i) EXPECT_FALSE(g.arrive(now_, kSlots, batch_)) << i;
  const auto refusal = g.arrive(now_, kSlots, batch_);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, RefusalReason::kQueueFull);
  g.ended(now_, kSlots, batch_, false);
  EXPECT_FALSE(g.arrive(now_, kSlots, batch_));
}

TEST_F(AdmissionTest, BatchIsBoundByTheWaitAlone) {
  AdmissionLimits limits;
  limits.queue_max = 1000;
  limits.queue_wait_max = seconds(10);
  AdmissionControl g = gate(limits);
  teach(g);
  std::uint32_t admitted = 0;
  while (!g.arrive(now_, kSlots, batch_)) ++admitted;
  // The wait of the newcomer is what waits before it: 10 s are about 40 places.
  EXPECT_EQ(admitted, kSlots + places_in(g, 10) + 1);
  EXPECT_EQ(g.arrive(now_, kSlots, batch_)->reason, RefusalReason::kQueueWait);
  // A higher class does not wait for it.
  EXPECT_FALSE(g.arrive(now_, kSlots, user_));
}

TEST_F(AdmissionTest, ACrowdMayQueueThreeTargetsAndNotMore) {
  AdmissionControl g = gate({});
  teach(g);
  std::uint32_t admitted = 0;
  while (!g.arrive(now_, kSlots, user_)) ++admitted;
  EXPECT_EQ(admitted, kSlots + 12);  // three times the slots
  EXPECT_EQ(g.arrive(now_, kSlots, user_)->reason, RefusalReason::kStandingQueue);
}

// They ask again when they are answered: the queue is never longer than it was.
TEST_F(AdmissionTest, ACrowdIsLetInAgain) {
  AdmissionControl g = gate({});
  teach(g);
  while (!g.arrive(now_, kSlots, user_)) {
  }
  for (int round = 0; round < 40; ++round) {
    now_ += milliseconds(1000);
    for (std::uint32_t i = 0; i < kSlots; ++i) {
      g.started(user_);
      g.ended(now_, kSlots, user_, true);
    }
    now_ += milliseconds(200);
    for (std::uint32_t i = 0; i < kSlots; ++i) ASSERT_FALSE(g.arrive(now_, kSlots, user_)) << round;
  }
  EXPECT_TRUE(g.arrive(now_, kSlots, user_));
}

TEST_F(AdmissionTest, AQueueThatShrankMayNotGrowAgain) {
  AdmissionControl g = gate({});
  teach(g);
  while (!g.arrive(now_, kSlots, user_)) {
  }
  for (int i = 0; i < 2; ++i) g.ended(now_, kSlots, user_, false);  // 10 wait
  for (int step = 0; step < 10; ++step) {
    now_ += milliseconds(2100);
    EXPECT_FALSE(g.arrive(now_, kSlots, batch_));  // 11 at most
    g.ended(now_, kSlots, batch_, false);
  }
  EXPECT_FALSE(g.arrive(now_, kSlots, user_));
  EXPECT_TRUE(g.arrive(now_, kSlots, user_));
}

// Of a server that refuses many only those are no flood who find the queue at the target.
TEST_F(AdmissionTest, WhereManyAreRefusedTheTargetHolds) {
  AdmissionControl g = gate({});
  teach(g);
  while (!g.arrive(now_, kSlots, user_)) {
  }
  now_ += milliseconds(101);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(g.arrive(now_, kSlots, user_));
  for (int i = 0; i < 8; ++i) g.ended(now_, kSlots, user_, false);  // 4 wait, 3 is the target
  EXPECT_TRUE(g.arrive(now_, kSlots, user_));
  g.ended(now_, kSlots, user_, false);
  EXPECT_FALSE(g.arrive(now_, kSlots, user_));
}

// Arrivals that are spread, however slightly, are no crowd.
TEST_F(AdmissionTest, WhoComesAMomentLaterIsHeldToTheTarget) {
  AdmissionControl g = gate({});
  teach(g);
  for (std::uint32_t i = 0; i < kSlots + 10; ++i) ASSERT_FALSE(g.arrive(now_, kSlots, user_));
  now_ += milliseconds(80);  // a tenth of an answer is a moment
  ASSERT_FALSE(g.arrive(now_, kSlots, user_));
  now_ += milliseconds(30);
  EXPECT_EQ(g.arrive(now_, kSlots, user_)->reason, RefusalReason::kStandingQueue);
}

TEST_F(AdmissionTest, TheOperatorsTargetIsUsed) {
  AdmissionLimits limits;
  limits.queue_target = seconds(6);
  AdmissionControl g = gate(limits);
  teach(g);
  EXPECT_EQ(g.target(kSlots).count(), 6);
  std::uint32_t admitted = 0;
  while (!g.arrive(now_, kSlots, user_)) ++admitted;
  EXPECT_EQ(admitted, kSlots + places_in(g, 18) + 1);
}

TEST_F(AdmissionTest, AFollowUpIsPartOfWhatWasLetIn) {
  AdmissionLimits limits;
  limits.queue_max = 1;
  AdmissionControl g = gate(limits);
  while (!g.arrive(now_, kSlots, user_)) {
  }
  Arrival more = user_;
  more.follow_up = true;
  EXPECT_FALSE(g.arrive(now_, kSlots, more));
}

TEST_F(AdmissionTest, RetryAfterGrowsWithTheQueueAndIsSpread) {
  AdmissionControl g = gate({});
  teach(g);
  while (!g.arrive(now_, kSlots, user_)) {
  }
  std::set<std::int64_t> values;
  std::int64_t least = INT64_MAX;
  std::int64_t most = 0;
  for (int i = 0; i < 400; ++i) {
    const auto refusal = g.arrive(now_, kSlots, user_);
    ASSERT_TRUE(refusal);
    values.insert(refusal->retry_after.count());
    least = std::min(least, refusal->retry_after.count());
    most = std::max(most, refusal->retry_after.count());
  }
  EXPECT_GT(values.size(), 50u);
  EXPECT_GE(least, 800);
  EXPECT_LE(most, 60'000);
  EXPECT_GT(most, 20'000);
}

TEST_F(AdmissionTest, TheFloodIsRefusedAndTheNewcomerIsNot) {
  AdmissionControl g = gate({});
  teach(g);
  while (!g.arrive(now_, kSlots, user_)) {
  }
  Arrival other{"other", 1, Priority::kInteractive, false};
  // Half of the four waiting places at the target are its share.
  EXPECT_FALSE(g.arrive(now_, kSlots, other));
  EXPECT_FALSE(g.arrive(now_, kSlots, other));
  EXPECT_EQ(g.arrive(now_, kSlots, other)->reason, RefusalReason::kTenantShare);
  EXPECT_EQ(g.arrive(now_, kSlots, user_)->reason, RefusalReason::kTenantShare);
  Arrival heavy{"heavy", 6, Priority::kInteractive, false};
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(g.arrive(now_, kSlots, heavy)) << i;
  EXPECT_TRUE(g.arrive(now_, kSlots, heavy));
}

// Whatever comes and goes in whatever order, the counts hold and nothing exceeds its limit.
TEST_F(AdmissionTest, CountsHoldUnderRandomTraffic) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    AdmissionLimits limits;
    limits.queue_max = 20;
    AdmissionControl g = gate(limits);
    std::vector<std::pair<Arrival, bool>> live;
    for (int step = 0; step < 2000; ++step) {
      now_ += milliseconds(random() % 50);
      const std::uint32_t slots = 1 + random() % 6;
      if (random() % 3 != 0) {
        const Arrival a{std::string(1, static_cast<char>('a' + random() % 4)),
                        static_cast<std::uint32_t>(1 + random() % 5),
                        static_cast<Priority>(random() % 3), false};
        const bool room = g.waiting(slots) < limits.queue_max;
        const bool in = !g.arrive(now_, slots, a);
        ASSERT_TRUE(room || !in) << "seed " << seed;
        if (in) live.push_back({a, false});
      } else if (!live.empty()) {
        const std::size_t i = random() % live.size();
        if (!live[i].second && random() % 2 == 0) {
          g.started(live[i].first);
          live[i].second = true;
          continue;
        }
        g.ended(now_, slots, live[i].first, live[i].second);
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
      }
      ASSERT_EQ(g.under_way(), live.size()) << "seed " << seed;
      ASSERT_GE(g.estimated_wait(slots, Priority::kBatch).count(), 0) << "seed " << seed;
    }
    for (const auto& [a, started] : live) g.ended(now_, 1, a, started);
    ASSERT_EQ(g.under_way(), 0u) << "seed " << seed;
  }
}

}  // namespace
}  // namespace holdfast::router
