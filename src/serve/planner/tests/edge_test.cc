#include "holdfast/planner/edge.h"

#include <gtest/gtest.h>

namespace holdfast::planner {
namespace {

// Measured pairs of speed and wall power of a 3B model in four bits (specification, section 14).
TEST(EdgeTest, EnergyPerToken) {
  EXPECT_NEAR(energy_per_token(watts(30.1), TokensPerSecond(41.31)).value(), 0.73, 0.005);
  EXPECT_NEAR(energy_per_token(watts(261.9), TokensPerSecond(334.67)).value(), 0.78, 0.005);
  EXPECT_NEAR(energy_per_token(watts(128.5), TokensPerSecond(97.93)).value(), 1.31, 0.005);
  EXPECT_NEAR(energy_per_token(watts(26.4), TokensPerSecond(9.06)).value(), 2.91, 0.005);
}

// 2 GB at 5 Mbit/s: 16e9 / 5e6 = 3,200 s.
TEST(EdgeTest, UpdatesOverASlowLink) {
  EXPECT_NEAR(update_time(gigabytes(2), 1, 5).value(), 3200, 1e-9);
  EXPECT_NEAR(update_time(gigabytes(2), 0.017, 5).value(), 54.4, 1e-9);
  double before = 0;
  for (const UpdateKind& k : update_kinds()) {
    EXPECT_LE(k.low, k.high);
    EXPECT_GE(k.high, before);
    before = k.high;
  }
}

// A request per second of 250 tokens: 2,628,000 s in a month, 1,000 bytes each. A link that is down
// 1 % of the year is down for 5,256 minutes.
TEST(EdgeTest, Benefits) {
  const EdgeBenefits b = edge_benefits(PerSecond(1), 250, 80, 0.99);
  EXPECT_NEAR(b.not_sent_month.value(), 2.628e9, 1);
  EXPECT_NEAR(b.offline_minutes_year, 5256, 1e-6);
  EXPECT_EQ(b.rtt_removed_ms, 80);
}

}  // namespace
}  // namespace holdfast::planner
