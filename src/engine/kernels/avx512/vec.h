// Sixteen lanes of AVX-512: the vocabulary in which generic/*.inc is written. Private to this
// folder.
//
// Everything is in an anonymous namespace and forced inline: nothing compiled with these flags may
// become a symbol that the linker could pick for other code.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "generic/pointers.h"

#define HF_ISA avx512
#define HF_INLINE [[gnu::always_inline]] inline

namespace holdfast::kernels {
namespace {

using F = __m512;   // 16 floats
using I = __m512i;  // 16 integers of 32 bits
using Q = __m512i;  // 64 bytes: four consecutive k of 16 rows

constexpr bool kSignedBytes =
    false;  // 8-bit codes are u8 with zero point 128: vpdpbusd wants one unsigned side
constexpr int kTileColumnsMax =
    12;  // 12 f32 accumulators + 8 quads of codes + scale and temporaries: 32 registers
constexpr int kDotColumns = 1;  // columns are independent: out-of-order execution overlaps them
constexpr int kFloatColumnsMax = 12;
constexpr int kScoreRowsMax = 12;
constexpr int kScoreSums = 24;  // rows x key groups held in registers by attention
constexpr int kValueRowsMax = 12;
constexpr int kValueSums = 24;            // rows x vectors of values, likewise
constexpr int kFloatGroupsOneColumn = 4;  // independent chains that hide the latency of fma
constexpr int kPeakDotSums = 12;          // independent chains that hide the latency
constexpr int kPeakFmaSums = 12;
constexpr std::size_t kPrefetchBytes =
    2048;  // covers DRAM latency at the speed of one core: 80 ns x 25 GB/s

HF_INLINE F f_set(float x) { return _mm512_set1_ps(x); }
HF_INLINE F f_load(const float* p) { return _mm512_loadu_ps(p); }
HF_INLINE void f_store(float* p, F x) { _mm512_storeu_ps(p, x); }
HF_INLINE __mmask16 first(std::uint32_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
// The first n <= 16 lanes; the rest is zero and its memory is not touched.
HF_INLINE F f_load_n(const float* p, std::uint32_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
HF_INLINE void f_store_n(float* p, F x, std::uint32_t n) { _mm512_mask_storeu_ps(p, first(n), x); }
HF_INLINE F f_add(F a, F b) { return _mm512_add_ps(a, b); }
HF_INLINE F f_sub(F a, F b) { return _mm512_sub_ps(a, b); }
HF_INLINE F f_mul(F a, F b) { return _mm512_mul_ps(a, b); }
HF_INLINE F f_div(F a, F b) { return _mm512_div_ps(a, b); }
HF_INLINE F f_fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
// a > b ? a : b and a < b ? a : b: b where one is NaN.
HF_INLINE F f_max(F a, F b) { return _mm512_max_ps(a, b); }
HF_INLINE F f_min(F a, F b) { return _mm512_min_ps(a, b); }
HF_INLINE F f_abs(F a) { return _mm512_abs_ps(a); }
HF_INLINE F f_neg(F a) {
  return _mm512_castsi512_ps(
      _mm512_xor_si512(_mm512_castps_si512(a), _mm512_set1_epi32(INT32_MIN)));
}
// a < b ? x : y
HF_INLINE F f_select_less(F a, F b, F x, F y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
// x * 2^n, rounded once; n as integer bits.
HF_INLINE F f_scale_pow2(F x, I n) { return _mm512_scalef_ps(x, _mm512_cvtepi32_ps(n)); }
HF_INLINE I f_bits(F a) { return _mm512_castps_si512(a); }
// Lane i with i + 8, then i + 4, i + 2, i + 1: the order that every instruction set follows.
HF_INLINE float f_tree_sum(F a) {
  const __m256 h8 = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  const __m128 h4 = _mm_add_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_add_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_add_ss(h2, _mm_movehdup_ps(h2)));
}
HF_INLINE float f_tree_max(F a) {
  const __m256 h8 = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  const __m128 h4 = _mm_max_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_max_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_max_ss(h2, _mm_movehdup_ps(h2)));
}
HF_INLINE float f_first(F a) { return _mm512_cvtss_f32(a); }
HF_INLINE float scalar_sqrt(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
HF_INLINE float scalar_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

HF_INLINE F f_load_f16(const std::uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(at<__m256i>(p)));
}
HF_INLINE F f_load_f16_n(const std::uint16_t* p, std::uint32_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p));
}
// One f16 in all lanes.
HF_INLINE F f_set_f16(const std::uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<short>(*p)));
}
HF_INLINE F f_load_bf16(const std::uint16_t* p) {
  const __m256i h = _mm256_loadu_si256(at<__m256i>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
HF_INLINE F f_load_bf16_n(const std::uint16_t* p, std::uint32_t n) {
  const __m256i h = _mm256_maskz_loadu_epi16(first(n), p);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
HF_INLINE void f_store_f16_n(std::uint16_t* p, F x, std::uint32_t n) {
  const __m256i h = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm256_mask_storeu_epi16(p, first(n), h);
}
HF_INLINE F f_load_s8(const std::int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at<__m128i>(p))));
}
HF_INLINE F f_load_u8(const std::uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(at<__m128i>(p))));
}
// Low and high four bits of 16 bytes.
HF_INLINE F f_load_u4_low(const std::uint8_t* p) {
  const __m128i b = _mm_loadu_si128(at<__m128i>(p));
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_and_si128(b, _mm_set1_epi8(15))));
}
HF_INLINE F f_load_u4_high(const std::uint8_t* p) {
  const __m128i b = _mm_loadu_si128(at<__m128i>(p));
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_and_si128(_mm_srli_epi16(b, 4), _mm_set1_epi8(15))));
}
// 2^(e - 128) for sixteen e of one byte; e = 0 and 1 give subnormals.
HF_INLINE F f_load_e8m0_half(const std::uint8_t* p) {
  const I e = _mm512_cvtepu8_epi32(_mm_loadu_si128(at<__m128i>(p)));
  const I normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
  const I subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
  const __mmask16 small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
  return _mm512_castsi512_ps(_mm512_mask_blend_epi32(small, normal, subnormal));
}

HF_INLINE I i_set(std::int32_t x) { return _mm512_set1_epi32(x); }
HF_INLINE I i_sub(I a, I b) { return _mm512_sub_epi32(a, b); }
HF_INLINE F i_to_f(I a) { return _mm512_cvtepi32_ps(a); }
// The low bytes of the lanes, 16 of them; and the exact sum of the lanes' low bytes as signed
// numbers.
HF_INLINE void i_store_low_bytes(std::int8_t* p, I a) {
  _mm_storeu_si128(at<__m128i>(p), _mm512_cvtepi32_epi8(a));
}
HF_INLINE std::int32_t i_sum(I a) { return _mm512_reduce_add_epi32(a); }

HF_INLINE Q q_load(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
HF_INLINE Q q_low_nibbles(Q a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
HF_INLINE Q q_high_nibbles(Q a) {
  return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15));
}
// The bits of `mask` in every byte of a shifted right by `from` and left by `to`, or-ed into b.
template <int kFrom, int kTo, int kMask>
HF_INLINE Q q_insert(Q b, Q a) {
  Q shifted = a;
  if constexpr (kFrom > kTo) shifted = _mm512_srli_epi16(a, kFrom - kTo);
  if constexpr (kFrom < kTo) shifted = _mm512_slli_epi16(a, kTo - kFrom);
  return _mm512_ternarylogic_epi32(b, shifted, _mm512_set1_epi8(kMask << kTo),
                                   0xf8);  // b | (s & m)
}
HF_INLINE Q q_zero() { return _mm512_setzero_si512(); }
// Codes stored as u = q + 128, in the form that `dot` wants.
HF_INLINE Q q_load_bytes(const std::uint8_t* p) { return q_load(p); }
HF_INLINE Q q_table(const std::int8_t* values) {
  const __m128i v = _mm_loadu_si128(at<__m128i>(values));
  return _mm512_broadcast_i32x4(_mm_xor_si128(v, _mm_set1_epi8(-128)));
}
HF_INLINE Q q_lookup(Q table, Q index) { return _mm512_shuffle_epi8(table, index); }

// acc += dot of a quad of codes with the four bytes at x. Written as assembly because the compiler
// would turn the broadcast, which is free as a memory operand, into an instruction of its own.
HF_INLINE void dot_quad(Q codes, const std::int8_t* x, I& acc) {
#ifdef HF_EMULATED  // by tests/emulated/avx512.h, on machines without these instructions
  std::int32_t word = 0;
  __builtin_memcpy(&word, x, 4);
  acc = _mm512_dpbusd_epi32(acc, codes, _mm512_set1_epi32(word));
#else
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(codes), "m"(*at<std::int32_t>(x)));
#endif
}

// acc[c] += dot of kQuads quads of codes with x + 32 c.
template <int kBits, int kQuads, int kColumns>
HF_INLINE void dot(const Q* codes, const std::int8_t* x, I (&acc)[kColumns]) {
#pragma GCC unroll 16
  for (int g = 0; g < kQuads; ++g) {
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) dot_quad(codes[g], x + 32 * c + 4 * g, acc[c]);
  }
}

// One step of generic/peak.inc: acc += codes . x, four products a lane. The codes are not constant:
// where the instruction does not add by itself, the products would be computed once for all steps.
HF_INLINE void peak_dot_step(I& acc, Q& codes, const Q& x) {
  acc = _mm512_dpbusd_epi32(acc, codes, x);
}

HF_INLINE void prefetch_l1(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T0); }
HF_INLINE void prefetch_l2(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T1); }

}  // namespace
}  // namespace holdfast::kernels
