// What avx512/vec.h takes from AVX-512, in terms of AVX2, so that the kernels of that folder are
// tested on machines without it. Put before each of their files by the compiler's -include. Oracle:
// the definition of each instruction. The machine code itself is tested by tools/test_avx512.
#pragma once

#include "avxvnni.h"

#define HF_EMULATED 1

namespace holdfast::kernels {
namespace {
namespace emulated {

#define HF_EMULATED_INLINE [[gnu::always_inline]] inline

template <class Half, class Whole>
HF_EMULATED_INLINE Half part(Whole x, int i) {
  Half half;
  __builtin_memcpy(&half, reinterpret_cast<const char*>(&x) + 32 * i, 32);
  return half;
}
HF_EMULATED_INLINE __m256 half(__m512 x, int i) { return part<__m256>(x, i); }
HF_EMULATED_INLINE __m256i half(__m512i x, int i) { return part<__m256i>(x, i); }
HF_EMULATED_INLINE __m512 join(__m256 a, __m256 b) {
  __m512 x;
  __builtin_memcpy(&x, &a, 32);
  __builtin_memcpy(reinterpret_cast<char*>(&x) + 32, &b, 32);
  return x;
}
HF_EMULATED_INLINE __m512i join(__m256i a, __m256i b) {
  __m512i x;
  __builtin_memcpy(&x, &a, 32);
  __builtin_memcpy(reinterpret_cast<char*>(&x) + 32, &b, 32);
  return x;
}
template <class To, class From>
HF_EMULATED_INLINE To bits_as(const From& x) {
  To y;
  static_assert(sizeof x == sizeof y);
  __builtin_memcpy(&y, &x, sizeof y);
  return y;
}

// Instructions that do the same to each half.
#define HF_EMULATED_HALVES(type, name)                                                         \
  HF_EMULATED_INLINE type name(type a, type b) {                                               \
    return join(_mm256_##name(half(a, 0), half(b, 0)), _mm256_##name(half(a, 1), half(b, 1))); \
  }
HF_EMULATED_HALVES(__m512, add_ps)
HF_EMULATED_HALVES(__m512, sub_ps)
HF_EMULATED_HALVES(__m512, mul_ps)
HF_EMULATED_HALVES(__m512, div_ps)
HF_EMULATED_HALVES(__m512, max_ps)
HF_EMULATED_HALVES(__m512, min_ps)
HF_EMULATED_HALVES(__m512i, sub_epi32)
HF_EMULATED_HALVES(__m512i, sllv_epi32)
HF_EMULATED_HALVES(__m512i, shuffle_epi8)
#undef HF_EMULATED_HALVES
HF_EMULATED_INLINE __m512i and_si512(__m512i a, __m512i b) { return a & b; }
HF_EMULATED_INLINE __m512i xor_si512(__m512i a, __m512i b) { return a ^ b; }
HF_EMULATED_INLINE __m512 fmadd_ps(__m512 a, __m512 b, __m512 c) {
  return join(_mm256_fmadd_ps(half(a, 0), half(b, 0), half(c, 0)),
              _mm256_fmadd_ps(half(a, 1), half(b, 1), half(c, 1)));
}
HF_EMULATED_INLINE __m512i dpbusd(__m512i sum, __m512i codes, __m512i x) {
  return join(emulated_dpbusd(half(sum, 0), half(codes, 0), half(x, 0)),
              emulated_dpbusd(half(sum, 1), half(codes, 1), half(x, 1)));
}
template <int kTable>
HF_EMULATED_INLINE __m512i ternarylogic(__m512i a, __m512i b, __m512i c) {
  static_assert(kTable == 0xf8, "only a | (b & c) is emulated");
  return a | (b & c);
}
template <int kBits>
HF_EMULATED_INLINE __m512i slli_epi32(__m512i a) {
  return join(_mm256_slli_epi32(half(a, 0), kBits), _mm256_slli_epi32(half(a, 1), kBits));
}
template <int kBits>
HF_EMULATED_INLINE __m512i slli_epi16(__m512i a) {
  return join(_mm256_slli_epi16(half(a, 0), kBits), _mm256_slli_epi16(half(a, 1), kBits));
}
template <int kBits>
HF_EMULATED_INLINE __m512i srli_epi16(__m512i a) {
  return join(_mm256_srli_epi16(half(a, 0), kBits), _mm256_srli_epi16(half(a, 1), kBits));
}

HF_EMULATED_INLINE __m512 set1_ps(float x) { return join(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
HF_EMULATED_INLINE __m512i set1_epi32(int x) {
  return join(_mm256_set1_epi32(x), _mm256_set1_epi32(x));
}
HF_EMULATED_INLINE __m512i set1_epi8(int x) {
  const __m256i bytes = _mm256_set1_epi8(static_cast<char>(x));
  return join(bytes, bytes);
}
HF_EMULATED_INLINE __m512i setzero_si512() { return set1_epi32(0); }
HF_EMULATED_INLINE __m512i broadcast_i32x4(__m128i x) {
  return join(_mm256_broadcastsi128_si256(x), _mm256_broadcastsi128_si256(x));
}
HF_EMULATED_INLINE __m512 abs_ps(__m512 x) {
  return bits_as<__m512>(and_si512(bits_as<__m512i>(x), set1_epi32(0x7fffffff)));
}
// x 2^floor(n), rounded once; here n is always whole.
HF_EMULATED_INLINE __m512 scalef_ps(__m512 x, __m512 n) {
  for (int i = 0; i < 16; ++i) x[i] = __builtin_ldexpf(x[i], static_cast<int>(n[i]));
  return x;
}

HF_EMULATED_INLINE __m512 loadu_ps(const float* p) {
  return join(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
HF_EMULATED_INLINE void storeu_ps(float* p, __m512 x) {
  _mm256_storeu_ps(p, half(x, 0));
  _mm256_storeu_ps(p + 8, half(x, 1));
}
HF_EMULATED_INLINE __m512i loadu_si512(const void* p) {
  __m512i x;
  __builtin_memcpy(&x, p, 64);
  return x;
}
// Masked: memory of the other elements is not touched.
HF_EMULATED_INLINE __m512 maskz_loadu_ps(__mmask16 mask, const float* p) {
  __m512 x = set1_ps(0);
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) x[i] = p[i];
  }
  return x;
}
HF_EMULATED_INLINE void mask_storeu_ps(float* p, __mmask16 mask, __m512 x) {
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) p[i] = x[i];
  }
}
HF_EMULATED_INLINE __m256i maskz_loadu_epi16(__mmask16 mask, const std::uint16_t* p) {
  std::uint16_t all[16] = {};
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) all[i] = p[i];
  }
  return bits_as<__m256i>(all);
}
HF_EMULATED_INLINE void mask_storeu_epi16(std::uint16_t* p, __mmask16 mask, __m256i x) {
  std::uint16_t all[16];
  __builtin_memcpy(all, &x, 32);
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) p[i] = all[i];
  }
}
template <int kPredicate>
HF_EMULATED_INLINE __mmask16 cmp_ps_mask(__m512 a, __m512 b) {
  const int low = _mm256_movemask_ps(_mm256_cmp_ps(half(a, 0), half(b, 0), kPredicate));
  const int high = _mm256_movemask_ps(_mm256_cmp_ps(half(a, 1), half(b, 1), kPredicate));
  return static_cast<__mmask16>(low | high << 8);
}
HF_EMULATED_INLINE __mmask16 cmplt_epi32_mask(__m512i a, __m512i b) {
  const auto less = [&](int i) {
    return _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(half(b, i), half(a, i))));
  };
  return static_cast<__mmask16>(less(0) | less(1) << 8);
}
// Bit set: b, else a.
HF_EMULATED_INLINE __m512 mask_blend_ps(__mmask16 mask, __m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) a[i] = (mask >> i & 1) != 0 ? b[i] : a[i];
  return a;
}
HF_EMULATED_INLINE __m512i mask_blend_epi32(__mmask16 mask, __m512i a, __m512i b) {
  return bits_as<__m512i>(mask_blend_ps(mask, bits_as<__m512>(a), bits_as<__m512>(b)));
}

HF_EMULATED_INLINE __m512 cvtepi32_ps(__m512i x) {
  return join(_mm256_cvtepi32_ps(half(x, 0)), _mm256_cvtepi32_ps(half(x, 1)));
}
HF_EMULATED_INLINE __m512i cvtepi8_epi32(__m128i x) {
  return join(_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128(x, 8)));
}
HF_EMULATED_INLINE __m512i cvtepu8_epi32(__m128i x) {
  return join(_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8)));
}
HF_EMULATED_INLINE __m512i cvtepu16_epi32(__m256i x) {
  return join(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)),
              _mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1)));
}
HF_EMULATED_INLINE __m512 cvtph_ps(__m256i x) {
  return join(_mm256_cvtph_ps(_mm256_castsi256_si128(x)),
              _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1)));
}
template <int kRounding>
HF_EMULATED_INLINE __m256i cvtps_ph(__m512 x) {
  return _mm256_setr_m128i(_mm256_cvtps_ph(half(x, 0), kRounding & 7),
                           _mm256_cvtps_ph(half(x, 1), kRounding & 7));
}
HF_EMULATED_INLINE __m128i cvtepi32_epi8(__m512i x) {
  std::int32_t lanes[16];
  __builtin_memcpy(lanes, &x, 64);
  std::int8_t low[16];
  for (int i = 0; i < 16; ++i) low[i] = static_cast<std::int8_t>(lanes[i]);
  return bits_as<__m128i>(low);
}
HF_EMULATED_INLINE std::int32_t reduce_add_epi32(__m512i x) {
  std::uint32_t lanes[16];
  __builtin_memcpy(lanes, &x, 64);
  std::uint32_t sum = 0;
  for (const std::uint32_t lane : lanes) sum += lane;
  return static_cast<std::int32_t>(sum);
}
HF_EMULATED_INLINE float cvtss_f32(__m512 x) { return x[0]; }

}  // namespace emulated
}  // namespace
}  // namespace holdfast::kernels

#define _mm512_add_ps emulated::add_ps
#define _mm512_sub_ps emulated::sub_ps
#define _mm512_mul_ps emulated::mul_ps
#define _mm512_div_ps emulated::div_ps
#define _mm512_max_ps emulated::max_ps
#define _mm512_min_ps emulated::min_ps
#define _mm512_sub_epi32 emulated::sub_epi32
#define _mm512_sllv_epi32 emulated::sllv_epi32
#define _mm512_shuffle_epi8 emulated::shuffle_epi8
#define _mm512_and_si512 emulated::and_si512
#define _mm512_xor_si512 emulated::xor_si512
#define _mm512_fmadd_ps emulated::fmadd_ps
#define _mm512_dpbusd_epi32 emulated::dpbusd
#define _mm512_ternarylogic_epi32(a, b, c, table) emulated::ternarylogic<(table)>(a, b, c)
#define _mm512_slli_epi32(a, bits) emulated::slli_epi32<(bits)>(a)
#define _mm512_slli_epi16(a, bits) emulated::slli_epi16<(bits)>(a)
#define _mm512_srli_epi16(a, bits) emulated::srli_epi16<(bits)>(a)
#define _mm512_set1_ps emulated::set1_ps
#define _mm512_set1_epi32 emulated::set1_epi32
#define _mm512_set1_epi8 emulated::set1_epi8
#define _mm512_setzero_si512 emulated::setzero_si512
#define _mm512_broadcast_i32x4 emulated::broadcast_i32x4
#define _mm512_abs_ps emulated::abs_ps
#define _mm512_scalef_ps emulated::scalef_ps
#define _mm512_loadu_ps emulated::loadu_ps
#define _mm512_storeu_ps emulated::storeu_ps
#define _mm512_loadu_si512 emulated::loadu_si512
#define _mm512_maskz_loadu_ps emulated::maskz_loadu_ps
#define _mm512_mask_storeu_ps emulated::mask_storeu_ps
#define _mm256_maskz_loadu_epi16 emulated::maskz_loadu_epi16
#define _mm256_mask_storeu_epi16 emulated::mask_storeu_epi16
#define _mm512_cmp_ps_mask(a, b, predicate) emulated::cmp_ps_mask<(predicate)>(a, b)
#define _mm512_cmplt_epi32_mask emulated::cmplt_epi32_mask
#define _mm512_mask_blend_ps emulated::mask_blend_ps
#define _mm512_mask_blend_epi32 emulated::mask_blend_epi32
#define _mm512_cvtepi32_ps emulated::cvtepi32_ps
#define _mm512_cvtepi8_epi32 emulated::cvtepi8_epi32
#define _mm512_cvtepu8_epi32 emulated::cvtepu8_epi32
#define _mm512_cvtepu16_epi32 emulated::cvtepu16_epi32
#define _mm512_cvtph_ps emulated::cvtph_ps
#define _mm512_cvtps_ph(x, rounding) emulated::cvtps_ph<(rounding)>(x)
#define _mm512_cvtepi32_epi8 emulated::cvtepi32_epi8
#define _mm512_reduce_add_epi32 emulated::reduce_add_epi32
#define _mm512_cvtss_f32 emulated::cvtss_f32
#define _mm512_castps512_ps256(x) emulated::half(x, 0)
#define _mm512_extractf32x8_ps(x, i) emulated::half(x, i)
#define _mm512_castps_si512(x) emulated::bits_as<__m512i>(x)
#define _mm512_castsi512_ps(x) emulated::bits_as<__m512>(x)
