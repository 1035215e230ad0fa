// Small least-squares problems with prior beliefs about the parameters.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace holdfast::planner {

// Normal equations of: minimise sum (x_i . theta - y_i)^2 w_i + sum ((theta_j - mean_j)/sd_j)^2.
// Owner: one fit (thread-compatible).
class LeastSquares {
 public:
  // `means` and `deviations` of the prior, one per parameter.
  LeastSquares(std::span<const double> means, std::span<const double> deviations);

  // Precondition: x has one entry per parameter.
  void add(std::span<const double> x, double y, double weight);
  std::vector<double> solve() const;
  // With no parameter below 0: the best of all choices of parameters that are 0, so for few only.
  std::vector<double> solve_nonnegative() const;

 private:
  std::size_t n_;
  std::vector<double> a_;  // [n][n], X'WX plus the prior's precision
  std::vector<double> b_;  // [n]
};

}  // namespace holdfast::planner
