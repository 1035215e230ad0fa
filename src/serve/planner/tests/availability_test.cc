#include "holdfast/planner/availability.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

namespace holdfast::planner {
namespace {

std::string percent(double share, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, 100 * share);
  return text;
}

std::string k_of_n(double repair_hours, int needed, int present, int digits) {
  const double node = availability(kNodeMtbf, hours(repair_hours));
  return percent(1 - k_of_n_unavailability(needed, present, node), digits);
}

// The table of the specification, section 11. By hand, 24 h: A = 6335/6359 = 0.9962258, U =
// 0.0037742; 1 of 2: 1 - U^2 = 0.99998576; 3 of 4: 1 - 6U^2 + 8U^3 - 3U^4 = 0.99991497.
TEST(AvailabilityTest, G11Table) {
  EXPECT_EQ(percent(availability(kNodeMtbf, hours(4)), 3), "99.937");
  EXPECT_EQ(percent(availability(kNodeMtbf, hours(24)), 3), "99.623");
  EXPECT_EQ(percent(availability(kNodeMtbf, hours(120)), 3), "98.141");
  EXPECT_EQ(k_of_n(4, 1, 2, 5), "99.99996");
  EXPECT_EQ(k_of_n(4, 3, 4, 4), "99.9998");
  EXPECT_EQ(k_of_n(4, 8, 9, 4), "99.9986");
  EXPECT_EQ(k_of_n(24, 1, 2, 4), "99.9986");
  EXPECT_EQ(k_of_n(24, 3, 4, 4), "99.9915");
  EXPECT_EQ(k_of_n(24, 8, 9, 3), "99.950");
  EXPECT_EQ(k_of_n(120, 1, 2, 3), "99.965");
  EXPECT_EQ(k_of_n(120, 3, 4, 3), "99.798");
  EXPECT_EQ(k_of_n(120, 8, 9, 3), "98.859");
}

// Counted over all 2^n states.
double by_states(int needed, int present, double node) {
  double down = 0;
  for (unsigned state = 0; state < (1U << present); ++state) {
    const int up = __builtin_popcount(state);
    if (up < needed) down += std::pow(node, up) * std::pow(1 - node, present - up);
  }
  return down;
}

TEST(AvailabilityTest, KOfNEqualsTheSumOverStates) {
  for (int present = 1; present <= 8; ++present) {
    for (int needed = 0; needed <= present; ++needed) {
      for (double node : {0.0, 0.3, 0.98, 1.0}) {
        EXPECT_NEAR(k_of_n_unavailability(needed, present, node), by_states(needed, present, node),
                    1e-14)
            << needed << " of " << present << " at " << node;
      }
    }
  }
}

// U = 0.01 (990 h, 10 h), a tenth of it common: 0.001 and 0.009. 1 of 2: 1 - 0.000081 = 0.999919;
// * 0.999 = 0.998919081; * 0.999 * 0.9995 = 0.997421...
TEST(AvailabilityTest, CommonCauseSiteAndRouterInSeries) {
  Redundancy pair;
  pair.present = 2;
  pair.mtbf = hours(990);
  pair.repair = hours(10);
  pair.common_cause_share = 0.1;
  EXPECT_NEAR(system_availability(pair).value(), 0.998919081, 1e-12);
  pair.site = 0.999;
  pair.router = 0.9995;
  EXPECT_NEAR(system_availability(pair).value(), 0.998919081 * 0.999 * 0.9995, 1e-12);
}

// One of 990/1000 each alone: U, U^2, U^3 = 1e-2, 1e-4, 1e-6.
TEST(AvailabilityTest, MachinesForATarget) {
  Redundancy one;
  one.mtbf = hours(990);
  one.repair = hours(10);
  one.common_cause_share = 0;
  EXPECT_EQ(machines_for(one, 0.99).value(), 1);
  EXPECT_EQ(machines_for(one, 0.999).value(), 2);
  EXPECT_EQ(machines_for(one, 0.99999).value(), 3);
  one.site = 0.999;
  EXPECT_EQ(machines_for(one, 0.9995).value(), std::nullopt);
  EXPECT_FALSE(machines_for(one, 1.5).ok());
}

TEST(AvailabilityTest, BadFieldIsNamed) {
  Redundancy bad;
  bad.present = 0;
  EXPECT_NE(system_availability(bad).error().client_message().find("present"), std::string::npos);
  bad = Redundancy{};
  bad.mtbf = Seconds(std::numeric_limits<double>::quiet_NaN());
  EXPECT_NE(system_availability(bad).error().client_message().find("mtbf"), std::string::npos);
  bad = Redundancy{};
  bad.router = 2;
  EXPECT_FALSE(system_availability(bad).ok());
}

}  // namespace
}  // namespace holdfast::planner
