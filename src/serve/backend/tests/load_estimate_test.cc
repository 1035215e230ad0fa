// LoadEstimator: what callers are told while a model loads.
#include "../load_estimate.h"

#include <gtest/gtest.h>

namespace holdfast::backend {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kBytes = 100'000'000;

TEST(LoadEstimatorTest, FollowsMeasuredLoads) {
  LoadEstimator e;
  const auto first = e.estimate(kBytes);
  for (int i = 0; i < 20; ++i) e.record(kBytes, 20s);
  EXPECT_GT(e.estimate(kBytes), 19s);
  EXPECT_LT(e.estimate(kBytes), 21s);
  EXPECT_GT(e.estimate(2 * kBytes), 38s);
  for (int i = 0; i < 20; ++i) e.record(kBytes, 400ms);
  EXPECT_LT(e.estimate(kBytes), 500ms);
  EXPECT_LT(first, 1s);
  // Nothing can be learnt from these, and nothing breaks.
  e.record(0, 1s);
  e.record(kBytes, 0ms);
  EXPECT_GE(e.estimate(0), 0ms);
}

TEST(LoadEstimatorTest, MemoryTellsProgressWhereItIsKnown) {
  const LoadEstimator e;
  const LoadView quarter = e.view(kBytes, 3s, kBytes / 4);
  EXPECT_DOUBLE_EQ(quarter.progress, 0.25);
  EXPECT_EQ(quarter.left, 9s);
  EXPECT_EQ(quarter.state, "verifying");
  const LoadView most = e.view(kBytes, 3s, kBytes);
  EXPECT_LT(most.progress, 1.0);
  EXPECT_EQ(most.state, "warming");
  // More memory than the pack has bytes: its caches.
  EXPECT_LT(e.view(kBytes, 3s, 10 * kBytes).progress, 1.0);
}

TEST(LoadEstimatorTest, ElsewhereTimeDoes) {
  LoadEstimator e;
  for (int i = 0; i < 20; ++i) e.record(kBytes, 10s);
  const LoadView half = e.view(kBytes, 5s, 0);
  EXPECT_NEAR(half.progress, 0.5, 0.01);
  EXPECT_GT(half.left, 4s);
  const LoadView late = e.view(kBytes, 60s, 0);
  EXPECT_LT(late.progress, 1.0);
  EXPECT_EQ(late.left, 0ms);
  EXPECT_EQ(e.view(0, 0ms, 0).progress, 0.0);
}

}  // namespace
}  // namespace holdfast::backend
