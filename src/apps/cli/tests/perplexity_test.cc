// Differences of two computations of one text. Oracle: figures worked out by hand.
#include "../perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

namespace holdfast::cli {
namespace {

TEST(NllChange, MeanAndErrorOfTheWindows) {
  // Differences 1, 3, 2, 1, 3: mean 2, sum of squares 4, error sqrt(4 / (5 * 4)).
  const auto change = nll_change({1, 1, 1, 2, 5}, {2, 4, 3, 3, 8});
  ASSERT_TRUE(change.has_value());
  EXPECT_DOUBLE_EQ(change->mean, 2);
  EXPECT_DOUBLE_EQ(change->error, std::sqrt(0.2));
}

TEST(NllChange, TheSameShiftEverywhereHasNoError) {
  const auto change = nll_change({1, 2, 3, 4, 5}, {1.5, 2.5, 3.5, 4.5, 5.5});
  ASSERT_TRUE(change.has_value());
  EXPECT_DOUBLE_EQ(change->mean, 0.5);
  EXPECT_DOUBLE_EQ(change->error, 0);
}

TEST(NllChange, NothingFromTooFewOrOtherWindows) {
  EXPECT_FALSE(nll_change({1, 2, 3, 4}, {1, 2, 3, 4}).has_value());
  EXPECT_FALSE(nll_change({1, 2, 3, 4, 5}, {1, 2, 3, 4, 5, 6}).has_value());
  EXPECT_FALSE(nll_change({}, {}).has_value());
}

TEST(Perplexity, OfItsLogarithm) {
  Perplexity p;
  p.nll = std::log(12.5);
  EXPECT_DOUBLE_EQ(p.value(), 12.5);
}

}  // namespace
}  // namespace holdfast::cli
