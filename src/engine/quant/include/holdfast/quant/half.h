// Conversions between f32 and the 16-bit floats, exact in one direction and round-to-nearest-even
// in the other.
#pragma once

#include <bit>
#include <cstdint>

namespace holdfast::quant {

// IEEE binary16 to binary32; exact. A NaN stays a NaN with its payload, quietened.
constexpr float f16_to_f32(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  const std::uint32_t magnitude = h & 0x7fffu;
  if (magnitude >= 0x7c00u) {
    const std::uint32_t quiet = magnitude > 0x7c00u ? 0x00400000u : 0u;
    return std::bit_cast<float>(sign | 0x7f800000u | quiet | ((magnitude & 0x3ffu) << 13));
  }
  if (magnitude >= 0x0400u) return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
  // Subnormal: an integer times 2^-24, which a float holds exactly.
  const float value = static_cast<float>(magnitude) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

// binary32 to binary16, ties to even; overflow gives an infinity, a NaN a quiet NaN.
constexpr std::uint16_t f32_to_f16(float f) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return static_cast<std::uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  }
  if (magnitude >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // >= 2^16
  if (magnitude >= 0x38800000u) {  // normal f16; a carry out of the mantissa moves to the exponent,
                                   // up to infinity
    const std::uint32_t rebased = magnitude - (112u << 23);
    const std::uint32_t odd = (rebased >> 13) & 1u;
    return static_cast<std::uint16_t>(sign | ((rebased + 0xfffu + odd) >> 13));
  }
  // Subnormal or zero: adding 0.5 leaves the multiple of 2^-24, rounded to even, in the low bits.
  const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
  return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
}

constexpr float bf16_to_f32(std::uint16_t h) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(h) << 16);
}

// Ties to even; a NaN a quiet NaN.
constexpr std::uint16_t f32_to_bf16(float f) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// 2^(e - 128): the scale of MXFP4, halved because kE2m1Doubled is doubled. Exact, subnormal for e
// < 2.
constexpr float e8m0_half_to_f32(std::uint8_t e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : static_cast<std::uint32_t>(e - 1) << 23);
}

// Half of an unsigned E4M3 number (bias 7): the scale of NVFP4. The one NaN pattern, 0x7f, counts
// as zero as ggml has it; the top bit is no part of the number.
constexpr float ue4m3_half_to_f32(std::uint8_t x) {
  const std::uint32_t exponent = (x >> 3) & 15u;
  const std::uint32_t mantissa = x & 7u;
  if (x == 0x7f) return 0.0f;
  if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-10f;
  return std::bit_cast<float>(((exponent + 127u - 7u - 1u) << 23) | (mantissa << 20));
}

}  // namespace holdfast::quant
