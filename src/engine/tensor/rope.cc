#include "holdfast/tensor/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace holdfast::tensor {

// In double: at position 100000 a float angle would be off by 0.004 radians.
void RopeTable::fill(std::uint32_t position, float* cos, float* sin) const {
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    cos[i] = static_cast<float>(std::cos(angle) * magnitude);
    sin[i] = static_cast<float>(std::sin(angle) * magnitude);
  }
}

RopeTable make_rope(std::uint32_t dims, double base, std::span<const float> divisors,
                    double magnitude) {
  RopeTable table;
  table.magnitude = magnitude;
  table.frequencies.resize(dims / 2);
  for (std::size_t i = 0; i < table.frequencies.size(); ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(dims);
    table.frequencies[i] = std::pow(base, exponent);
    if (!divisors.empty()) table.frequencies[i] /= static_cast<double>(divisors[i]);
  }
  return table;
}

void scale_linear(RopeTable& table, double factor) {
  for (double& f : table.frequencies) f /= factor;
}

void scale_yarn(RopeTable& table, const YarnOptions& o) {
  const auto dims = static_cast<double>(2 * table.frequencies.size());
  // The (fractional) pair that makes `turns` turns within the original context.
  const auto pair_of = [&](double turns) {
    return dims * std::log(o.original_context / (turns * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(o.base));
  };
  const double low = std::max(0.0, std::floor(pair_of(o.beta_fast)));
  const double high = std::min(dims - 1.0, std::ceil(pair_of(o.beta_slow)));
  for (std::size_t i = 0; i < table.frequencies.size(); ++i) {
    const double ramp = (static_cast<double>(i) - low) / std::max(0.001, high - low);
    const double keep = 1.0 - std::clamp(ramp, 0.0, 1.0);
    const double f = table.frequencies[i];
    table.frequencies[i] = f / o.factor * (1.0 - keep) + f * keep;
  }
  if (o.factor > 1.0) table.magnitude *= 1.0 + 0.1 * std::log(o.factor);
}

}  // namespace holdfast::tensor
