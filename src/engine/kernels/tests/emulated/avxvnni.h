// vpdpbusd of AVX-VNNI in terms of AVX2, so that the kernels of the folder avxvnni are tested on
// machines without the instruction. Put before each of their files by the compiler's -include.
// Oracle: the instruction's definition, four exact products per lane added modulo 2^32.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace holdfast::kernels {
namespace {

[[gnu::always_inline]] inline __m256i emulated_dpbusd(__m256i sum, __m256i codes, __m256i x) {
  const __m256i even = _mm256_and_si256(codes, _mm256_set1_epi16(0xff));
  const __m256i odd = _mm256_srli_epi16(codes, 8);
  const __m256i x_even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
  const __m256i x_odd = _mm256_srai_epi16(x, 8);
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even, x_even));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(odd, x_odd));
}

}  // namespace
}  // namespace holdfast::kernels

#define _mm256_dpbusd_avx_epi32 emulated_dpbusd
