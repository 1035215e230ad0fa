// Sixteen lanes of NEON with the dot product extension, as four quarters: the vocabulary in which
// generic/*.inc is written. Private to this folder; what each function does is said in avx512/vec.h
// and defined by scalar/vec.h.
//
// Everything is in an anonymous namespace and forced inline: nothing compiled with these flags may
// become a symbol that the linker could pick for other code.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "generic/pointers.h"

#define HF_ISA neon
#define HF_INLINE [[gnu::always_inline]] inline

namespace holdfast::kernels {
namespace {

struct F {
  float32x4_t v[4];
};
struct I {
  int32x4_t v[4];
};
struct Q {
  int8x16_t v[4];
};

constexpr bool kSignedBytes = true;  // sdot wants two signed sides
constexpr int kTileColumnsMax =
    8;  // accumulators live in memory anyway; 8 share the decoding of a block
constexpr int kDotColumns = 2;       // 8 accumulators, 4 codes and 2 broadcasts
constexpr int kFloatColumnsMax = 6;  // 24 accumulators + 4 weights + broadcasts of 32 registers
constexpr int kFloatGroupsOneColumn = 2;  // 8 independent chains hide the latency of fma
constexpr int kScoreRowsMax = 6;
constexpr int kScoreSums = 6;  // rows x key groups: 24 sums + 4 keys + broadcasts of 32 registers
constexpr int kValueRowsMax = 6;
constexpr int kValueSums = 6;    // rows x vectors of values, likewise
constexpr int kPeakDotSums = 5;  // 20 independent chains of 32 registers
constexpr int kPeakFmaSums = 5;
constexpr std::size_t kPrefetchBytes =
    2048;  // covers DRAM latency at the speed of one core: 80 ns x 25 GB/s

template <class Out, class Fn>
HF_INLINE Out quarters(const Fn& fn) {
  return {{fn(0), fn(1), fn(2), fn(3)}};
}

HF_INLINE F f_set(float x) {
  return quarters<F>([&](int) { return vdupq_n_f32(x); });
}
HF_INLINE F f_load(const float* p) {
  return quarters<F>([&](int i) { return vld1q_f32(p + 4 * i); });
}
HF_INLINE void f_store(float* p, F x) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, x.v[i]);
}
// There are no masked loads: the rest of a row goes through the stack.
HF_INLINE F f_load_n(const float* p, std::uint32_t n) {
  float all[16] = {};
  for (std::uint32_t i = 0; i < n; ++i) all[i] = p[i];
  return f_load(all);
}
HF_INLINE void f_store_n(float* p, F x, std::uint32_t n) {
  if (n == 16) {
    f_store(p, x);
    return;
  }
  float all[16];
  f_store(all, x);
  for (std::uint32_t i = 0; i < n; ++i) p[i] = all[i];
}
HF_INLINE F f_add(F x, F y) {
  return quarters<F>([&](int i) { return vaddq_f32(x.v[i], y.v[i]); });
}
HF_INLINE F f_sub(F x, F y) {
  return quarters<F>([&](int i) { return vsubq_f32(x.v[i], y.v[i]); });
}
HF_INLINE F f_mul(F x, F y) {
  return quarters<F>([&](int i) { return vmulq_f32(x.v[i], y.v[i]); });
}
HF_INLINE F f_div(F x, F y) {
  return quarters<F>([&](int i) { return vdivq_f32(x.v[i], y.v[i]); });
}
HF_INLINE F f_fma(F x, F y, F z) {
  return quarters<F>([&](int i) { return vfmaq_f32(z.v[i], x.v[i], y.v[i]); });
}
// FMAX and FMIN would return the NaN; a comparison and a selection give y, as on x86.
HF_INLINE float32x4_t max_of(float32x4_t x, float32x4_t y) {
  return vbslq_f32(vcgtq_f32(x, y), x, y);
}
HF_INLINE F f_max(F x, F y) {
  return quarters<F>([&](int i) { return max_of(x.v[i], y.v[i]); });
}
HF_INLINE F f_min(F x, F y) {
  return quarters<F>([&](int i) { return vbslq_f32(vcltq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]); });
}
HF_INLINE F f_abs(F x) {
  return quarters<F>([&](int i) { return vabsq_f32(x.v[i]); });
}
HF_INLINE F f_neg(F x) {
  return quarters<F>([&](int i) { return vnegq_f32(x.v[i]); });
}
HF_INLINE F f_select_less(F x, F y, F less, F other) {
  return quarters<F>(
      [&](int i) { return vbslq_f32(vcltq_f32(x.v[i], y.v[i]), less.v[i], other.v[i]); });
}
// x 2^n in two exact halves of n, of which only the last product rounds.
HF_INLINE F f_scale_pow2(F x, I n) {
  return quarters<F>([&](int i) {
    const int32x4_t n1 = vshrq_n_s32(n.v[i], 1);
    const int32x4_t n2 = vsubq_s32(n.v[i], n1);
    const float32x4_t p1 = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n1, vdupq_n_s32(127)), 23));
    const float32x4_t p2 = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n2, vdupq_n_s32(127)), 23));
    return vmulq_f32(vmulq_f32(x.v[i], p1), p2);
  });
}
HF_INLINE I f_bits(F x) {
  return quarters<I>([&](int i) { return vreinterpretq_s32_f32(x.v[i]); });
}
HF_INLINE float f_tree_sum(F x) {
  const float32x4_t h4 = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
  const float32x2_t h2 = vadd_f32(vget_low_f32(h4), vget_high_f32(h4));
  return vget_lane_f32(h2, 0) + vget_lane_f32(h2, 1);
}
HF_INLINE float f_tree_max(F x) {
  const float32x4_t h4 = max_of(max_of(x.v[0], x.v[2]), max_of(x.v[1], x.v[3]));
  const float32x4_t h2 = max_of(h4, vextq_f32(h4, h4, 2));
  return vgetq_lane_f32(max_of(h2, vextq_f32(h2, h2, 1)), 0);
}
HF_INLINE float f_first(F x) { return vgetq_lane_f32(x.v[0], 0); }
HF_INLINE float scalar_sqrt(float x) { return __builtin_sqrtf(x); }
HF_INLINE float scalar_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

HF_INLINE F f_load_f16(const std::uint16_t* p) {
  return quarters<F>(
      [&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
// One f16 in all lanes.
HF_INLINE F f_set_f16(const std::uint16_t* p) {
  const float32x4_t x = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(*p)));
  return {{x, x, x, x}};
}
HF_INLINE F f_load_bf16(const std::uint16_t* p) {
  return quarters<F>(
      [&](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
}
HF_INLINE F f_load_f16_n(const std::uint16_t* p, std::uint32_t n) {
  std::uint16_t all[16] = {};
  for (std::uint32_t i = 0; i < n; ++i) all[i] = p[i];
  return f_load_f16(all);
}
HF_INLINE F f_load_bf16_n(const std::uint16_t* p, std::uint32_t n) {
  std::uint16_t all[16] = {};
  for (std::uint32_t i = 0; i < n; ++i) all[i] = p[i];
  return f_load_bf16(all);
}
HF_INLINE void f_store_f16_n(std::uint16_t* p, F x, std::uint32_t n) {
  std::uint16_t all[16];
  for (int i = 0; i < 4; ++i) vst1_u16(all + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
  for (std::uint32_t i = 0; i < n; ++i) p[i] = all[i];
}
HF_INLINE I widen(uint8x16_t bytes) {
  const uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
  const uint16x8_t high = vmovl_u8(vget_high_u8(bytes));
  return {{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
           vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(low))),
           vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
           vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(high)))}};
}
HF_INLINE F i_to_f(I x) {
  return quarters<F>([&](int i) { return vcvtq_f32_s32(x.v[i]); });
}
HF_INLINE F f_load_s8(const std::int8_t* p) {
  const int8x16_t bytes = vld1q_s8(p);
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
  const int16x8_t high = vmovl_s8(vget_high_s8(bytes));
  return i_to_f({{vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)),
                  vmovl_s16(vget_low_s16(high)), vmovl_s16(vget_high_s16(high))}});
}
HF_INLINE F f_load_u8(const std::uint8_t* p) { return i_to_f(widen(vld1q_u8(p))); }
HF_INLINE F f_load_u4_low(const std::uint8_t* p) {
  return i_to_f(widen(vandq_u8(vld1q_u8(p), vdupq_n_u8(15))));
}
HF_INLINE F f_load_u4_high(const std::uint8_t* p) {
  return i_to_f(widen(vshrq_n_u8(vld1q_u8(p), 4)));
}
HF_INLINE F f_load_e8m0_half(const std::uint8_t* p) {
  const I e = widen(vld1q_u8(p));
  return quarters<F>([&](int i) {
    const int32x4_t normal = vshlq_n_s32(vsubq_s32(e.v[i], vdupq_n_s32(1)), 23);
    // For large counts the lane is not used; VSHL looks at the count's low byte alone.
    const int32x4_t subnormal =
        vshlq_s32(vdupq_n_s32(0x00200000), vandq_s32(e.v[i], vdupq_n_s32(1)));
    return vreinterpretq_f32_s32(vbslq_s32(vcltq_s32(e.v[i], vdupq_n_s32(2)), subnormal, normal));
  });
}

HF_INLINE I i_set(std::int32_t x) {
  return quarters<I>([&](int) { return vdupq_n_s32(x); });
}
HF_INLINE I i_sub(I x, I y) {
  return quarters<I>([&](int i) { return vsubq_s32(x.v[i], y.v[i]); });
}
HF_INLINE void i_store_low_bytes(std::int8_t* p, I x) {
  const int16x8_t low = vcombine_s16(vmovn_s32(x.v[0]), vmovn_s32(x.v[1]));
  const int16x8_t high = vcombine_s16(vmovn_s32(x.v[2]), vmovn_s32(x.v[3]));
  vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}
HF_INLINE std::int32_t i_sum(I x) {
  return vaddvq_s32(vaddq_s32(vaddq_s32(x.v[0], x.v[1]), vaddq_s32(x.v[2], x.v[3])));
}

HF_INLINE Q q_load(const std::uint8_t* p) {
  return quarters<Q>([&](int i) { return vreinterpretq_s8_u8(vld1q_u8(p + 16 * i)); });
}
HF_INLINE Q q_low_nibbles(Q x) {
  return quarters<Q>([&](int i) { return vandq_s8(x.v[i], vdupq_n_s8(15)); });
}
HF_INLINE Q q_high_nibbles(Q x) {
  return quarters<Q>(
      [&](int i) { return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(x.v[i]), 4)); });
}
template <int kFrom, int kTo, int kMask>
HF_INLINE Q q_insert(Q y, Q x) {
  return quarters<Q>([&](int i) {
    uint8x16_t bytes = vreinterpretq_u8_s8(x.v[i]);
    if constexpr (kFrom > kTo) bytes = vshrq_n_u8(bytes, kFrom - kTo);
    if constexpr (kFrom < kTo) bytes = vshlq_n_u8(bytes, kTo - kFrom);
    return vorrq_s8(y.v[i], vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(kMask << kTo))));
  });
}
HF_INLINE Q q_zero() {
  return quarters<Q>([&](int) { return vdupq_n_s8(0); });
}
HF_INLINE Q q_load_bytes(const std::uint8_t* p) {
  return quarters<Q>(
      [&](int i) { return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p + 16 * i), vdupq_n_u8(128))); });
}
HF_INLINE Q q_table(const std::int8_t* values) {
  return quarters<Q>([&](int) { return vld1q_s8(values); });
}
HF_INLINE Q q_lookup(Q table, Q index) {
  return quarters<Q>(
      [&](int i) { return vqtbl1q_s8(table.v[i], vreinterpretq_u8_s8(index.v[i])); });
}

template <int kBits, int kQuads, int kColumns>
HF_INLINE void dot(const Q* codes, const std::int8_t* x, I (&acc)[kColumns]) {
#pragma GCC unroll 16
  for (int g = 0; g < kQuads; ++g) {
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) {
      std::int32_t word = 0;
      __builtin_memcpy(&word, x + 32 * c + 4 * g, 4);
      const int8x16_t four = vreinterpretq_s8_s32(vdupq_n_s32(word));
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) acc[c].v[i] = vdotq_s32(acc[c].v[i], codes[g].v[i], four);
    }
  }
}

HF_INLINE void peak_dot_step(I& acc, Q& codes, const Q& x) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) acc.v[i] = vdotq_s32(acc.v[i], codes.v[i], x.v[i]);
}

HF_INLINE void prefetch_l1(const std::byte* p) { __builtin_prefetch(p, 0, 3); }
HF_INLINE void prefetch_l2(const std::byte* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
}  // namespace holdfast::kernels
