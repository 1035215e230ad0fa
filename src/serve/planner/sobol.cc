#include "holdfast/planner/sobol.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "holdfast/base/check.h"
#include "holdfast/planner/random.h"

namespace holdfast::planner {
namespace {

// A primitive polynomial over GF(2) by degree and inner coefficients, with its first direction
// numbers, in the notation of Joe and Kuo.
struct Polynomial {
  unsigned degree;
  unsigned coefficients;
  std::array<std::uint32_t, 8> first;
};

// Dimensions 2 to 40; dimension 1 is the van der Corput sequence.
constexpr std::array<Polynomial, kSobolDimensionsMax - 1> kPolynomials{{
    {1, 0, {1}},
    {2, 1, {1, 3}},
    {3, 1, {1, 3, 1}},
    {3, 2, {1, 1, 1}},
    {4, 1, {1, 1, 3, 3}},
    {4, 4, {1, 3, 5, 13}},
    {5, 2, {1, 1, 5, 5, 17}},
    {5, 4, {1, 1, 5, 5, 5}},
    {5, 7, {1, 1, 7, 11, 19}},
    {5, 11, {1, 1, 5, 1, 1}},
    {5, 13, {1, 1, 1, 3, 11}},
    {5, 14, {1, 3, 5, 5, 31}},
    {6, 1, {1, 3, 3, 9, 7, 49}},
    {6, 13, {1, 1, 1, 15, 21, 21}},
    {6, 16, {1, 3, 1, 13, 27, 49}},
    {6, 19, {1, 1, 1, 15, 7, 5}},
    {6, 22, {1, 3, 1, 15, 13, 25}},
    {6, 25, {1, 1, 5, 5, 19, 61}},
    {7, 1, {1, 3, 7, 11, 23, 15, 103}},
    {7, 4, {1, 3, 7, 13, 13, 15, 69}},
    {7, 7, {1, 1, 3, 13, 7, 35, 63}},
    {7, 8, {1, 3, 5, 9, 1, 25, 53}},
    {7, 14, {1, 3, 1, 13, 9, 35, 107}},
    {7, 19, {1, 3, 1, 5, 27, 61, 31}},
    {7, 21, {1, 1, 5, 11, 19, 41, 61}},
    {7, 28, {1, 3, 5, 3, 3, 13, 69}},
    {7, 31, {1, 1, 7, 13, 1, 19, 1}},
    {7, 32, {1, 3, 7, 5, 13, 19, 59}},
    {7, 37, {1, 1, 3, 9, 25, 29, 41}},
    {7, 41, {1, 3, 5, 13, 23, 1, 55}},
    {7, 42, {1, 3, 7, 3, 13, 59, 17}},
    {7, 50, {1, 3, 1, 3, 5, 53, 69}},
    {7, 55, {1, 1, 5, 5, 23, 33, 13}},
    {7, 56, {1, 1, 7, 7, 1, 61, 123}},
    {7, 59, {1, 1, 7, 9, 13, 61, 49}},
    {7, 62, {1, 3, 3, 5, 3, 55, 33}},
    {8, 14, {1, 3, 1, 15, 31, 13, 49, 245}},
    {8, 21, {1, 3, 5, 15, 31, 59, 63, 97}},
    {8, 22, {1, 3, 1, 11, 11, 11, 77, 249}},
}};

// Numerator and denominator of a rational function, lowest power first.
using Coefficients = std::array<double, 8>;

double ratio(const Coefficients& numerator, const Coefficients& denominator, double x) {
  double top = 0;
  double bottom = 0;
  for (std::size_t i = numerator.size(); i-- > 0;) {
    top = top * x + numerator[i];
    bottom = bottom * x + denominator[i];
  }
  return top / bottom;
}

constexpr Coefficients kCentreTop{3.3871328727963666080e0, 1.3314166789178437745e2,
                                  1.9715909503065514427e3, 1.3731693765509461125e4,
                                  4.5921953931549871457e4, 6.7265770927008700853e4,
                                  3.3430575583588128105e4, 2.5090809287301226727e3};
constexpr Coefficients kCentreBottom{1,
                                     4.2313330701600911252e1,
                                     6.8718700749205790830e2,
                                     5.3941960214247511077e3,
                                     2.1213794301586595867e4,
                                     3.9307895800092710610e4,
                                     2.8729085735721942674e4,
                                     5.2264952788528545610e3};
constexpr Coefficients kMiddleTop{1.42343711074968357734e0,  4.63033784615654529590e0,
                                  5.76949722146069140550e0,  3.64784832476320460504e0,
                                  1.27045825245236838258e0,  2.41780725177450611770e-1,
                                  2.27238449892691845833e-2, 7.74545014278341407640e-4};
constexpr Coefficients kMiddleBottom{1,
                                     2.05319162663775882187e0,
                                     1.67638483018380384940e0,
                                     6.89767334985100004550e-1,
                                     1.48103976427480074590e-1,
                                     1.51986665636164571966e-2,
                                     5.47593808499534494600e-4,
                                     1.05075007164441684324e-9};
constexpr Coefficients kTailTop{6.65790464350110377720e0,  5.46378491116411436990e0,
                                1.78482653991729133580e0,  2.96560571828504891230e-1,
                                2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                2.71155556874348757815e-5, 2.01033439929228813265e-7};
constexpr Coefficients kTailBottom{1,
                                   5.99832206555887937690e-1,
                                   1.36929880922735805310e-1,
                                   1.48753612908506148525e-2,
                                   7.86869131145613259100e-4,
                                   1.84631831751005468180e-5,
                                   1.42151175831644588870e-7,
                                   2.04426310338993978564e-15};

}  // namespace

Sobol::Sobol(int dimensions, std::uint64_t seed) : dimensions_(dimensions) {
  HF_CHECK(dimensions >= 1 && dimensions <= kSobolDimensionsMax);
  for (unsigned bit = 0; bit < kBits; ++bit) directions_[0][bit] = 1U << (kBits - 1 - bit);
  for (std::size_t d = 1; d < static_cast<std::size_t>(dimensions); ++d) {
    const Polynomial& polynomial = kPolynomials[d - 1];
    const unsigned degree = polynomial.degree;
    auto& v = directions_[d];
    for (unsigned bit = 0; bit < kBits; ++bit) {
      if (bit < degree) {
        v[bit] = polynomial.first[bit] << (kBits - 1 - bit);
        continue;
      }
      v[bit] = v[bit - degree] ^ (v[bit - degree] >> degree);
      for (unsigned k = 1; k < degree; ++k) {
        if ((polynomial.coefficients >> (degree - 1 - k)) & 1) v[bit] ^= v[bit - k];
      }
    }
  }
  if (seed == 0) return;
  for (std::uint32_t& word : state_) word = static_cast<std::uint32_t>(splitmix64(seed) >> 32);
}

void Sobol::next(std::span<double> point) {
  HF_CHECK(point.size() == static_cast<std::size_t>(dimensions_));
  for (std::size_t d = 0; d < point.size(); ++d) point[d] = (state_[d] + 0.5) * 0x1.0p-32;
  // The next point in Gray-code order differs by the direction of the lowest zero bit.
  const auto bit = static_cast<std::size_t>(std::countr_one(index_++)) % kBits;
  for (std::size_t d = 0; d < point.size(); ++d) state_[d] ^= directions_[d][bit];
}

double inverse_normal_cdf(double p) {
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) return q * ratio(kCentreTop, kCentreBottom, 0.180625 - q * q);
  const double r = std::sqrt(-std::log(q < 0 ? p : 1 - p));
  const double x =
      r <= 5 ? ratio(kMiddleTop, kMiddleBottom, r - 1.6) : ratio(kTailTop, kTailBottom, r - 5);
  return q < 0 ? -x : x;
}

double lognormal(double median, double sigma, double u) {
  return median * std::exp(sigma * inverse_normal_cdf(u));
}

Lognormal lognormal_from_mean_cv(double mean, double cv) {
  const double variance = std::log1p(cv * cv);
  return {.median = mean * std::exp(-variance / 2), .sigma = std::sqrt(variance)};
}

double quantile_of_sorted(std::span<const double> ascending, double q) {
  if (ascending.empty()) return 0;
  const double place = std::clamp(q, 0.0, 1.0) * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  if (below + 1 >= ascending.size()) return ascending.back();
  const double share = place - static_cast<double>(below);
  return ascending[below] + share * (ascending[below + 1] - ascending[below]);
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return quantile_of_sorted(values, q);
}

}  // namespace holdfast::planner
