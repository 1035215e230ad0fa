// What the encoder's files share: a row cut into blocks, and how its errors are weighed.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "encode_fit.h"
#include "holdfast/quant/half.h"
#include "holdfast/quant/types.h"

namespace holdfast::quant {

// A block of a row: its values and, unless null, their importance.
struct BlockInput {
  const float* x = nullptr;
  const float* importance = nullptr;
};

// Encodes one block; the values are finite and small enough for its scales.
using EncodeBlock = void (*)(const BlockInput& in, std::byte* out);

// nullptr for types that are encoded otherwise or not at all.
EncodeBlock encode_block_32(TensorType type);
EncodeBlock encode_block_256(TensorType type);

// Weights of kN values from `first` on. Large weights matter more than their number says, since
// they stand out of the noise that rounding adds to all: with `spread` the root mean square of the
// values around, an error weighs sqrt(spread^2 + x^2), times its column's importance.
template <int kN>
Part<kN> make_part(const BlockInput& in, int first, float spread) {
  Part<kN> part;
  for (int i = 0; i < Part<kN>::kVectors; ++i) {
    std::memcpy(&part.x[i], in.x + first + 4 * i, sizeof(F4));
    for (int k = 0; k < 4; ++k) {
      const float x = part.x[i][k];
      part.w[i][k] = std::sqrt(spread * spread + x * x);
    }
    if (in.importance == nullptr) continue;
    F4 importance;
    std::memcpy(&importance, in.importance + first + 4 * i, sizeof importance);
    part.w[i] *= importance;
  }
  return part;
}

inline float root_mean_square(const float* x, int n) {
  F4 sum = splat(0.0f);
  for (int i = 0; i < n; i += 4) {
    F4 v;
    std::memcpy(&v, x + i, sizeof v);
    sum += v * v;
  }
  return std::sqrt(sum4(sum) / static_cast<float>(n));
}

// To the nearest scale that the file can hold.
inline float through_f16(float v) { return f16_to_f32(f32_to_f16(v)); }

template <typename Block>
void store_block(const Block& block, std::byte* out) {
  std::memcpy(out, &block, sizeof block);
}

}  // namespace holdfast::quant
