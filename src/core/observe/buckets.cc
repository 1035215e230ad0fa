#include "holdfast/observe/metrics.h"

namespace holdfast::observe {

std::span<const double> first_token_seconds_buckets() {
  static constexpr double kBounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5,
                                       0.75,  1,     2.5,  5,    7.5,  10,   20,   40,  80,   160};
  return kBounds;
}

std::span<const double> inter_token_seconds_buckets() {
  static constexpr double kBounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                       0.3,  0.4,   0.5,  0.75,  1,   2.5};
  return kBounds;
}

std::span<const double> request_seconds_buckets() {
  static constexpr double kBounds[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                       30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
  return kBounds;
}

std::span<const double> iteration_tokens_buckets() {
  static constexpr double kBounds[] = {1,   8,    16,   32,   64,   128,  256,
                                       512, 1024, 2048, 4096, 8192, 16384};
  return kBounds;
}

std::span<const double> http_seconds_buckets() {
  static constexpr double kBounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
  return kBounds;
}

std::vector<double> request_tokens_buckets(std::uint64_t context_tokens) {
  std::vector<double> out;
  for (std::uint64_t decade = 1; decade <= context_tokens && decade <= 1'000'000'000;
       decade *= 10) {
    for (const std::uint64_t step : {1u, 2u, 5u}) {
      if (decade * step <= context_tokens) out.push_back(static_cast<double>(decade * step));
    }
  }
  return out;
}

}  // namespace holdfast::observe
