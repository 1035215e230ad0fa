#include "holdfast/planner/hybrid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "holdfast/planner/random.h"
#include "holdfast/planner/sobol.h"

namespace holdfast::planner {
namespace {

SplitPrices prices(double owned, double burst) {
  return {.owned = money_per_hour(owned), .burst = money_per_hour(burst)};
}

// D uniform on 1..20. 1.28/2.95 = 0.4339: P(D > 11) = 9/20 is above, P(D > 12) = 8/20 below. Cost
// at 12: 15.36 + 2.95 * (1+..+8)/20 = 15.36 + 5.31 = 20.67; at 11: 14.08 + 2.95 * 45/20 = 20.7175;
// at 13: 16.64 + 2.95 * 28/20 = 20.77.
TEST(HybridTest, G10Newsvendor) {
  std::vector<double> series(20);
  std::iota(series.begin(), series.end(), 1);
  const Demand demand = demand_of(series).value();
  const Split split = newsvendor(demand, prices(1.28, 2.95), 0).value();
  EXPECT_EQ(split.owned, 12);
  EXPECT_NEAR(per_hour(split.cost), 20.670, 1e-9);
  EXPECT_NEAR(per_hour(split_cost(demand, prices(1.28, 2.95), 11)), 20.7175, 1e-9);
  EXPECT_NEAR(per_hour(split_cost(demand, prices(1.28, 2.95), 13)), 20.770, 1e-9);
  // All owned 25.60, all burst 2.95 * 10.5 = 30.975.
  EXPECT_NEAR(split.saving, 1 - 20.67 / 25.6, 1e-9);
  EXPECT_EQ(newsvendor(demand, prices(1.28, 1.2), 0).value().owned, 0);
  EXPECT_EQ(newsvendor(demand, prices(1.28, 2.95), 17).value().owned, 17);
}

// PL-10: the cost of every K by its definition, straight from the series.
TEST(HybridTest, EqualsBruteForceOnRandomCases) {
  Random random(10);
  for (int trial = 0; trial < 1000; ++trial) {
    std::vector<double> series(1 + random.next() % 60);
    for (double& d : series) d = 30 * random.uniform() * random.uniform();
    const double owned_price = 0.1 + 3 * random.uniform();
    const double burst_price = 0.1 + 9 * random.uniform();
    double best = std::numeric_limits<double>::infinity();
    int best_units = 0;
    for (int k = 0; k <= 31; ++k) {
      double cost = owned_price * k;
      for (double d : series) {
        cost += burst_price * std::max(0.0, std::ceil(d) - k) / static_cast<double>(series.size());
      }
      if (cost < best - 1e-9) {
        best = cost;
        best_units = k;
      }
    }
    const Split split =
        newsvendor(demand_of(series).value(), prices(owned_price, burst_price), 0).value();
    EXPECT_NEAR(per_hour(split.cost), best, 1e-9) << trial;
    EXPECT_LE(std::abs(split.owned - best_units), 1) << trial;
  }
}

// Section 13: mean 10, p95 23, p99.9 43 replicas; savings of 50, 31, 21 and 3 %. Assumed here: the
// shape of DiurnalLoad (cosine between 0.2 and 1, weekends at half, lognormal of 0.35), and as "all
// owned" the highest demand of ten years.
TEST(HybridTest, ReferenceLoadSavesWhatIsPublished) {
  const std::vector<double> series = diurnal_series({}, 520, 1);
  EXPECT_NEAR(std::accumulate(series.begin(), series.end(), 0.0) / (520 * 168), 10, 0.05);
  EXPECT_NEAR(quantile(series, 0.95), 23, 0.7);
  EXPECT_NEAR(quantile(series, 0.999), 43, 1.0);
  const Demand demand = demand_of(series).value();
  constexpr std::array<std::array<double, 2>, 4> kSaved{
      {{4.90, 0.50}, {2.95, 0.31}, {2.29, 0.21}, {1.45, 0.03}}};
  for (const auto& [burst, saved] : kSaved) {
    EXPECT_NEAR(newsvendor(demand, prices(1.28, burst), 0).value().saving, saved, 0.02) << burst;
  }
}

// 100 steps, nine in ten need 2: 2 covers 90 %, 7 all.
TEST(HybridTest, QuantileOfTheSensitiveClass) {
  std::vector<double> series(100, 1.5);
  std::fill_n(series.begin(), 10, 6.2);
  const Demand demand = demand_of(series).value();
  EXPECT_EQ(replicas_at_quantile(demand, 0.5), 2);
  EXPECT_EQ(replicas_at_quantile(demand, 0.9), 2);
  EXPECT_EQ(replicas_at_quantile(demand, 0.95), 7);
  EXPECT_EQ(replicas_at_quantile(demand, 1), 7);
}

TEST(HybridTest, StartDelayLooksAhead) {
  const std::vector<double> series{1, 5, 2, 2, 9, 1};
  EXPECT_EQ(with_start_delay(series, 0), series);
  EXPECT_EQ(with_start_delay(series, 1), (std::vector<double>{5, 5, 2, 9, 9, 1}));
  EXPECT_EQ(with_start_delay(series, 99), (std::vector<double>{9, 9, 9, 9, 9, 1}));
}

// One owned; needed beyond it: 1 2 0 0 0 1. Block of three steps: the first machine runs steps
// 0-2, the second 1-3, a third 5-7, two of them after the end of the series: 9 machine steps of 6.
TEST(HybridTest, MinimumBlockIsBilled) {
  const std::vector<double> series{2, 3, 1, 1, 1, 2};
  EXPECT_NEAR(per_hour(split_cost_with_block(series, prices(1, 10), 1, 3)), 1 + 10 * 9 / 6.0, 1e-9);
  EXPECT_NEAR(per_hour(split_cost_with_block(series, prices(1, 10), 1, 1)), 1 + 10 * 4 / 6.0, 1e-9);
  // Needed at 4 instead, the second machine goes on: 7.
  const std::vector<double> kept{2, 3, 1, 1, 2, 1};
  EXPECT_NEAR(per_hour(split_cost_with_block(kept, prices(1, 10), 1, 3)), 1 + 10 * 7 / 6.0, 1e-9);
  // A machine past its block stays while it is needed.
  const std::vector<double> steady{2, 2, 2, 2};
  EXPECT_NEAR(per_hour(split_cost_with_block(steady, prices(1, 10), 1, 3)), 1 + 10, 1e-9);
}

TEST(HybridTest, BlockOfOneStepChangesNothing) {
  Random random(4);
  for (int trial = 0; trial < 100; ++trial) {
    std::vector<double> series(50);
    for (double& d : series) d = 20 * random.uniform();
    const SplitPrices p = prices(1, 1 + 4 * random.uniform());
    const Split plain = newsvendor(demand_of(series).value(), p, 0).value();
    const Split block = newsvendor_with_block(series, p, 0, 1).value();
    EXPECT_NEAR(per_hour(block.cost), per_hour(plain.cost), 1e-9);
    EXPECT_GE(newsvendor_with_block(series, p, 0, 8).value().cost, block.cost);
  }
}

TEST(HybridTest, BadInputIsNamed) {
  EXPECT_FALSE(demand_of({}).ok());
  const std::vector<double> negative{-1};
  EXPECT_FALSE(demand_of(negative).ok());
  const std::vector<double> nan{std::nan("")};
  EXPECT_FALSE(demand_of(nan).ok());
  const std::vector<double> one{1};
  const Demand demand = demand_of(one).value();
  EXPECT_NE(newsvendor(demand, prices(1, -1), 0).error().client_message().find("burst"),
            std::string::npos);
  EXPECT_FALSE(newsvendor(demand, prices(1, 1), -1).ok());
  EXPECT_FALSE(newsvendor_with_block(one, prices(1, 1), 0, kDemandStepsMax + 1).ok());
}

}  // namespace
}  // namespace holdfast::planner
