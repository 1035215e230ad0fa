#include "holdfast/planner/sobol.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "holdfast/planner/random.h"

namespace holdfast::planner {
namespace {

constexpr double kHalfStep = 0x1.0p-33;

std::vector<std::vector<double>> points(int dimensions, std::uint64_t seed, int count) {
  Sobol sobol(dimensions, seed);
  std::vector<std::vector<double>> all(static_cast<std::size_t>(count),
                                       std::vector<double>(static_cast<std::size_t>(dimensions)));
  for (std::vector<double>& point : all) sobol.next(point);
  return all;
}

// Points 5, 63 and 1000 and the sum over 40 dimensions as scipy.stats.qmc.Sobol (1.17, unscrambled)
// gives them.
TEST(SobolTest, EqualsAnotherImplementation) {
  const auto all = points(40, 0, 1001);
  constexpr std::array<std::size_t, 6> kDimensions{0, 1, 2, 7, 23, 39};
  constexpr std::array<double, 6> k5{0.875, 0.875, 0.125, 0.375, 0.375, 0.375};
  constexpr std::array<double, 6> k63{0.015625, 0.796875, 0.359375, 0.140625, 0.546875, 0.171875};
  constexpr std::array<double, 6> k1000{0.2197265625, 0.0966796875, 0.5185546875,
                                        0.8994140625, 0.5400390625, 0.4794921875};
  for (std::size_t i = 0; i < kDimensions.size(); ++i) {
    EXPECT_NEAR(all[5][kDimensions[i]], k5[i], 2 * kHalfStep);
    EXPECT_NEAR(all[63][kDimensions[i]], k63[i], 2 * kHalfStep);
    EXPECT_NEAR(all[1000][kDimensions[i]], k1000[i], 2 * kHalfStep);
  }
  EXPECT_NEAR(std::accumulate(all[1000].begin(), all[1000].end(), 0.0), 19.087890625, 1e-6);
}

// Each of 256 equal parts of each axis holds one of the first 256 points, shifted or not.
TEST(SobolTest, EveryAxisIsCoveredEvenly) {
  for (std::uint64_t seed : {0, 1, 77}) {
    const auto all = points(kSobolDimensionsMax, seed, 256);
    for (std::size_t d = 0; d < kSobolDimensionsMax; ++d) {
      std::set<int> parts;
      for (const auto& point : all) parts.insert(static_cast<int>(point[d] * 256));
      EXPECT_EQ(parts.size(), 256u) << "dimension " << d << " seed " << seed;
    }
  }
  EXPECT_NE(points(3, 1, 5), points(3, 2, 5));
  EXPECT_EQ(points(3, 1, 5), points(3, 1, 5));
}

// Integral of prod(0.5 + u_i) over 8 dimensions is 1; plain Monte Carlo with 4,096 points errs by
// about sqrt((13/12)^8 - 1) / 64 = 1.5 %.
TEST(SobolTest, IntegratesBetterThanChance) {
  double sum = 0;
  for (const auto& point : points(8, 5, 4096)) {
    double product = 1;
    for (double u : point) product *= 0.5 + u;
    sum += product;
  }
  EXPECT_NEAR(sum / 4096, 1, 0.002);
}

// P(N(0,1) <= x).
double normal_cdf(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }

// scipy.stats.norm.ppf.
TEST(SobolTest, InverseNormal) {
  EXPECT_NEAR(inverse_normal_cdf(1e-300), -37.0470962993612, 1e-11);
  EXPECT_NEAR(inverse_normal_cdf(1e-12), -7.034483825301131, 1e-13);
  EXPECT_NEAR(inverse_normal_cdf(0.001), -3.090232306167813, 1e-14);
  EXPECT_NEAR(inverse_normal_cdf(0.025), -1.9599639845400545, 1e-14);
  EXPECT_NEAR(inverse_normal_cdf(0.3), -0.5244005127080409, 1e-15);
  EXPECT_EQ(inverse_normal_cdf(0.5), 0);
  EXPECT_NEAR(inverse_normal_cdf(0.999999), 4.753424308817087, 1e-9);
  for (double p = 0.0005; p < 1; p += 0.001)
    EXPECT_NEAR(normal_cdf(inverse_normal_cdf(p)), p, 1e-14);
}

// Mean 10, cv 0.5: sigma^2 = ln 1.25 = 0.2231436, median = 10 / sqrt(1.25) = 8.9442719.
TEST(SobolTest, LognormalFromMeanAndVariation) {
  const Lognormal from = lognormal_from_mean_cv(10, 0.5);
  EXPECT_NEAR(from.median, 8.9442719, 1e-7);
  EXPECT_NEAR(from.sigma * from.sigma, 0.2231436, 1e-7);
  double sum = 0;
  for (int i = 0; i < 20000; ++i) sum += lognormal(from.median, from.sigma, (i + 0.5) / 20000);
  EXPECT_NEAR(sum / 20000, 10, 0.01);
  EXPECT_EQ(lognormal(3, 0, 0.9), 3);
}

TEST(SobolTest, Quantiles) {
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 0), 1);
  EXPECT_DOUBLE_EQ(quantile({4, 1, 3, 2}, 1), 4);
  EXPECT_DOUBLE_EQ(quantile({7}, 0.9), 7);
  EXPECT_EQ(quantile({}, 0.9), 0);
}

// splitmix64 from 0 starts with a published constant; xoshiro256** seeded by it with 42, from the
// published definition in Python integers.
TEST(RandomTest, IsThePublishedGenerator) {
  std::uint64_t state = 0;
  EXPECT_EQ(splitmix64(state), 0xe220a8397b1dcdafULL);
  Random random(42);
  EXPECT_EQ(random.next(), 0x15780b2e0c2ec716ULL);
  EXPECT_EQ(random.next(), 0x6104d9866d113a7eULL);
  EXPECT_EQ(random.next(), 0xae17533239e499a1ULL);
}

TEST(RandomTest, UniformsHaveTheRightMoments) {
  Random random(3);
  double sum = 0;
  double squares = 0;
  double gaps = 0;
  for (int i = 0; i < 1000000; ++i) {
    const double u = random.uniform();
    ASSERT_TRUE(u > 0 && u < 1);
    sum += u;
    squares += u * u;
    gaps += random.exponential();
  }
  EXPECT_NEAR(sum / 1e6, 0.5, 0.0012);
  EXPECT_NEAR(squares / 1e6, 1.0 / 3, 0.0012);
  EXPECT_NEAR(gaps / 1e6, 1, 0.004);
}

}  // namespace
}  // namespace holdfast::planner
