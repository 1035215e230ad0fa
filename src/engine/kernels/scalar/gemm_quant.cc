// W x for quantised W, written out: the reference of every other folder. No tiles, no panels, one
// row and one column at a time; the formula and the order of the additions are those of KernelTable
// in kernel_table.h, the layouts those of quant/packed_blocks.h.
#include "scalar/vec.h"
//
#include "generic/entries.h"
#include "generic/pointers.h"
#include "holdfast/quant/packed_blocks.h"

namespace holdfast::kernels {
namespace {

using quant::kVectorBytes;

// Codes of one row in 32 consecutive k, zero point taken off.
struct Codes {
  std::int32_t q[32];
};

std::int32_t nibble(const std::uint8_t (*nibbles)[kVectorBytes], int row, int k) {
  const std::uint8_t byte = nibbles[k % 16 / 4][4 * row + k % 4];
  return k < 16 ? byte & 15 : byte >> 4;
}

std::int32_t pair(const std::uint8_t (*pairs)[kVectorBytes], int row, int k) {
  return pairs[k / 16][4 * row + k % 4] >> (2 * (k % 16 / 4)) & 3;
}

std::int32_t bit(const std::uint8_t* bits, int row, int k) {
  return bits[4 * row + k % 4] >> (k / 4) & 1;
}

template <class CodeOf>
Codes codes_of(const CodeOf& code_of) {
  Codes out;
  for (int k = 0; k < 32; ++k) out.q[k] = code_of(k);
  return out;
}

// What one row of one part of 32 k is multiplied with.
struct RowScales {
  int subs;  // 1, or 2 for halves of 16 k
  float w[2];
  bool has_min;
  float m[2];
};

// Overloads per block: codes and scales of row r in part p.
Codes codes(const quant::BlockP4_0& b, int, int r) {
  return codes_of([&](int k) { return nibble(b.nibbles, r, k) - 8; });
}
Codes codes(const quant::BlockP4_1& b, int, int r) {
  return codes_of([&](int k) { return nibble(b.nibbles, r, k); });
}
Codes codes(const quant::BlockP5_0& b, int, int r) {
  return codes_of([&](int k) { return (nibble(b.nibbles, r, k) | bit(b.bits, r, k) << 4) - 16; });
}
Codes codes(const quant::BlockP5_1& b, int, int r) {
  return codes_of([&](int k) { return nibble(b.nibbles, r, k) | bit(b.bits, r, k) << 4; });
}
Codes codes(const quant::BlockP8_0& b, int, int r) {
  return codes_of([&](int k) { return b.bytes[k / 4][4 * r + k % 4] - 128; });
}
Codes codes(const quant::BlockPNL4& b, int, int r) {
  return codes_of([&](int k) { return quant::kNl4Values[nibble(b.nibbles, r, k)]; });
}
Codes codes(const quant::BlockPMX4& b, int, int r) {
  return codes_of([&](int k) { return quant::kE2m1Doubled[nibble(b.nibbles, r, k)]; });
}
Codes codes(const quant::BlockP8S& b, int, int r) {
  return codes_of([&](int k) { return b.bytes[k / 4][4 * r + k % 4] - 128; });
}
Codes codes(const quant::BlockP2_K& b, int p, int r) {
  return codes_of([&](int k) { return pair(b.pairs[p], r, k); });
}
Codes codes(const quant::BlockP3_K& b, int p, int r) {
  const auto& part = b.parts[p];
  return codes_of([&](int k) { return (pair(part.pairs, r, k) | bit(part.bits, r, k) << 2) - 4; });
}
Codes codes(const quant::BlockP4_K& b, int p, int r) {
  return codes_of([&](int k) { return nibble(b.nibbles[p], r, k); });
}
Codes codes(const quant::BlockP5_K& b, int p, int r) {
  const auto& part = b.parts[p];
  return codes_of([&](int k) { return nibble(part.nibbles, r, k) | bit(part.bits, r, k) << 4; });
}
Codes codes(const quant::BlockP6_K& b, int p, int r) {
  const auto& part = b.parts[p];
  return codes_of(
      [&](int k) { return (nibble(part.nibbles, r, k) | pair(part.pairs, r, k) << 4) - 32; });
}
Codes codes(const quant::BlockP4_XS& b, int p, int r) {
  return codes_of([&](int k) { return quant::kNl4Values[nibble(b.nibbles[p], r, k)]; });
}

template <class B>
RowScales one_scale(const B& b, int r) {
  return {1, {half_to_float(b.d[r]), 0}, false, {}};
}
template <class B>
RowScales scale_and_min(const B& b, int r) {
  return {1, {half_to_float(b.d[r]), 0}, true, {half_to_float(b.m[r]), 0}};
}
template <class B>
RowScales super_scale_and_min(const B& b, int p, int r) {
  const float d = half_to_float(b.d[r]);
  const float minus_dmin = -half_to_float(b.dmin[r]);
  return {1,
          {d * static_cast<float>(b.sc[p][r]), 0},
          true,
          {minus_dmin * static_cast<float>(b.mn[p][r]), 0}};
}
template <class B>
RowScales super_two_scales(const B& b, int p, int r) {
  const float d = half_to_float(b.d[r]);
  return {2,
          {d * static_cast<float>(b.sc[2 * p][r]), d * static_cast<float>(b.sc[2 * p + 1][r])},
          false,
          {}};
}
RowScales scales(const quant::BlockP4_0& b, int, int r) { return one_scale(b, r); }
RowScales scales(const quant::BlockP4_1& b, int, int r) { return scale_and_min(b, r); }
RowScales scales(const quant::BlockP5_0& b, int, int r) { return one_scale(b, r); }
RowScales scales(const quant::BlockP5_1& b, int, int r) { return scale_and_min(b, r); }
RowScales scales(const quant::BlockP8_0& b, int, int r) { return one_scale(b, r); }
RowScales scales(const quant::BlockPNL4& b, int, int r) { return one_scale(b, r); }
RowScales scales(const quant::BlockPMX4& b, int, int r) {
  const std::uint32_t e = b.e[r];
  return {1, {float_of(e < 2 ? 0x00200000u << e : (e - 1) << 23), 0}, false, {}};
}
RowScales scales(const quant::BlockP8S& b, int, int r) {
  return {2, {b.s[0][r], b.s[1][r]}, false, {}};
}
RowScales scales(const quant::BlockP2_K& b, int p, int r) {
  const float d = half_to_float(b.d[r]);
  const float minus_dmin = -half_to_float(b.dmin[r]);
  const int s0 = b.scales[2 * p][r];
  const int s1 = b.scales[2 * p + 1][r];
  return {2,
          {d * static_cast<float>(s0 & 15), d * static_cast<float>(s1 & 15)},
          true,
          {minus_dmin * static_cast<float>(s0 >> 4), minus_dmin * static_cast<float>(s1 >> 4)}};
}
RowScales scales(const quant::BlockP3_K& b, int p, int r) { return super_two_scales(b, p, r); }
RowScales scales(const quant::BlockP4_K& b, int p, int r) { return super_scale_and_min(b, p, r); }
RowScales scales(const quant::BlockP5_K& b, int p, int r) { return super_scale_and_min(b, p, r); }
RowScales scales(const quant::BlockP6_K& b, int p, int r) { return super_two_scales(b, p, r); }
RowScales scales(const quant::BlockP4_XS& b, int p, int r) {
  return {1, {half_to_float(b.d[r]) * static_cast<float>(b.sc[p][r]), 0}, false, {}};
}

// Adds one part of 32 k of one row to `acc`.
float add_part(float acc, const Codes& w, const RowScales& s, const std::int8_t* q, float d,
               const std::int32_t* s16) {
  std::int32_t dots[2] = {0, 0};
  for (int k = 0; k < 32; ++k) dots[s.subs == 2 ? k / 16 : 0] += w.q[k] * q[k];
  if (s.subs == 1) {
    acc = scalar_fma(static_cast<float>(dots[0]), s.w[0] * d, acc);
    if (s.has_min) acc = scalar_fma(static_cast<float>(s16[0] + s16[1]) * d, s.m[0], acc);
    return acc;
  }
  const float both =
      scalar_fma(static_cast<float>(dots[1]), s.w[1], static_cast<float>(dots[0]) * s.w[0]);
  acc = scalar_fma(both, d, acc);
  for (int h = 0; h < 2 && s.has_min; ++h)
    acc = scalar_fma(static_cast<float>(s16[h]) * d, s.m[h], acc);
  return acc;
}

template <class Block, int kParts>
void gemm(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin,
          std::uint32_t group_end, const ActivationView& x, float* out, std::size_t out_stride) {
  const std::uint32_t blocks = x.k / (32 * kParts);
  for (std::uint32_t row = group_begin * 16; row < group_end * 16 && row < rows; ++row) {
    const auto* group = at<Block>(matrix) + std::size_t{row / 16} * blocks;
    const int r = static_cast<int>(row % 16);
    for (std::uint32_t c = 0; c < x.n; ++c) {
      float acc = 0;
      for (std::uint32_t part = 0; part < blocks * kParts; ++part) {
        const Block& block = group[part / kParts];
        const int p = static_cast<int>(part % kParts);
        acc = add_part(acc, codes(block, p, r), scales(block, p, r),
                       x.q + c * x.q_stride + std::size_t{part} * 32, x.d[c * x.d_stride + part],
                       x.s16 + c * x.s16_stride + std::size_t{part} * 2);
      }
      out[c * out_stride + row] = acc;
    }
  }
}

}  // namespace

namespace HF_ISA {
#define HF_GEMM(field, block, parts)                                                        \
  void gemm_##field(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin, \
                    std::uint32_t group_end, const ActivationView& x, float* out,           \
                    std::size_t out_stride) {                                               \
    gemm<block, parts>(matrix, rows, group_begin, group_end, x, out, out_stride);           \
  }
#define HF_QUANT_BLOCK_KERNEL(type, field) HF_GEMM(field, quant::Block##type, 1)
#define HF_QUANT_SUPER_KERNEL(type, field) HF_GEMM(field, quant::Block##type, 8)
#include "holdfast/kernels/formats.def"
#undef HF_QUANT_BLOCK_KERNEL
#undef HF_QUANT_SUPER_KERNEL
#undef HF_GEMM
}  // namespace HF_ISA
}  // namespace holdfast::kernels
