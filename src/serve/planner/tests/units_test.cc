#include "holdfast/planner/units.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace holdfast::planner {
namespace {

template <typename A, typename B>
concept Addable = requires(A a, B b) {
  a + b;
};

TEST(UnitsTest, UnlikeQuantitiesDoNotAdd) {
  static_assert(Addable<Bytes, Bytes>);
  static_assert(!Addable<Bytes, Seconds>);
  static_assert(!Addable<Money, double>);
  static_assert(!std::is_convertible_v<double, Bytes>);
  static_assert(std::is_same_v<decltype(Bytes() / BytesPerSecond()), Seconds>);
  static_assert(std::is_same_v<decltype(Tokens() / Seconds()), TokensPerSecond>);
  static_assert(std::is_same_v<decltype(Power() * Seconds() * MoneyPerEnergy()), Money>);
}

TEST(UnitsTest, NamedConstructorsApplyTheirFactor) {
  EXPECT_DOUBLE_EQ(gibibytes(4.58).value(), 4.58 * 1024 * 1024 * 1024);
  EXPECT_DOUBLE_EQ((kilowatt_hours(2) * money_per_kilowatt_hour(0.13)).value(), 0.26);
  EXPECT_DOUBLE_EQ(per_hour(money_per_hour(2.95)), 2.95);
  EXPECT_DOUBLE_EQ((Tokens(3e6) * money_per_million_tokens(0.5)).value(), 1.5);
}

}  // namespace
}  // namespace holdfast::planner
