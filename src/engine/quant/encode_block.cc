// Encoders of the formats with blocks of 32: one scale, or a scale and an offset, as f16.
#include "encode_row.h"
#include "ggml_blocks.h"

namespace holdfast::quant {
namespace {

constexpr int kN = 32;
using Part32 = Part<kN>;

Part32 block_part(const BlockInput& in) { return make_part<kN>(in, 0, root_mean_square(in.x, kN)); }

// Element k is in vector k / 4.
float level(const Levels<kN>& levels, int k) { return levels[k / 4][k % 4]; }

// Low nibbles are the first half of a block, high ones the second; fifth bits stand apart.
template <typename Block>
void put_codes(const std::array<std::uint8_t, kN>& codes, Block& block) {
  for (int i = 0; i < kN / 2; ++i) {
    block.qs[i] =
        static_cast<std::uint8_t>((codes[i] & 15) | static_cast<unsigned>(codes[i + 16] & 15) << 4);
  }
  if constexpr (requires { block.qh; }) {
    std::uint32_t high = 0;
    for (int k = 0; k < kN; ++k) high |= static_cast<std::uint32_t>(codes[k] >> 4) << k;
    block.qh = high;
  }
}

template <typename Grid, typename Block>
void encode_scaled(const BlockInput& in, std::byte* out) {
  const Part32 part = block_part(in);
  Block block;
  block.d = f32_to_f16(fit_scale<Grid>(part));
  Levels<kN> levels;
  choose_levels<Grid>(part, f16_to_f32(block.d), levels);
  std::array<std::uint8_t, kN> codes;
  for (int k = 0; k < kN; ++k) codes[k] = Grid::code(level(levels, k));
  put_codes(codes, block);
  store_block(block, out);
}

template <int kMax, typename Block>
void encode_affine(const BlockInput& in, std::byte* out) {
  const Part32 part = block_part(in);
  const Affine fitted = fit_affine<kMax>(part, true);
  Block block;
  block.d = f32_to_f16(fitted.s);
  block.m = f32_to_f16(fitted.m);
  Levels<kN> levels;
  choose_levels<kMax>(part, Affine{f16_to_f32(block.d), f16_to_f32(block.m)}, levels);
  std::array<std::uint8_t, kN> codes;
  for (int k = 0; k < kN; ++k) codes[k] = static_cast<std::uint8_t>(level(levels, k));
  put_codes(codes, block);
  store_block(block, out);
}

// Eight bits leave nothing to search for: the largest value gets the largest code.
void encode_q8_0(const BlockInput& in, std::byte* out) {
  float largest = 0;
  for (int k = 0; k < kN; ++k) largest = std::max(largest, std::abs(in.x[k]));
  BlockQ8_0 block;
  block.d = f32_to_f16(largest / 127.0f);
  const float d = f16_to_f32(block.d);
  const float inverse = d < kScaleMin ? 0.0f : 1.0f / d;
  for (int k = 0; k < kN; ++k) {
    const float q = std::clamp(std::nearbyint(in.x[k] * inverse), -127.0f, 127.0f);
    block.qs[k] = static_cast<std::int8_t>(q);
  }
  store_block(block, out);
}

}  // namespace

EncodeBlock encode_block_32(TensorType type) {
  switch (type) {
    case TensorType::kQ4_0:
      return encode_scaled<UniformGrid<-8, 7, 17>, BlockQ4_0>;
    case TensorType::kQ5_0:
      return encode_scaled<UniformGrid<-16, 15, 21>, BlockQ5_0>;
    case TensorType::kIQ4_NL:
      return encode_scaled<UnevenGrid, BlockIQ4_NL>;
    case TensorType::kQ4_1:
      return encode_affine<15, BlockQ4_1>;
    case TensorType::kQ5_1:
      return encode_affine<31, BlockQ5_1>;
    case TensorType::kQ8_0:
      return encode_q8_0;
    default:
      return nullptr;
  }
}

}  // namespace holdfast::quant
