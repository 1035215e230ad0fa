#include "split.h"

#include <cstring>

#include "ggml_blocks.h"
#include "holdfast/base/check.h"
#include "holdfast/quant/half.h"

namespace holdfast::quant {
namespace {

template <typename Block>
Block load_block(const std::byte* p) {
  Block block;
  std::memcpy(&block, p, sizeof block);
  return block;
}

// n low nibbles, then n high nibbles.
void nibbles_in_halves(const std::uint8_t* qs, std::uint32_t n, std::uint8_t* q) {
  for (std::uint32_t i = 0; i < n; ++i) {
    q[i] = qs[i] & 15;
    q[n + i] = qs[i] >> 4;
  }
}

// 32 bytes whose fields of two bits are 4 runs of 32.
void pairs_in_quarters(const std::uint8_t* qs, std::uint8_t* q) {
  for (std::uint32_t run = 0; run < 4; ++run) {
    for (std::uint32_t i = 0; i < 32; ++i) q[32 * run + i] = (qs[i] >> (2 * run)) & 3;
  }
}

template <typename Block>
void split_4(const std::byte* p, RowBlock& out) {
  const auto block = load_block<Block>(p);
  out.d = block.d;
  if constexpr (requires { block.m; }) out.m = block.m;
  nibbles_in_halves(block.qs, 16, out.q);
}

template <typename Block>
void split_5(const std::byte* p, RowBlock& out) {
  split_4<Block>(p, out);
  const std::uint32_t high = load_block<Block>(p).qh;
  for (std::uint32_t k = 0; k < 32; ++k) {
    out.q[k] |= static_cast<std::uint8_t>(((high >> k) & 1) << 4);
  }
}

void split_mxfp4(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockMXFP4>(p);
  out.d = block.e;
  nibbles_in_halves(block.qs, 16, out.q);
}

void split_q8_0(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockQ8_0>(p);
  out.d = block.d;
  for (std::uint32_t k = 0; k < 32; ++k) out.q[k] = static_cast<std::uint8_t>(block.qs[k] + 128);
}

void split_q2_k(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockQ2_K>(p);
  out.d = block.d;
  out.m = block.dmin;
  for (std::uint32_t h = 0; h < 16; ++h) {
    out.sc[h] = static_cast<std::int8_t>(block.scales[h] & 15);
    out.mn[h] = block.scales[h] >> 4;
  }
  for (std::uint32_t half = 0; half < 2; ++half) {
    pairs_in_quarters(block.qs + 32 * half, out.q + 128 * half);
  }
}

void split_q3_k(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockQ3_K>(p);
  out.d = block.d;
  // Scales of 6 bits: the low four in bytes 0..7, the high two in bytes 8..11.
  for (std::uint32_t h = 0; h < 16; ++h) {
    const int low = (block.scales[h % 8] >> (4 * (h / 8))) & 15;
    const int high = (block.scales[8 + h % 4] >> (2 * (h / 4))) & 3;
    out.sc[h] = static_cast<std::int8_t>((low | high << 4) - 32);
  }
  for (std::uint32_t half = 0; half < 2; ++half) {
    pairs_in_quarters(block.qs + 32 * half, out.q + 128 * half);
  }
  for (std::uint32_t b = 0; b < 8; ++b) {
    for (std::uint32_t i = 0; i < 32; ++i) {
      out.q[32 * b + i] |= static_cast<std::uint8_t>(((block.hmask[i] >> b) & 1) << 2);
    }
  }
}

// Eight scales and eight minima of 6 bits in 12 bytes. The first four of each are the low 6 bits of
// bytes 0..3 and 4..7; of the rest, bytes 8..11 hold the low four bits and the top bits of bytes
// 0..7 the high two.
void split_scales_6(const std::uint8_t* bytes, RowBlock& out) {
  for (std::uint32_t b = 0; b < 4; ++b) {
    out.sc[b] = static_cast<std::int8_t>(bytes[b] & 63);
    out.mn[b] = bytes[4 + b] & 63;
    out.sc[4 + b] = static_cast<std::int8_t>((bytes[8 + b] & 15) | (bytes[b] >> 6) << 4);
    out.mn[4 + b] = static_cast<std::uint8_t>((bytes[8 + b] >> 4) | (bytes[4 + b] >> 6) << 4);
  }
}

template <typename Block>
void split_45_k(const std::byte* p, RowBlock& out) {
  const auto block = load_block<Block>(p);
  out.d = block.d;
  out.m = block.dmin;
  split_scales_6(block.scales, out);
  for (std::uint32_t c = 0; c < 4; ++c) nibbles_in_halves(block.qs + 32 * c, 32, out.q + 64 * c);
}

void split_q5_k(const std::byte* p, RowBlock& out) {
  split_45_k<BlockQ5_K>(p, out);
  const auto block = load_block<BlockQ5_K>(p);
  for (std::uint32_t b = 0; b < 8; ++b) {
    for (std::uint32_t i = 0; i < 32; ++i) {
      out.q[32 * b + i] |= static_cast<std::uint8_t>(((block.qh[i] >> b) & 1) << 4);
    }
  }
}

void split_q6_k(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockQ6_K>(p);
  out.d = block.d;
  std::memcpy(out.sc, block.scales, sizeof block.scales);
  std::uint8_t high[kSuperBlockK];
  for (std::uint32_t c = 0; c < 2; ++c) {
    nibbles_in_halves(block.ql + 64 * c, 64, out.q + 128 * c);
    pairs_in_quarters(block.qh + 32 * c, high + 128 * c);
  }
  for (std::uint32_t k = 0; k < kSuperBlockK; ++k) {
    out.q[k] |= static_cast<std::uint8_t>(high[k] << 4);
  }
}

void split_iq4_xs(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockIQ4_XS>(p);
  out.d = block.d;
  for (std::uint32_t b = 0; b < 8; ++b) {
    const int low = (block.scales_l[b / 2] >> (4 * (b % 2))) & 15;
    const int high = (block.scales_h >> (2 * b)) & 3;
    out.sc[b] = static_cast<std::int8_t>((low | high << 4) - 32);
    nibbles_in_halves(block.qs + 16 * b, 16, out.q + 32 * b);
  }
}

// w = scale * (q - zero)
void scaled(float scale, const std::uint8_t* q, int zero, std::uint32_t n, float* out) {
  for (std::uint32_t k = 0; k < n; ++k) out[k] = scale * static_cast<float>(q[k] - zero);
}

// w = scale * table[q]
void looked_up(float scale, const std::uint8_t* q, const std::int8_t* table, std::uint32_t n,
               float* out) {
  for (std::uint32_t k = 0; k < n; ++k) out[k] = scale * static_cast<float>(table[q[k]]);
}

// w = scale * q + offset
void affine(float scale, float offset, const std::uint8_t* q, std::uint32_t n, float* out) {
  for (std::uint32_t k = 0; k < n; ++k) out[k] = scale * static_cast<float>(q[k]) + offset;
}

// Affine parts of `part` k: (d * sc) * q - (dmin * mn).
void affine_parts(const RowBlock& b, std::uint32_t part, std::uint32_t n, float* out) {
  const float d = f16_to_f32(b.d);
  const float dmin = f16_to_f32(b.m);
  for (std::uint32_t i = 0; i < n / part; ++i) {
    affine(d * static_cast<float>(b.sc[i]), -(dmin * static_cast<float>(b.mn[i])), b.q + part * i,
           part, out + part * i);
  }
}

// Parts of 16 k: (d * sc) * (q - zero).
void scaled_parts(const RowBlock& b, int zero, std::uint32_t n, float* out) {
  const float d = f16_to_f32(b.d);
  for (std::uint32_t h = 0; h < n / 16; ++h) {
    scaled(d * static_cast<float>(b.sc[h]), b.q + 16 * h, zero, 16, out + 16 * h);
  }
}

}  // namespace

SplitFunction split_function(TensorType source) {
  switch (source) {
    case TensorType::kQ4_0:
    case TensorType::kIQ4_NL:
      return split_4<BlockQ4_0>;
    case TensorType::kQ4_1:
      return split_4<BlockQ4_1>;
    case TensorType::kQ5_0:
      return split_5<BlockQ5_0>;
    case TensorType::kQ5_1:
      return split_5<BlockQ5_1>;
    case TensorType::kQ8_0:
      return split_q8_0;
    case TensorType::kMXFP4:
      return split_mxfp4;
    case TensorType::kQ2_K:
      return split_q2_k;
    case TensorType::kQ3_K:
      return split_q3_k;
    case TensorType::kQ4_K:
      return split_45_k<BlockQ4_K>;
    case TensorType::kQ5_K:
      return split_q5_k;
    case TensorType::kQ6_K:
      return split_q6_k;
    case TensorType::kIQ4_XS:
      return split_iq4_xs;
    default:
      return split_function_p8s(source);
  }
}

void evaluate(TensorType packed, const RowBlock& b, std::uint32_t n, float* out) {
  const float d = f16_to_f32(b.d);
  switch (packed) {
    case TensorType::kP4_0:
      return scaled(d, b.q, 8, n, out);
    case TensorType::kP5_0:
      return scaled(d, b.q, 16, n, out);
    case TensorType::kP8_0:
      return scaled(d, b.q, 128, n, out);
    case TensorType::kP4_1:
    case TensorType::kP5_1:
      return affine(d, f16_to_f32(b.m), b.q, n, out);
    case TensorType::kPNL4:
      return looked_up(d, b.q, kNl4Values, n, out);
    case TensorType::kPMX4:
      return looked_up(e8m0_half_to_f32(static_cast<std::uint8_t>(b.d)), b.q, kE2m1Doubled, n, out);
    case TensorType::kP2_K:
      return affine_parts(b, 16, n, out);
    case TensorType::kP4_K:
    case TensorType::kP5_K:
      return affine_parts(b, 32, n, out);
    case TensorType::kP3_K:
      return scaled_parts(b, 4, n, out);
    case TensorType::kP6_K:
      return scaled_parts(b, 32, n, out);
    case TensorType::kP4_XS:
      for (std::uint32_t i = 0; i < n / 32; ++i) {
        looked_up(d * static_cast<float>(b.sc[i]), b.q + 32 * i, kNl4Values, 32, out + 32 * i);
      }
      return;
    case TensorType::kP8S:
      for (std::uint32_t h = 0; h < n / 16; ++h) {
        scaled(b.s[h], b.q + 16 * h, 128, 16, out + 16 * h);
      }
      return;
    default:
      HF_CHECK(!"a packed type with integer codes");
  }
}

}  // namespace holdfast::quant
