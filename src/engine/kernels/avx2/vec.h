// Sixteen lanes of AVX2 with FMA and F16C, as two halves: the vocabulary in which generic/*.inc is
// written. Private to this folder; what each function does is said in avx512/vec.h and defined by
// scalar/vec.h.
//
// Everything is in an anonymous namespace and forced inline: nothing compiled with these flags may
// become a symbol that the linker could pick for other code.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "generic/pointers.h"

// The folder avxvnni takes these lanes with another dot product.
#ifndef HF_DPBUSD
#define HF_ISA avx2
#define HF_DPBUSD 0
#endif
#define HF_INLINE [[gnu::always_inline]] inline

namespace holdfast::kernels {
namespace {

struct F {
  __m256 a, b;
};
struct I {
  __m256i a, b;
};
using Q = I;

// 8-bit codes are signed for vpmaddubsw, see dot(), and u8 with zero point 128 for vpdpbusd.
constexpr bool kSignedBytes = HF_DPBUSD == 0;
constexpr int kTileColumnsMax =
    8;  // accumulators live in memory anyway; 8 share the decoding of a block
// All columns of a tile pass over codes that stay in registers; with vpdpbusd 8 sums, 2 halves of
// codes and 1 broadcast: enough chains for its latency, and 6 loads per 8 dots.
constexpr int kDotColumns = HF_DPBUSD == 0 ? 8 : 4;
constexpr int kFloatColumnsMax = 6;  // 12 accumulators + 2 weights + 1 broadcast of 16 registers
constexpr int kFloatGroupsOneColumn = 4;  // 8 independent chains hide the latency of fma
constexpr int kScoreRowsMax = 6;
constexpr int kScoreSums = 6;  // rows x key groups: 12 sums + 2 keys + 1 broadcast of 16 registers
constexpr int kValueRowsMax = 6;
constexpr int kValueSums = 6;  // rows x vectors of values, likewise
// Chains of additions alone are short and products need registers; vpdpbusd has 5 cycles latency.
constexpr int kPeakDotSums = HF_DPBUSD == 0 ? 2 : 5;
constexpr int kPeakFmaSums = 5;  // 10 chains hide the latency of fma
constexpr std::size_t kPrefetchBytes =
    2048;  // covers DRAM latency at the speed of one core: 80 ns x 25 GB/s

HF_INLINE F f_set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
HF_INLINE F f_load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
HF_INLINE void f_store(float* p, F x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
// Lanes of a half that are below n, counted from `base`.
HF_INLINE __m256i first(std::uint32_t n, int base) {
  const __m256i lane =
      _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(base));
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}
HF_INLINE F f_load_n(const float* p, std::uint32_t n) {
  return {_mm256_maskload_ps(p, first(n, 0)), _mm256_maskload_ps(p + 8, first(n, 8))};
}
HF_INLINE void f_store_n(float* p, F x, std::uint32_t n) {
  _mm256_maskstore_ps(p, first(n, 0), x.a);
  _mm256_maskstore_ps(p + 8, first(n, 8), x.b);
}
HF_INLINE F f_add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
HF_INLINE F f_sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
HF_INLINE F f_mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
HF_INLINE F f_div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
HF_INLINE F f_fma(F x, F y, F z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
HF_INLINE F f_max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
HF_INLINE F f_min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
HF_INLINE F f_abs(F x) {
  const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MAX));
  return {_mm256_and_ps(x.a, mask), _mm256_and_ps(x.b, mask)};
}
HF_INLINE F f_neg(F x) {
  const __m256 sign = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MIN));
  return {_mm256_xor_ps(x.a, sign), _mm256_xor_ps(x.b, sign)};
}
HF_INLINE F f_select_less(F x, F y, F less, F other) {
  return {_mm256_blendv_ps(other.a, less.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
          _mm256_blendv_ps(other.b, less.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}
// x 2^n in two exact halves of n, of which only the last product rounds.
HF_INLINE __m256 scale_half(__m256 x, __m256i n) {
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i n1 = _mm256_srai_epi32(n, 1);
  const __m256i n2 = _mm256_sub_epi32(n, n1);
  const __m256 p1 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n1, bias), 23));
  const __m256 p2 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n2, bias), 23));
  return _mm256_mul_ps(_mm256_mul_ps(x, p1), p2);
}
HF_INLINE F f_scale_pow2(F x, I n) { return {scale_half(x.a, n.a), scale_half(x.b, n.b)}; }
HF_INLINE I f_bits(F x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
HF_INLINE float f_tree_sum(F x) {
  const __m256 h8 = _mm256_add_ps(x.a, x.b);
  const __m128 h4 = _mm_add_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_add_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_add_ss(h2, _mm_movehdup_ps(h2)));
}
HF_INLINE float f_tree_max(F x) {
  const __m256 h8 = _mm256_max_ps(x.a, x.b);
  const __m128 h4 = _mm_max_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
  const __m128 h2 = _mm_max_ps(h4, _mm_movehl_ps(h4, h4));
  return _mm_cvtss_f32(_mm_max_ss(h2, _mm_movehdup_ps(h2)));
}
HF_INLINE float f_first(F x) { return _mm256_cvtss_f32(x.a); }
HF_INLINE float scalar_sqrt(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
HF_INLINE float scalar_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

HF_INLINE F f_load_f16(const std::uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(at<__m128i>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(at<__m128i>(p + 8)))};
}
// One f16 in all lanes.
HF_INLINE F f_set_f16(const std::uint16_t* p) {
  const __m256 x = _mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(*p)));
  return {x, x};
}
HF_INLINE F f_load_bf16(const std::uint16_t* p) {
  const __m256i low = _mm256_cvtepu16_epi32(_mm_loadu_si128(at<__m128i>(p)));
  const __m256i high = _mm256_cvtepu16_epi32(_mm_loadu_si128(at<__m128i>(p + 8)));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(low, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(high, 16))};
}
// There are no masked loads of 16 bits: the rest of a row goes through the stack.
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
  const __m128i low = _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m128i high = _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  if (n == 16) {
    _mm_storeu_si128(at<__m128i>(p), low);
    _mm_storeu_si128(at<__m128i>(p + 8), high);
    return;
  }
  std::uint16_t all[16];
  _mm_storeu_si128(at<__m128i>(all), low);
  _mm_storeu_si128(at<__m128i>(all + 8), high);
  for (std::uint32_t i = 0; i < n; ++i) p[i] = all[i];
}
HF_INLINE F floats_of_bytes(__m128i bytes) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}
HF_INLINE F f_load_s8(const std::int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(at<__m128i>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
HF_INLINE F f_load_u8(const std::uint8_t* p) {
  return floats_of_bytes(_mm_loadu_si128(at<__m128i>(p)));
}
HF_INLINE F f_load_u4_low(const std::uint8_t* p) {
  return floats_of_bytes(_mm_and_si128(_mm_loadu_si128(at<__m128i>(p)), _mm_set1_epi8(15)));
}
HF_INLINE F f_load_u4_high(const std::uint8_t* p) {
  return floats_of_bytes(
      _mm_and_si128(_mm_srli_epi16(_mm_loadu_si128(at<__m128i>(p)), 4), _mm_set1_epi8(15)));
}
HF_INLINE __m256 e8m0_half(__m256i e) {
  const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
  const __m256i subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
  const __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
  return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, small));
}
HF_INLINE F f_load_e8m0_half(const std::uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(at<__m128i>(p));
  return {e8m0_half(_mm256_cvtepu8_epi32(bytes)),
          e8m0_half(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}

HF_INLINE I i_set(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
HF_INLINE I i_sub(I x, I y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
HF_INLINE F i_to_f(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
// Callers have lanes within the range of a signed byte, so saturation in the packing changes
// nothing.
HF_INLINE void i_store_low_bytes(std::int8_t* p, I x) {
  const __m256i words = _mm256_packs_epi32(x.a, x.b);
  const __m256i bytes = _mm256_packs_epi16(words, words);
  const __m256i ordered =
      _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5));
  _mm_storeu_si128(at<__m128i>(p), _mm256_castsi256_si128(ordered));
}
HF_INLINE std::int32_t i_sum(I x) {
  const __m256i h8 = _mm256_add_epi32(x.a, x.b);
  __m128i h4 = _mm_add_epi32(_mm256_castsi256_si128(h8), _mm256_extracti128_si256(h8, 1));
  h4 = _mm_add_epi32(h4, _mm_shuffle_epi32(h4, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(h4, _mm_shuffle_epi32(h4, 0xb1)));
}

HF_INLINE Q q_load(const std::uint8_t* p) {
  return {_mm256_loadu_si256(at<__m256i>(p)), _mm256_loadu_si256(at<__m256i>(p + 32))};
}
HF_INLINE Q q_and(Q x, __m256i mask) {
  return {_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask)};
}
HF_INLINE Q q_low_nibbles(Q x) { return q_and(x, _mm256_set1_epi8(15)); }
HF_INLINE Q q_high_nibbles(Q x) {
  return q_and({_mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4)}, _mm256_set1_epi8(15));
}
template <int kFrom, int kTo, int kMask>
HF_INLINE Q q_insert(Q y, Q x) {
  if constexpr (kFrom > kTo)
    x = {_mm256_srli_epi16(x.a, kFrom - kTo), _mm256_srli_epi16(x.b, kFrom - kTo)};
  if constexpr (kFrom < kTo)
    x = {_mm256_slli_epi16(x.a, kTo - kFrom), _mm256_slli_epi16(x.b, kTo - kFrom)};
  x = q_and(x, _mm256_set1_epi8(kMask << kTo));
  return {_mm256_or_si256(y.a, x.a), _mm256_or_si256(y.b, x.b)};
}
HF_INLINE Q q_zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
// Codes stored as u = q + 128, in the form that `dot` wants; tables hold q.
HF_INLINE Q q_load_bytes(const std::uint8_t* p) {
  const Q u = q_load(p);
  if constexpr (!kSignedBytes) return u;
  const __m256i top = _mm256_set1_epi8(-128);
  return {_mm256_xor_si256(u.a, top), _mm256_xor_si256(u.b, top)};
}
HF_INLINE Q q_table(const std::int8_t* values) {
  __m128i v = _mm_loadu_si128(at<__m128i>(values));
  if constexpr (!kSignedBytes) v = _mm_xor_si128(v, _mm_set1_epi8(-128));
  const __m256i both = _mm256_broadcastsi128_si256(v);
  return {both, both};
}
HF_INLINE Q q_lookup(Q table, Q index) {
  return {_mm256_shuffle_epi8(table.a, index.a), _mm256_shuffle_epi8(table.b, index.b)};
}

#if HF_DPBUSD
// acc[c] += dot of kQuads quads of codes with x + 32 c: four products of an unsigned and a signed
// byte are added to 32 bits at once, and nothing saturates.
template <int kBits, int kQuads, int kColumns>
HF_INLINE void dot(const Q* codes, const std::int8_t* x, I (&acc)[kColumns]) {
#pragma GCC unroll 16
  for (int g = 0; g < kQuads; ++g) {
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) {
      std::int32_t word = 0;
      __builtin_memcpy(&word, x + 32 * c + 4 * g, 4);
      const __m256i four = _mm256_set1_epi32(word);
      acc[c] = {_mm256_dpbusd_avx_epi32(acc[c].a, codes[g].a, four),
                _mm256_dpbusd_avx_epi32(acc[c].b, codes[g].b, four)};
    }
  }
}
// One step of generic/peak.inc; see its twin below.
HF_INLINE void peak_dot_step(I& acc, Q& codes, const Q& x) {
  __asm__("" : "+x"(codes.a), "+x"(codes.b));
  acc = {_mm256_dpbusd_avx_epi32(acc.a, codes.a, x.a),
         _mm256_dpbusd_avx_epi32(acc.b, codes.b, x.b)};
}
#else
// vpmaddubsw adds two products of an unsigned and a signed byte in 16 bits, with saturation. With
// |x| <= 127:
//   codes below 2^bits: pairs are at most 2 (2^bits - 1) 127, and 16 bits hold 8 of them for 4 bits
//   (30480), 4 for 5 bits (31496), 2 for 6 bits (32004): the sums are widened only then; 8 bits:
//   codes are signed and |code| <= 128 is the unsigned side, x takes the sign of the code: 2 * 128
//   * 127 = 32512 fits, so nothing saturates for any bytes.
template <int kBits>
constexpr int kQuadsPerWidening = kBits <= 4   ? 8
                                  : kBits == 5 ? 4
                                  : kBits == 6 ? 2
                                               : 1;

// One quad of a half (8 rows): what vpmaddubsw needs of its codes.
template <int kBits>
struct Held {
  __m256i code;
  HF_INLINE explicit Held(__m256i q) : code(q) {}
};
template <>
struct Held<8> {
  __m256i code, magnitude;
  HF_INLINE explicit Held(__m256i q) : code(q), magnitude(_mm256_abs_epi8(q)) {}
};

// Sums in 16 bits of the products of quads with the activations at x. Written as assembly because
// the compiler would form each broadcast once for both halves and, out of registers, keep them and
// the codes on the stack: as operands of one statement the codes must be in registers.
#define HF_FIRST(code, word) "vpbroadcastd %" word ", %0\n\tvpmaddubsw %0, %" code ", %0\n\t"
#define HF_NEXT(code, word)                             \
  "vpbroadcastd %" word ", %1\n\tvpmaddubsw %1, %" code \
  ", %1\n"                                              \
  "\tvpaddw %1, %0, %0\n\t"
#define HF_CODE(g) "x"(h[g].code)
#define HF_WORD(g) "m"(*at<std::int32_t>(x + 4 * (g)))

template <int kBits, int kQuads>
HF_INLINE __m256i sum_products(const Held<kBits>* h, const std::int8_t* x) {
  __m256i sum, product;
  if constexpr (kBits == 8) {
    static_assert(kQuads == 1);
    asm("vpbroadcastd %3, %0\n\tvpsignb %1, %0, %0\n\tvpmaddubsw %0, %2, %0"
        : "=&x"(sum)
        : HF_CODE(0), "x"(h[0].magnitude), HF_WORD(0));
  } else if constexpr (kQuads == 2) {
    asm(HF_FIRST("2", "4") HF_NEXT("3", "5")
        : "=&x"(sum), "=&x"(product)
        : HF_CODE(0), HF_CODE(1), HF_WORD(0), HF_WORD(1));
  } else if constexpr (kQuads == 4) {
    asm(HF_FIRST("2", "6") HF_NEXT("3", "7") HF_NEXT("4", "8") HF_NEXT("5", "9")
        : "=&x"(sum), "=&x"(product)
        : HF_CODE(0), HF_CODE(1), HF_CODE(2), HF_CODE(3), HF_WORD(0), HF_WORD(1), HF_WORD(2),
          HF_WORD(3));
  } else {
    static_assert(kQuads == 8);
    asm(HF_FIRST("2", "10") HF_NEXT("3", "11") HF_NEXT("4", "12") HF_NEXT("5", "13")
            HF_NEXT("6", "14") HF_NEXT("7", "15") HF_NEXT("8", "16") HF_NEXT("9", "17")
        : "=&x"(sum), "=&x"(product)
        : HF_CODE(0), HF_CODE(1), HF_CODE(2), HF_CODE(3), HF_CODE(4), HF_CODE(5), HF_CODE(6),
          HF_CODE(7), HF_WORD(0), HF_WORD(1), HF_WORD(2), HF_WORD(3), HF_WORD(4), HF_WORD(5),
          HF_WORD(6), HF_WORD(7));
  }
  return sum;
}
#undef HF_FIRST
#undef HF_NEXT
#undef HF_CODE
#undef HF_WORD

// acc[c] += dot of codes[0, kQuads) of one half (8 rows) with x + 32 c. The codes stay in registers
// while the columns pass: their only other place would be memory, and a load of codes beside each
// broadcast of activations is more than the load units give.
template <int kBits, int kQuads, int kColumns>
HF_INLINE void dot_half(const Held<kBits> (&codes)[kQuads], const std::int8_t* x,
                        __m256i (&acc)[kColumns]) {
  constexpr int kStep = kQuads < kQuadsPerWidening<kBits> ? kQuads : kQuadsPerWidening<kBits>;
  const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 16
    for (int g0 = 0; g0 < kQuads; g0 += kStep) {
      const __m256i sum = sum_products<kBits, kStep>(codes + g0, x + 32 * c + 4 * g0);
      acc[c] = _mm256_add_epi32(acc[c], _mm256_madd_epi16(sum, ones));
    }
  }
}

// kQuads quads of both halves.
template <int kBits, int kQuads, int kColumns>
HF_INLINE void dot_held(const Q* codes, const std::int8_t* x, __m256i (&a)[kColumns],
                        __m256i (&b)[kColumns]) {
  static_assert(kQuads == 4 || kQuads == 8);
  using H = Held<kBits>;
  if constexpr (kQuads == 4) {
    const H low[4] = {H(codes[0].a), H(codes[1].a), H(codes[2].a), H(codes[3].a)};
    dot_half<kBits, 4, kColumns>(low, x, a);
    const H high[4] = {H(codes[0].b), H(codes[1].b), H(codes[2].b), H(codes[3].b)};
    dot_half<kBits, 4, kColumns>(high, x, b);
  } else {
    const H low[8] = {H(codes[0].a), H(codes[1].a), H(codes[2].a), H(codes[3].a),
                      H(codes[4].a), H(codes[5].a), H(codes[6].a), H(codes[7].a)};
    dot_half<kBits, 8, kColumns>(low, x, a);
    const H high[8] = {H(codes[0].b), H(codes[1].b), H(codes[2].b), H(codes[3].b),
                       H(codes[4].b), H(codes[5].b), H(codes[6].b), H(codes[7].b)};
    dot_half<kBits, 8, kColumns>(high, x, b);
  }
}

template <int kBits, int kQuads, int kColumns>
HF_INLINE void dot(const Q* codes, const std::int8_t* x, I (&acc)[kColumns]) {
  __m256i a[kColumns];
  __m256i b[kColumns];
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) {
    a[c] = acc[c].a;
    b[c] = acc[c].b;
  }
  // 8-bit codes need a second register each, for their magnitudes.
  if constexpr (kBits == 8 && kQuads == 8) {
    dot_held<kBits, 4, kColumns>(codes, x, a, b);
    dot_held<kBits, 4, kColumns>(codes + 4, x + 16, a, b);
  } else {
    dot_held<kBits, kQuads, kColumns>(codes, x, a, b);
  }
#pragma GCC unroll 16
  for (int c = 0; c < kColumns; ++c) acc[c] = {a[c], b[c]};
}

// One step of generic/peak.inc: acc += codes . x, four products a lane, widened at once as codes of
// 8 bits need it. The empty statement stands for codes that change; without it the products would
// be computed once, before the loop.
HF_INLINE void peak_dot_step(I& acc, Q& codes, const Q& x) {
  __asm__("" : "+x"(codes.a), "+x"(codes.b));
  const __m256i ones = _mm256_set1_epi16(1);
  acc.a = _mm256_add_epi32(acc.a, _mm256_madd_epi16(_mm256_maddubs_epi16(codes.a, x.a), ones));
  acc.b = _mm256_add_epi32(acc.b, _mm256_madd_epi16(_mm256_maddubs_epi16(codes.b, x.b), ones));
}
#endif

HF_INLINE void prefetch_l1(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T0); }
HF_INLINE void prefetch_l2(const std::byte* p) { _mm_prefetch(p, _MM_HINT_T1); }

}  // namespace
}  // namespace holdfast::kernels
