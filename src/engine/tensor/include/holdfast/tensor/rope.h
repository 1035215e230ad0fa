// Cosines and sines of rotary position embeddings.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace holdfast::tensor {

// Angles per position of each rotated pair. Value; computed once at load. Thread-compatible.
struct RopeTable {
  std::vector<double> frequencies;  // radians per position, [pairs]
  double magnitude = 1.0;           // multiplies cosines and sines

  bool empty() const { return frequencies.empty(); }
  // Writes [pairs] cosines and sines of one position.
  void fill(std::uint32_t position, float* cos, float* sin) const;
};

// base^(-2i / dims) / divisors[i]; divisors may be empty.
RopeTable make_rope(std::uint32_t dims, double base, std::span<const float> divisors,
                    double magnitude);
// Linear scaling: positions are stretched by `factor`.
void scale_linear(RopeTable& table, double factor);
// YaRN (arXiv 2309.00071): pairs that turn often within `original_context` keep their frequency,
// slow ones are stretched by `factor`, a ramp lies between; the magnitude grows by 1 + ln(factor)
// / 10.
struct YarnOptions {
  double base = 10000.0;
  double factor = 1.0;
  double beta_fast = 32.0;  // turns within the context above which a pair is kept
  double beta_slow = 1.0;   // turns below which it is stretched in full
  std::uint32_t original_context = 0;
};
void scale_yarn(RopeTable& table, const YarnOptions& options);

}  // namespace holdfast::tensor
