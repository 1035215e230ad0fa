// Oracles: the decoder (codec.h), which is tested against another program's; an exhaustive search
// over every f16 scale for the formats that have one per block; dense grids where an offset joins
// it. The encoder may be a little worse than those, by a bound that each test states.
#include "holdfast/quant/encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "holdfast/base/bytes.h"
#include "holdfast/quant/codec.h"
#include "holdfast/quant/half.h"
#include "holdfast/quant/packed_blocks.h"
#include "vectors.h"

namespace holdfast::quant {
namespace {

using ::testing::HasSubstr;

constexpr unsigned kSeed = 20261129;

std::vector<TypeInfo> encodable() {
  std::vector<TypeInfo> types;
  for (const TypeInfo& info : all_types()) {
    if (can_encode(info.type)) types.push_back(info);
  }
  return types;
}
bool is_quantised(const TypeInfo& info) { return info.type_class == TypeClass::kQuantised; }

// Weights as models have them: normal, with a few far out.
std::vector<float> weights(std::size_t n, unsigned seed, float scale = 0.04f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> out(n);
  for (float& v : out) v = normal(random) * (random() % 64 == 0 ? 4.0f : 1.0f);
  return out;
}

Bytes encode(TensorType type, const std::vector<float>& values,
             const std::vector<float>& importance = {}) {
  Bytes out(*row_bytes(type, values.size()));
  const Status status = encode_row(type, values, importance, out.data());
  EXPECT_TRUE(status.ok()) << status.error().to_string();
  return out;
}
std::vector<float> decode(TensorType type, const Bytes& bytes, std::size_t n) {
  std::vector<float> out(n);
  dequantize(type, bytes.data(), n, out.data());
  return out;
}
std::vector<float> through(TensorType type, const std::vector<float>& values,
                           const std::vector<float>& importance = {}) {
  return decode(type, encode(type, values, importance), values.size());
}

double squared_error(std::span<const float> a, std::span<const float> b,
                     std::span<const float> w = {}) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double e = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += e * e * (w.empty() ? 1.0 : static_cast<double>(w[i]));
  }
  return sum;
}
double squares(std::span<const float> a) {
  return squared_error(a, std::vector<float>(a.size(), 0.0f));
}
double relative_error(std::span<const float> got, std::span<const float> want) {
  return std::sqrt(squared_error(got, want) / squares(want));
}

class Encode : public ::testing::TestWithParam<TypeInfo> {
 protected:
  const TypeInfo& info() const { return GetParam(); }
};

// Relative error of plain rounding: in each 32 values the largest magnitude gets the level
// `levels`.
double rounding_error(const std::vector<float>& x, float levels) {
  std::vector<float> y(x.size());
  for (std::size_t b = 0; b < x.size(); b += 32) {
    float largest = 0;
    for (std::size_t i = b; i < b + 32; ++i) largest = std::max(largest, std::fabs(x[i]));
    const float d = largest / levels;
    for (std::size_t i = b; i < b + 32; ++i) y[i] = d * std::nearbyint(x[i] / d);
  }
  return relative_error(y, x);
}

// A search must not be worse than plain rounding of as many levels; 8 bits, which are not searched,
// round their scale to a half besides. For the other types: a bit is worth a factor of two.
double error_max(TensorType type, const std::vector<float>& x) {
  switch (type) {
    case TensorType::kQ4_0:
      return rounding_error(x, 7);
    case TensorType::kQ5_0:
      return rounding_error(x, 15);
    case TensorType::kF32:
      return 0;
    case TensorType::kF16:
      return 0x1p-11;
    case TensorType::kBF16:
      return 0x1p-8;
    case TensorType::kQ8_0:
      return rounding_error(x, 127) * 1.01;
    case TensorType::kQ6_K:
      return 0.022;
    case TensorType::kQ5_1:
    case TensorType::kQ5_K:
      return 0.045;
    case TensorType::kQ3_K:
      return 0.19;
    default:
      return 0.095;
  }
}

TEST_P(Encode, StaysWithinTheErrorOfItsBits) {
  // Far smaller weights make the scales of superblocks subnormal halves, which is the format's
  // limit.
  for (const float scale : {0.01f, 0.04f, 30.0f}) {
    const std::vector<float> x = weights(4096, kSeed, scale);
    EXPECT_LE(relative_error(through(info().type, x), x), error_max(info().type, x)) << scale;
  }
}

TEST_P(Encode, RowsOfEveryLengthAndAlignment) {
  for (std::size_t blocks = 1; blocks <= 5; ++blocks) {
    const std::vector<float> x = weights(blocks * info().block_elements, kSeed + 1);
    const Bytes aligned = encode(info().type, x);
    Bytes shifted(aligned.size() + 2, std::byte{0xa5});
    ASSERT_TRUE(encode_row(info().type, x, {}, shifted.data() + 1).ok());
    EXPECT_TRUE(std::equal(aligned.begin(), aligned.end(), shifted.begin() + 1));
    // Not a byte beyond the row.
    EXPECT_EQ(shifted.front(), std::byte{0xa5});
    EXPECT_EQ(shifted.back(), std::byte{0xa5});
  }
}

// A block does not know its neighbours.
TEST_P(Encode, BlocksAreIndependent) {
  if (!is_quantised(info())) GTEST_SKIP() << "no blocks";
  const std::size_t n = info().block_elements;
  std::vector<float> x = weights(2 * n, kSeed + 2);
  const Bytes both = encode(info().type, x);
  x.resize(n);
  const Bytes first = encode(info().type, x);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), both.begin()));
}

TEST_P(Encode, HardBlocks) {
  const std::size_t n = 256;
  const auto check = [&](const char* what, const std::vector<float>& x, double factor) {
    const std::vector<float> y = through(info().type, x);
    for (const float v : y) ASSERT_TRUE(std::isfinite(v)) << what;
    EXPECT_LE(squared_error(y, x), factor * factor * squares(x)) << what;
  };
  std::vector<float> x(n, 0.0f);
  EXPECT_THAT(through(info().type, x), ::testing::Each(0.0f)) << "zeros";
  x[37] = -3.0f;
  // IQ4 formats have no level 0: beside a spike at 127 zeros become 1, sqrt(31) / 127 in all.
  const bool uneven = info().type == TensorType::kIQ4_NL || info().type == TensorType::kIQ4_XS;
  check("one spike", x, uneven ? 0.045 : 0.02);
  // Equal weights cost the formats with offsets the rounding of two scales.
  check("all equal", std::vector<float>(n, 0.25f), 0.02);
  check("all equal, negative", std::vector<float>(n, -0.25f), 0.02);
  std::vector<float> alternating(n);
  for (std::size_t i = 0; i < n; ++i) alternating[i] = i % 2 == 0 ? 1.0f : -1.0f;
  check("alternating", alternating, 0.2);
  std::vector<float> positive = weights(n, kSeed + 3);
  for (float& v : positive) v = std::abs(v);
  check("positive", positive, 0.3);
  for (float& v : positive) v = -v;
  check("negative", positive, 0.3);
  check("too small for any scale", std::vector<float>(n, 1e-40f), 1.0001);
  check("the largest", std::vector<float>(n, 60000.0f), 0.05);
}

TEST_P(Encode, RefusesWhatIsNotFinite) {
  const std::size_t n = 256;
  Bytes out(*row_bytes(info().type, n));
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{101}, n - 1}) {
      std::vector<float> x = weights(n, kSeed);
      x[at] = bad;
      const Status status = encode_row(info().type, x, {}, out.data());
      ASSERT_FALSE(status.ok());
      EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
      EXPECT_THAT(status.error().detail(), HasSubstr("column " + std::to_string(at)));
    }
    if (!is_quantised(info())) continue;
    std::vector<float> importance(n, 1.0f);
    importance[7] = bad;
    const Status status = encode_row(info().type, weights(n, kSeed), importance, out.data());
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code(), ErrorCode::kCorrupt);
  }
}

TEST_P(Encode, RefusesWhatItsScalesCannotHold) {
  std::vector<float> x = weights(256, kSeed);
  x[5] = 1e6f;
  Bytes out(*row_bytes(info().type, x.size()));
  const Status status = encode_row(info().type, x, {}, out.data());
  const bool wide = info().type == TensorType::kF32 || info().type == TensorType::kBF16;
  ASSERT_EQ(status.ok(), wide);
  if (!wide) {
    EXPECT_EQ(status.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(status.error().client_message(), HasSubstr(std::string(info().name)));
  }
}

// What was decoded once encodes with next to no further loss: its levels are there to be found.
TEST_P(Encode, FindsTheLevelsThatAreThere) {
  const std::vector<float> x = weights(8192, kSeed + 4);
  const std::vector<float> once = through(info().type, x);
  const std::vector<float> twice = through(info().type, once);
  EXPECT_LE(relative_error(twice, once), 0.12 * error_max(info().type, x));
}

TEST_P(Encode, ImportanceMovesTheErrorWhereItCostsLess) {
  if (!is_quantised(info()) || info().type == TensorType::kQ8_0) GTEST_SKIP() << "no search";
  const std::vector<float> x = weights(16384, kSeed + 5);
  std::vector<float> importance(x.size());
  std::mt19937 random(kSeed);
  for (float& v : importance) v = std::pow(10.0f, static_cast<float>(random() % 300) / 100.0f);
  const double with = squared_error(through(info().type, x, importance), x, importance);
  const double without = squared_error(through(info().type, x), x, importance);
  EXPECT_LT(with, 0.93 * without);
  // All alike is the same as none, at any size.
  for (const float level : {1e-3f, 1.0f, 1e6f}) {
    EXPECT_EQ(encode(info().type, x, std::vector<float>(x.size(), level)), encode(info().type, x));
  }
  EXPECT_EQ(encode(info().type, x, std::vector<float>(x.size(), 0.0f)), encode(info().type, x));
}

INSTANTIATE_TEST_SUITE_P(Types, Encode, ::testing::ValuesIn(encodable()), TypeName());

// ---- against exhaustive search

// The error that the encoder makes small: large weights count more (encode_row.h).
std::vector<float> error_weights(std::span<const float> x) {
  const auto spread = static_cast<float>(squares(x) / static_cast<double>(x.size()));
  std::vector<float> w;
  for (const float v : x) w.push_back(std::sqrt(spread + v * v));
  return w;
}

// The least error over every f16 scale, each weight at its nearest level.
double best_over_all_scales(std::span<const float> x, std::span<const float> w,
                            const std::vector<int>& levels) {
  double best = INFINITY;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float d = f16_to_f32(static_cast<std::uint16_t>(bits));
    // Scales beyond these would make every weight 0 or clip nearly all.
    if (!(std::abs(d) > 1e-4f && std::abs(d) < 0.1f)) continue;
    double error = 0;
    for (std::size_t i = 0; i < x.size() && error < best; ++i) {
      double least = INFINITY;
      for (const int level : levels) {
        const double e = static_cast<double>(x[i] - d * static_cast<float>(level));
        least = std::min(least, e * e);
      }
      error += least * static_cast<double>(w[i]);
    }
    best = std::min(best, error);
  }
  return best;
}

void expect_near_exhaustive(TensorType type, const std::vector<int>& levels) {
  double got = 0;
  double best = 0;
  for (unsigned block = 0; block < 6; ++block) {
    const std::vector<float> x = weights(32, kSeed + block);
    const std::vector<float> w = error_weights(x);
    const double error = squared_error(through(type, x), x, w);
    const double least = best_over_all_scales(x, w, levels);
    EXPECT_GE(error, 0.999 * least) << "the oracle must be the best there is";
    EXPECT_LE(error, 1.12 * least) << "block " << block;
    got += error;
    best += least;
  }
  EXPECT_LE(got, 1.03 * best);
}

std::vector<int> integers(int low, int high) {
  std::vector<int> out;
  for (int i = low; i <= high; ++i) out.push_back(i);
  return out;
}

TEST(EncodeSearch, Q4_0IsNearTheBestOfAllScales) {
  expect_near_exhaustive(TensorType::kQ4_0, integers(-8, 7));
}
TEST(EncodeSearch, Q5_0IsNearTheBestOfAllScales) {
  expect_near_exhaustive(TensorType::kQ5_0, integers(-16, 15));
}
TEST(EncodeSearch, Iq4NlIsNearTheBestOfAllScales) {
  expect_near_exhaustive(TensorType::kIQ4_NL,
                         std::vector<int>(std::begin(kNl4Values), std::end(kNl4Values)));
}

// Scale and offset on a grid of 200 x 200 around the range of the block.
TEST(EncodeSearch, Q4_1IsNearTheBestOfADenseGrid) {
  double got = 0;
  double best = 0;
  for (unsigned block = 0; block < 6; ++block) {
    const std::vector<float> x = weights(32, kSeed + block);
    const std::vector<float> w = error_weights(x);
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    double least = INFINITY;
    for (int i = 0; i < 200; ++i) {
      for (int j = 0; j < 200; ++j) {
        const float d = (*high - *low) / 15.0f * (0.7f + 0.4f * static_cast<float>(i) / 200.0f);
        const float m = *low + (*high - *low) * (0.3f * static_cast<float>(j) / 200.0f - 0.05f);
        double error = 0;
        for (std::size_t k = 0; k < x.size() && error < least; ++k) {
          const float q = std::clamp(std::nearbyint((x[k] - m) / d), 0.0f, 15.0f);
          const double e = static_cast<double>(x[k] - (d * q + m));
          error += e * e * static_cast<double>(w[k]);
        }
        least = std::min(least, error);
      }
    }
    got += squared_error(through(TensorType::kQ4_1, x), x, w);
    best += least;
  }
  EXPECT_LE(got, 1.05 * best);
}

// A file in Q4_1 has 16 even levels per block; so has the encoder's answer, the same ones.
TEST(EncodeSearch, Q4_1RestoresItself) {
  const std::vector<float> once = through(TensorType::kQ4_1, weights(32768, kSeed + 9));
  const std::vector<float> twice = through(TensorType::kQ4_1, once);
  EXPECT_LE(relative_error(twice, once), 1e-3);
}

TEST(Encode, FloatsAreRoundedAsHalfDoes) {
  const std::vector<float> x = weights(100, kSeed);
  const Bytes f16 = encode(TensorType::kF16, x);
  const Bytes bf16 = encode(TensorType::kBF16, x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(load_le<std::uint16_t>(f16.data() + 2 * i), f32_to_f16(x[i]));
    EXPECT_EQ(load_le<std::uint16_t>(bf16.data() + 2 * i), f32_to_bf16(x[i]));
  }
}

TEST(Encode, KnowsWhatItCannotMake) {
  for (const TensorType type : {TensorType::kQ2_K, TensorType::kIQ1_S, TensorType::kMXFP4,
                                TensorType::kP4_K, TensorType::kI32, TensorType{0x7fff}}) {
    EXPECT_FALSE(can_encode(type));
  }
}

}  // namespace
}  // namespace holdfast::quant
