// Oracle: the definition of the formats, by ldexp and by distance to the neighbouring values.
#include "holdfast/quant/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace holdfast::quant {
namespace {

double f16_by_definition(std::uint16_t h) {
  const int exponent = (h >> 10) & 31;
  const int mantissa = h & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (h & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(Half, EveryF16DecodesByDefinition) {
  for (std::uint32_t h = 0; h < 0x10000; ++h) {
    const float got = f16_to_f32(static_cast<std::uint16_t>(h));
    if ((h & 0x7c00) != 0x7c00) {
      ASSERT_EQ(got, f16_by_definition(static_cast<std::uint16_t>(h))) << h;
      ASSERT_EQ(std::signbit(got), (h & 0x8000) != 0) << h;
    } else if ((h & 0x3ff) == 0) {
      ASSERT_EQ(got, (h & 0x8000) != 0 ? -INFINITY : INFINITY);
    } else {
      ASSERT_TRUE(std::isnan(got)) << h;
    }
  }
}

TEST(Half, EveryF16SurvivesTheRoundTrip) {
  for (std::uint32_t h = 0; h < 0x10000; ++h) {
    const std::uint16_t back = f32_to_f16(f16_to_f32(static_cast<std::uint16_t>(h)));
    const bool is_nan = (h & 0x7fff) > 0x7c00;
    ASSERT_EQ(back, is_nan ? (h | 0x200) : h);
  }
}

// Between two neighbours the nearer one wins, and the even one at the middle.
TEST(Half, EncodingRoundsToNearestEven) {
  for (std::uint32_t h = 0; h < 0x7bff; ++h) {
    const float low = f16_to_f32(static_cast<std::uint16_t>(h));
    const float high = f16_to_f32(static_cast<std::uint16_t>(h + 1));
    const float middle = low + (high - low) / 2;
    const std::uint32_t even = h % 2 == 0 ? h : h + 1;
    ASSERT_EQ(f32_to_f16(middle), even) << h;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), h) << h;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, INFINITY)), h + 1) << h;
    ASSERT_EQ(f32_to_f16(-middle), even | 0x8000) << h;
  }
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(3e38f), 0x7c00);
  EXPECT_EQ(f32_to_f16(1e-30f), 0);
}

TEST(Half, Bf16IsTheUpperHalfRoundedToNearestEven) {
  std::mt19937 random(7);
  for (int i = 0; i < 100000; ++i) {
    const std::uint32_t bits = static_cast<std::uint32_t>(random());
    const float value = std::bit_cast<float>(bits);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(value))));
      continue;
    }
    const std::uint32_t low = bits >> 16;
    const std::uint32_t rest = bits & 0xffff;
    const bool up = rest > 0x8000 || (rest == 0x8000 && low % 2 == 1);
    ASSERT_EQ(f32_to_bf16(value), low + (up ? 1 : 0)) << std::hex << bits;
  }
  EXPECT_EQ(bf16_to_f32(0xbf80), -1.0f);
}

TEST(Half, ScalesOfTheMicroFormats) {
  for (int e = 0; e < 256; ++e) {
    EXPECT_EQ(e8m0_half_to_f32(static_cast<std::uint8_t>(e)), std::ldexp(1.0f, e - 128));
  }
  for (int x = 0; x < 256; ++x) {
    const int exponent = (x >> 3) & 15;
    const double full =
        exponent == 0 ? std::ldexp(x & 7, -9) : std::ldexp(8 + (x & 7), exponent - 10);
    EXPECT_EQ(ue4m3_half_to_f32(static_cast<std::uint8_t>(x)), x == 0x7f ? 0.0 : full / 2) << x;
  }
}

}  // namespace
}  // namespace holdfast::quant
