// Oracle: expected tokens and times worked out by hand, and simulated machines.
#include "draft_policy.h"

#include <gtest/gtest.h>

#include <numeric>

namespace holdfast::runtime {
namespace {

using Counts = std::vector<std::size_t>;

Acceptance taught(bool right, int times = 100) {
  Acceptance a;
  for (int i = 0; i < times; ++i) {
    for (const std::size_t length : {2u, 4u, 8u, 16u}) a.observe(length, right);
  }
  return a;
}

// A machine on which a token more costs that part of a step of one.
StepCosts machine(double slope, double step_seconds = 0.01) {
  StepCosts c(32);
  for (std::size_t w = 1; w <= 32; ++w)
    c.observe(w, step_seconds * (1 + slope * static_cast<double>(w - 1)));
  return c;
}

TEST(StepCosts, EstimatesWhatItHasNotSeen) {
  StepCosts c(16);
  EXPECT_EQ(c.at(1), 1.0);
  EXPECT_GT(c.at(8), 1.0);
  EXPECT_LT(c.at(2), 1.25);  // cheap enough to be tried
  c.observe(1, 0.010);
  EXPECT_EQ(c.at(1), 0.010);
  EXPECT_GT(c.at(8), 0.010);
  EXPECT_LT(c.at(8), 0.030);
  c.observe(9, 0.050);
  EXPECT_NEAR(c.at(5), 0.030, 1e-12);   // between the two
  EXPECT_NEAR(c.at(16), 0.085, 1e-12);  // as the two go on
}

TEST(StepCosts, FollowsAChangeAndIsNotThrownByAnInterruption) {
  StepCosts c = machine(0.1);
  const double before = c.at(4);
  c.observe(4, 10.0);
  EXPECT_LT(c.at(4), before * 1.3);
  for (int i = 0; i < 50; ++i) c.observe(1, 0.02);  // the context has grown
  EXPECT_NEAR(c.at(1), 0.02, 0.0005);
  EXPECT_GT(c.at(9) / c.at(1), 1.1);  // unseen widths went along in part
}

TEST(StepCosts, IgnoresWhatIsNoMeasurement) {
  StepCosts c(4);
  c.observe(0, 1.0);
  c.observe(5, 1.0);
  c.observe(1, 0.0);
  c.observe(1, -1.0);
  EXPECT_EQ(c.at(1), 1.0);
}

TEST(PlanDrafts, GuessesFarWhereGuessesAreRightAndNotWhereTheyAreWrong) {
  const StepCosts cheap = machine(0.05);
  const Acceptance right = taught(true);
  const Acceptance wrong = taught(false);
  EXPECT_EQ(plan_drafts(std::vector<DraftCandidate>{{12, 4, &right}}, 1, 16, &cheap), Counts{12});
  EXPECT_EQ(plan_drafts(std::vector<DraftCandidate>{{12, 4, &wrong}}, 1, 16, &cheap), Counts{0});
}

TEST(PlanDrafts, DoesNotGuessWhereATokenMoreCostsAsMuchAsAStep) {
  const StepCosts dear = machine(1.0);
  const Acceptance right = taught(true);
  EXPECT_EQ(plan_drafts(std::vector<DraftCandidate>{{12, 4, &right}}, 1, 16, &dear), Counts{0});
}

TEST(PlanDrafts, AGainWithinTheErrorOfTheEstimatesIsNotTaken) {
  Acceptance third;  // right about one time in three
  for (int i = 0; i < 60; ++i) third.observe(2, i % 3 == 0);
  const double p = third.probability(2);
  ASSERT_GT(p, 0.2);
  ASSERT_LT(p, 0.45);
  const std::vector<DraftCandidate> one{{1, 2, &third}};
  const StepCosts near = machine((1 + p) / 1.04 - 1);  // four percent would be gained
  EXPECT_EQ(plan_drafts(one, 1, 16, &near), Counts{0});
  const StepCosts far = machine((1 + p) / 1.2 - 1);
  EXPECT_EQ(plan_drafts(one, 1, 16, &far), Counts{1});
}

TEST(PlanDrafts, CountsTheTimeOfGuessing) {
  const StepCosts cheap = machine(0.05);
  const Acceptance right = taught(true);
  EXPECT_EQ(plan_drafts(std::vector<DraftCandidate>{{12, 4, &right}}, 1, 16, &cheap, 0.02),
            Counts{0});
}

TEST(PlanDrafts, SharesTheRoomByWorth) {
  const Acceptance right = taught(true);
  const Acceptance wrong = taught(false);
  const Counts counts =
      plan_drafts(std::vector<DraftCandidate>{{8, 4, &right}, {8, 4, &wrong}, {}, {8, 4, &right}},
                  4, 10, nullptr);
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), std::size_t{0}), 10u);
  EXPECT_EQ(counts[1], 0u);
  EXPECT_EQ(counts[2], 0u);
}

TEST(PlanDrafts, NeverMoreThanAvailableOrRoom) {
  const Acceptance right = taught(true);
  EXPECT_EQ(plan_drafts(std::vector<DraftCandidate>{{3, 4, &right}}, 1, 16, nullptr), Counts{3});
  EXPECT_EQ(plan_drafts(std::vector<DraftCandidate>{{16, 4, &right}}, 1, 2, nullptr), Counts{2});
  EXPECT_EQ(plan_drafts(std::vector<DraftCandidate>{{16, 4, &right}}, 1, 0, nullptr), Counts{0});
  EXPECT_EQ(plan_drafts({}, 1, 16, nullptr), Counts{});
}

// With many sequences a step is wide already, and on a machine where width costs time a guess that
// would have paid for one sequence does not pay for them together.
TEST(PlanDrafts, AWideBatchIsWorthMoreThanAGuess) {
  Acceptance half;
  StepCosts c(32);  // free up to 4 tokens, then a token costs what it brings
  for (std::size_t w = 1; w <= 32; ++w) c.observe(w, w <= 4 ? 1.0 : static_cast<double>(w) / 4);
  EXPECT_GT(plan_drafts(std::vector<DraftCandidate>{{8, 2, &half}}, 1, 16, &c)[0], 0u);
  const std::vector<DraftCandidate> many(8, DraftCandidate{8, 2, &half});
  EXPECT_EQ(plan_drafts(many, 8, 16, &c), Counts(8, 0));
}

TEST(Acceptance, LearnsByLengthOfTheMatch) {
  Acceptance a;
  for (int i = 0; i < 60; ++i) {
    a.observe(2, false);
    a.observe(20, true);
  }
  EXPECT_LT(a.probability(3), 0.02);
  EXPECT_GT(a.probability(100), 0.98);
  EXPECT_EQ(a.probability(5), Acceptance().probability(5));
}

TEST(Probe, IsRareAndGetsRarer) {
  Probe p;
  int probes = 0;
  for (int i = 0; i < 10'000; ++i) probes += p.due() ? 1 : 0;
  EXPECT_GE(probes, 10);
  EXPECT_LE(probes, 20);
  p.paid();
  std::uint32_t wait = 1;
  while (!p.due()) ++wait;
  EXPECT_EQ(wait, Probe::kIntervalMin);
}

}  // namespace
}  // namespace holdfast::runtime
