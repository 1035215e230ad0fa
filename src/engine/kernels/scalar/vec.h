// Sixteen lanes in plain C++: the vocabulary in which generic/*.inc is written, and at the same
// time its definition. Private to this folder. The matrix kernels of this folder do not use it:
// they are written out, as the reference.
#pragma once

#include <cstddef>
#include <cstdint>

#define HF_ISA scalar
#define HF_INLINE [[gnu::always_inline]] inline

namespace holdfast::kernels {
namespace {

struct F {
  float v[16];
};
struct I {
  std::int32_t v[16];
};
// 64 bytes, for the measure of speed alone.
struct Q {
  std::uint8_t v[64];
};

constexpr int kScoreRowsMax = 1;
constexpr int kScoreSums = 1;
constexpr int kValueRowsMax = 1;
constexpr int kValueSums = 1;
constexpr int kPeakDotSums = 1;
constexpr int kPeakFmaSums = 1;

HF_INLINE float scalar_sqrt(float x) { return __builtin_sqrtf(x); }
HF_INLINE float scalar_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
HF_INLINE std::uint32_t bits_of(float x) { return __builtin_bit_cast(std::uint32_t, x); }
HF_INLINE float float_of(std::uint32_t x) { return __builtin_bit_cast(float, x); }

template <class Fn>
HF_INLINE F f_map(const Fn& fn) {
  F out;
  for (int i = 0; i < 16; ++i) out.v[i] = fn(i);
  return out;
}

HF_INLINE F f_set(float x) {
  return f_map([&](int) { return x; });
}
// The first n <= 16 lanes; the rest is zero and its memory is not touched.
HF_INLINE F f_load_n(const float* p, std::uint32_t n) {
  return f_map([&](int i) { return static_cast<std::uint32_t>(i) < n ? p[i] : 0.0f; });
}
HF_INLINE F f_load(const float* p) { return f_load_n(p, 16); }
HF_INLINE void f_store_n(float* p, const F& x, std::uint32_t n) {
  for (std::uint32_t i = 0; i < n; ++i) p[i] = x.v[i];
}
HF_INLINE void f_store(float* p, const F& x) { f_store_n(p, x, 16); }
HF_INLINE F f_add(const F& a, const F& b) {
  return f_map([&](int i) { return a.v[i] + b.v[i]; });
}
HF_INLINE F f_sub(const F& a, const F& b) {
  return f_map([&](int i) { return a.v[i] - b.v[i]; });
}
HF_INLINE F f_mul(const F& a, const F& b) {
  return f_map([&](int i) { return a.v[i] * b.v[i]; });
}
HF_INLINE F f_div(const F& a, const F& b) {
  return f_map([&](int i) { return a.v[i] / b.v[i]; });
}
HF_INLINE F f_fma(const F& a, const F& b, const F& c) {
  return f_map([&](int i) { return scalar_fma(a.v[i], b.v[i], c.v[i]); });
}
HF_INLINE float max_of(float a, float b) { return a > b ? a : b; }  // b where one is NaN
HF_INLINE F f_max(const F& a, const F& b) {
  return f_map([&](int i) { return max_of(a.v[i], b.v[i]); });
}
HF_INLINE F f_min(const F& a, const F& b) {
  return f_map([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
HF_INLINE F f_abs(const F& a) {
  return f_map([&](int i) { return float_of(bits_of(a.v[i]) & 0x7fffffffu); });
}
HF_INLINE F f_neg(const F& a) {
  return f_map([&](int i) { return float_of(bits_of(a.v[i]) ^ 0x80000000u); });
}
HF_INLINE F f_select_less(const F& a, const F& b, const F& x, const F& y) {
  return f_map([&](int i) { return a.v[i] < b.v[i] ? x.v[i] : y.v[i]; });
}
HF_INLINE I f_bits(const F& a) {
  I out;
  for (int i = 0; i < 16; ++i) out.v[i] = static_cast<std::int32_t>(bits_of(a.v[i]));
  return out;
}
// 2^n for -126 <= n <= 127.
HF_INLINE float pow2(std::int32_t n) { return float_of(static_cast<std::uint32_t>(n + 127) << 23); }
// x * 2^n, rounded once: the first factor of two is exact for 1/2 <= |x| < 2 and |n| <= 250.
HF_INLINE F f_scale_pow2(const F& x, const I& n) {
  return f_map([&](int i) {
    const std::int32_t half = n.v[i] >> 1;
    return x.v[i] * pow2(half) * pow2(n.v[i] - half);
  });
}
// Lane i with i + 8, then i + 4, i + 2, i + 1.
HF_INLINE float f_tree_sum(F a) {
  for (int step = 8; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) a.v[i] = a.v[i] + a.v[i + step];
  }
  return a.v[0];
}
HF_INLINE float f_tree_max(F a) {
  for (int step = 8; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) a.v[i] = max_of(a.v[i], a.v[i + step]);
  }
  return a.v[0];
}
HF_INLINE float f_first(const F& a) { return a.v[0]; }

HF_INLINE float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  const std::uint32_t magnitude = h & 0x7fffu;
  if (magnitude > 0x7c00u) return float_of(sign | 0x7fc00000u | (magnitude & 0x3ffu) << 13);
  if (magnitude == 0x7c00u) return float_of(sign | 0x7f800000u);
  // As the bits of a float the number is 2^-112 of itself, subnormal or not.
  return float_of(bits_of(float_of(magnitude << 13) * 0x1p112f) | sign);
}
// Ties to even; overflow to infinity.
HF_INLINE std::uint16_t float_to_half(float x) {
  const std::uint32_t sign = bits_of(x) >> 16 & 0x8000u;
  const std::uint32_t magnitude = bits_of(x) & 0x7fffffffu;
  std::uint32_t half = 0x7c00u;  // infinity, and everything from 2^16 on
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
  } else if (magnitude < 0x38800000u) {
    // Below 2^-14 the unit is 2^-24, which is the last place of 0.5: the addition rounds there.
    half = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
  } else if (magnitude < 0x47800000u) {
    half = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  }
  return static_cast<std::uint16_t>(sign | half);
}

HF_INLINE F f_load_f16_n(const std::uint16_t* p, std::uint32_t n) {
  return f_map(
      [&](int i) { return static_cast<std::uint32_t>(i) < n ? half_to_float(p[i]) : 0.0f; });
}
HF_INLINE F f_load_f16(const std::uint16_t* p) { return f_load_f16_n(p, 16); }
HF_INLINE F f_load_bf16_n(const std::uint16_t* p, std::uint32_t n) {
  return f_map([&](int i) {
    return static_cast<std::uint32_t>(i) < n ? float_of(static_cast<std::uint32_t>(p[i]) << 16)
                                             : 0.0f;
  });
}
HF_INLINE F f_load_bf16(const std::uint16_t* p) { return f_load_bf16_n(p, 16); }
HF_INLINE void f_store_f16_n(std::uint16_t* p, const F& x, std::uint32_t n) {
  for (std::uint32_t i = 0; i < n; ++i) p[i] = float_to_half(x.v[i]);
}

HF_INLINE F f_set_f16(const std::uint16_t* p) { return f_set(half_to_float(*p)); }
HF_INLINE F f_load_s8(const std::int8_t* p) {
  return f_map([&](int i) { return static_cast<float>(p[i]); });
}
HF_INLINE F f_load_u4_low(const std::uint8_t* p) {
  return f_map([&](int i) { return static_cast<float>(p[i] & 15); });
}
HF_INLINE F f_load_u4_high(const std::uint8_t* p) {
  return f_map([&](int i) { return static_cast<float>(p[i] >> 4); });
}

HF_INLINE I i_set(std::int32_t x) {
  I out;
  for (int i = 0; i < 16; ++i) out.v[i] = x;
  return out;
}
// Modulo 2^32, as the vector instructions.
HF_INLINE I i_sub(const I& a, const I& b) {
  I out;
  for (int i = 0; i < 16; ++i) {
    out.v[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) -
                                         static_cast<std::uint32_t>(b.v[i]));
  }
  return out;
}
HF_INLINE void i_store_low_bytes(std::int8_t* p, const I& a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::int8_t>(a.v[i]);
}
HF_INLINE std::int32_t i_sum(const I& a) {
  std::int32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += a.v[i];
  return sum;
}

HF_INLINE Q q_load(const std::uint8_t* p) {
  Q out;
  for (int i = 0; i < 64; ++i) out.v[i] = p[i];
  return out;
}
// Lane i takes bytes 4i to 4i + 3. The empty statement stands for codes that change.
HF_INLINE void peak_dot_step(I& acc, Q& codes, const Q& x) {
  __asm__("" : "+m"(codes));
  for (int i = 0; i < 16; ++i) {
    std::int32_t sum = acc.v[i];
#pragma GCC unroll 4
    for (int t = 0; t < 4; ++t)
      sum += codes.v[4 * i + t] * static_cast<std::int8_t>(x.v[4 * i + t]);
    acc.v[i] = sum;
  }
}

HF_INLINE void prefetch_l1(const std::byte* p) { __builtin_prefetch(p, 0, 3); }
HF_INLINE void prefetch_l2(const std::byte* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
}  // namespace holdfast::kernels
