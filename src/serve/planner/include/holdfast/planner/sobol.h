// Evenly spread draws and the distributions they are turned into (specification, section 15).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace holdfast::planner {

inline constexpr int kSobolDimensionsMax = 40;

// The Sobol sequence in Gray-code order with the direction numbers of Joe and Kuo (2008,
// new-joe-kuo-6), each dimension shifted digit by digit by a word from the seed. The shift keeps
// the even spread of every block of 2^k points. Thread-compatible.
class Sobol {
 public:
  // Seed 0 leaves the sequence unshifted. Precondition: 1 <= dimensions <= kSobolDimensionsMax.
  Sobol(int dimensions, std::uint64_t seed);

  int dimensions() const { return dimensions_; }
  // Fills the next point, each coordinate in (0, 1): the middle of one of 2^32 parts. The sequence
  // repeats after 2^32 points. Precondition: point.size() == dimensions().
  void next(std::span<double> point);

 private:
  static constexpr int kBits = 32;

  int dimensions_;
  std::uint32_t index_ = 0;
  std::array<std::array<std::uint32_t, kBits>, kSobolDimensionsMax> directions_{};
  std::array<std::uint32_t, kSobolDimensionsMax> state_{};
};

// The x with P(N(0,1) <= x) = p, to about 16 digits (Wichura 1988, AS 241). Precondition: 0 < p
// < 1.
double inverse_normal_cdf(double p);

// median * exp(sigma * z(u)): the lognormal whose logarithm has standard deviation sigma.
// Precondition: 0 < u < 1.
double lognormal(double median, double sigma, double u);

// Median and sigma of the lognormal with this mean and coefficient of variation: sigma^2 =
// ln(1 + cv^2), median = mean * exp(-sigma^2 / 2). Precondition: mean > 0, cv >= 0.
struct Lognormal {
  double median = 1;
  double sigma = 0;
};
Lognormal lognormal_from_mean_cv(double mean, double cv);

// The q-quantile of ascending values, linear between neighbours (R's type 7); 0 when empty.
double quantile_of_sorted(std::span<const double> ascending, double q);

// The same for values in any order.
double quantile(std::vector<double> values, double q);

}  // namespace holdfast::planner
