#include "least_squares.h"

#include <cmath>
#include <limits>

namespace holdfast::planner {

namespace {

// Cholesky factorisation in place and two substitutions. The prior makes the matrix positive
// definite.
std::vector<double> solve_symmetric(std::vector<double> a, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < j; ++k) a[j * n + j] -= a[j * n + k] * a[j * n + k];
    a[j * n + j] = std::sqrt(std::max(a[j * n + j], std::numeric_limits<double>::min()));
    for (std::size_t i = j + 1; i < n; ++i) {
      for (std::size_t k = 0; k < j; ++k) a[i * n + j] -= a[i * n + k] * a[j * n + k];
      a[i * n + j] /= a[j * n + j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return b;
}

}  // namespace

LeastSquares::LeastSquares(std::span<const double> means, std::span<const double> deviations)
    : n_(means.size()), a_(n_ * n_), b_(n_) {
  for (std::size_t j = 0; j < n_; ++j) {
    const double precision = 1 / (deviations[j] * deviations[j]);
    a_[j * n_ + j] = precision;
    b_[j] = precision * means[j];
  }
}

void LeastSquares::add(std::span<const double> x, double y, double weight) {
  for (std::size_t i = 0; i < n_; ++i) {
    if (x[i] == 0) continue;
    b_[i] += weight * x[i] * y;
    for (std::size_t j = 0; j < n_; ++j) a_[i * n_ + j] += weight * x[i] * x[j];
  }
}

std::vector<double> LeastSquares::solve() const { return solve_symmetric(a_, b_); }

std::vector<double> LeastSquares::solve_nonnegative() const {
  std::vector<double> best(n_, 0.0);
  double best_cost = std::numeric_limits<double>::infinity();
  for (std::size_t used = 0; used < (std::size_t{1} << n_); ++used) {
    std::vector<std::size_t> index;
    for (std::size_t j = 0; j < n_; ++j)
      if ((used >> j & 1) != 0) index.push_back(j);
    const std::size_t m = index.size();
    std::vector<double> a(m * m);
    std::vector<double> b(m);
    for (std::size_t i = 0; i < m; ++i) {
      b[i] = b_[index[i]];
      for (std::size_t j = 0; j < m; ++j) a[i * m + j] = a_[index[i] * n_ + index[j]];
    }
    const std::vector<double> x = solve_symmetric(a, b);
    // Up to a constant, the cost is theta'A theta - 2 b'theta, which at the optimum is -b'theta.
    double cost = 0;
    bool feasible = true;
    for (std::size_t i = 0; i < m; ++i) {
      feasible = feasible && x[i] >= 0;
      cost -= b[i] * x[i];
    }
    if (!feasible || cost >= best_cost) continue;
    best_cost = cost;
    best.assign(n_, 0.0);
    for (std::size_t i = 0; i < m; ++i) best[index[i]] = x[i];
  }
  return best;
}

}  // namespace holdfast::planner
