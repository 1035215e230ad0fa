// Matrix kernels. Oracles: the scalar table against sums in double of quant::unpack_row, within a
// computed bound; every other table against the scalar one, bit for bit; one column alone against
// the same column among others.
#include <algorithm>
#include <cmath>
#include <string>

#include "kernel_test_support.h"

namespace holdfast::kernels::testing {
namespace {

using quant::TensorType;

constexpr TensorType kQuantTypes[] = {
#define HF_QUANT_KERNEL(type, field) TensorType::k##type,
#include "holdfast/kernels/formats.def"
#undef HF_QUANT_KERNEL
};
constexpr TensorType kFloatTypes[] = {
#define HF_FLOAT_KERNEL(type, field) TensorType::k##type,
#include "holdfast/kernels/formats.def"
#undef HF_FLOAT_KERNEL
};

std::string name_of(const ::testing::TestParamInfo<TensorType>& info) {
  return std::string(quant::tensor_type_name(info.param));
}

constexpr float kUntouched = 12345.0f;

// Output of n columns with a row stride that leaves a gap, filled with a mark.
struct Output {
  Output(std::uint32_t n, std::uint32_t rows)
      : stride(rows + 3), values((n - 1) * stride + rows, kUntouched) {}
  const float* column(std::size_t c) const { return values.data() + c * stride; }
  std::size_t stride;
  Guarded<float> values;
};

Output run(const KernelTable& table, TensorType type, const Guarded<std::byte>& matrix,
           std::uint32_t rows, const ActivationView& x) {
  Output out(x.n, rows);
  quant_gemm(table, type)(matrix.data(), rows, 0, (rows + 15) / 16, x, out.values.data(),
                          out.stride);
  return out;
}

Output run(const KernelTable& table, TensorType type, const Guarded<std::byte>& matrix,
           std::uint32_t rows, const FloatView& x) {
  Output out(x.n, rows);
  float_gemm(table, type)(matrix.data(), rows, 0, (rows + 15) / 16, x, out.values.data(),
                          out.stride);
  return out;
}

struct Reference {
  double sum;
  double magnitude;  // sum of |w x|
};

Reference reference(const std::vector<float>& w, const std::vector<double>& x) {
  Reference r{0, 0};
  for (std::size_t i = 0; i < w.size(); ++i) {
    r.sum += static_cast<double>(w[i]) * x[i];
    r.magnitude += std::abs(static_cast<double>(w[i]) * x[i]);
  }
  return r;
}

std::vector<double> dequantised(const Activations& a, std::size_t column) {
  std::vector<double> x(a.k);
  for (std::size_t i = 0; i < a.k; ++i) {
    x[i] = static_cast<double>(a.q[column * a.q_stride + i]) *
           static_cast<double>(a.d[column * (a.k / 32) + i / 32]);
  }
  return x;
}

std::uint32_t unit(TensorType type) { return quant::type_info(type)->block_elements; }

class QuantGemmTest : public ::testing::TestWithParam<TensorType> {};
class FloatGemmTest : public ::testing::TestWithParam<TensorType> {};
INSTANTIATE_TEST_SUITE_P(Formats, QuantGemmTest, ::testing::ValuesIn(kQuantTypes), name_of);
INSTANTIATE_TEST_SUITE_P(Formats, FloatGemmTest, ::testing::ValuesIn(kFloatTypes), name_of);

TEST_P(QuantGemmTest, ScalarAgreesWithDoubleArithmetic) {
  Random random(11);
  for (const std::uint32_t k : {unit(GetParam()), 3 * unit(GetParam()), 2048u}) {
    const std::uint32_t rows = 33;
    const std::uint32_t n = 2;
    const auto matrix = random_matrix(random, GetParam(), rows, k);
    const Activations x(scalar(), random_floats(random, n * k), n, k);
    const Output got = run(scalar(), GetParam(), matrix, rows, x.view());
    std::vector<float> w(k);
    for (std::uint32_t row = 0; row < rows; ++row) {
      quant::unpack_row(GetParam(), matrix.data(), rows, k, row, w.data());
      for (std::uint32_t c = 0; c < n; ++c) {
        const Reference want = reference(w, dequantised(x, c));
        // At most six roundings per block of 32, of partial sums and of terms that a min can make
        // larger than their sum (codes and mins of opposite sign: up to eight times |w x| with
        // these scales), and those of w itself.
        const double bound = (6.0 * k / 32 + 8) * 0x1p-24 * 8 * want.magnitude;
        EXPECT_NEAR(got.column(c)[row], want.sum, bound)
            << "k " << k << " row " << row << " column " << c;
      }
    }
  }
}

TEST_P(QuantGemmTest, EveryTableGivesTheSameBits) {
  Random random(12);
  using Depths = std::vector<std::uint32_t>;
  const Depths depths =
      unit(GetParam()) == 32 ? Depths{32, 64, 288, 576, 1536, 8192} : Depths{256, 768, 2048, 8192};
  for (const std::uint32_t k : depths) {
    for (const std::uint32_t rows : {1u, 15u, 17u, 33u}) {
      if (k == 8192 && rows != 17) continue;
      const std::uint32_t n = 13;
      const auto matrix = random_matrix(random, GetParam(), rows, k);
      const Activations x(scalar(), random_floats(random, std::size_t{n} * k), n, k);
      const Output want = run(scalar(), GetParam(), matrix, rows, x.view());
      for (const KernelTable* table : tables()) {
        if (table == &scalar()) continue;
        for (std::uint32_t columns = 1; columns <= n; ++columns) {
          const Output got = run(*table, GetParam(), matrix, rows, x.view(0, columns));
          ASSERT_TRUE(
              same_bits(got.values.data(), want.values.data(), (columns - 1) * got.stride + rows))
              << table->isa << " k " << k << " rows " << rows << " columns " << columns;
        }
      }
    }
  }
}

TEST_P(QuantGemmTest, ManyColumnsAndAnySplitOfGroupsGiveTheSameBits) {
  Random random(13);
  const std::uint32_t k = 2 * std::max(unit(GetParam()), 64u);
  const std::uint32_t rows = 16 * 7 + 5;
  const std::uint32_t groups = 8;
  const std::uint32_t n = 67;
  const auto matrix = random_matrix(random, GetParam(), rows, k);
  const Activations x(scalar(), random_floats(random, std::size_t{n} * k), n, k);
  const Output want = run(scalar(), GetParam(), matrix, rows, x.view());
  for (const KernelTable* table : tables()) {
    for (const std::uint32_t cut : {0u, 1u, 5u, 8u}) {
      Output got(n, rows);
      const QuantGemm gemm = quant_gemm(*table, GetParam());
      gemm(matrix.data(), rows, cut, groups, x.view(), got.values.data(), got.stride);
      for (std::size_t i = 0; i < got.values.size(); ++i) {
        if (i % got.stride < cut * 16 || i % got.stride >= rows) {
          ASSERT_EQ(got.values[i], kUntouched)
              << table->isa << " wrote outside of its groups at " << i;
        }
      }
      gemm(matrix.data(), rows, 0, cut, x.view(), got.values.data(), got.stride);
      ASSERT_TRUE(same_bits(got.values.data(), want.values.data(), got.values.size()))
          << table->isa << " " << cut;
    }
  }
}

TEST_P(QuantGemmTest, MoreColumnsThanOnePassGiveTheSameBits) {
  Random random(18);
  const std::uint32_t k = 768;
  const std::uint32_t rows = 17;
  const std::uint32_t n = 300;
  const auto matrix = random_matrix(random, GetParam(), rows, k);
  const Activations x(scalar(), random_floats(random, std::size_t{n} * k), n, k);
  const Output want = run(scalar(), GetParam(), matrix, rows, x.view());
  for (const KernelTable* table : tables()) {
    for (const std::uint32_t columns : {17u, 33u, 257u, n}) {
      const Output got = run(*table, GetParam(), matrix, rows, x.view(0, columns));
      ASSERT_TRUE(
          same_bits(got.values.data(), want.values.data(), (columns - 1) * got.stride + rows))
          << table->isa << " columns " << columns;
    }
  }
}

// Weights beyond what one round of column tiles keeps in the L2 cache, and more k than one panel
// holds.
TEST_P(QuantGemmTest, LargeMatricesGiveTheSameBits) {
  Random random(17);
  const std::uint32_t k = 2048 + 256;
  const std::uint32_t rows = 16 * 40;
  const std::uint32_t n = 27;
  const auto matrix = random_matrix(random, GetParam(), rows, k);
  const Activations x(scalar(), random_floats(random, std::size_t{n} * k), n, k);
  for (const KernelTable* table : tables()) {
    if (table == &scalar()) continue;
    const Output together = run(*table, GetParam(), matrix, rows, x.view());
    for (const std::uint32_t c : {0u, 11u, 26u}) {
      const Output alone = run(*table, GetParam(), matrix, rows, x.view(c, 1));
      ASSERT_TRUE(same_bits(together.column(c), alone.column(0), rows))
          << table->isa << " column " << c;
    }
    float last = 0;  // the last row of the last column by the reference
    const Guarded<std::byte> group(std::vector<std::byte>(matrix.data() + matrix.size() / 40 * 39,
                                                          matrix.data() + matrix.size()));
    Output want(1, 16);
    quant_gemm(scalar(), GetParam())(group.data(), 16, 0, 1, x.view(26, 1), want.values.data(),
                                     want.stride);
    last = want.column(0)[15];
    EXPECT_EQ(together.column(26)[rows - 1], last) << table->isa;
  }
}

// Where a 16-bit intermediate of a dot product saturated, the sums would be wrong: all codes and
// all activations at the ends of their ranges, in all sign combinations.
TEST_P(QuantGemmTest, ExtremeCodesDoNotSaturate) {
  Random random(14);
  const std::uint32_t k = std::max(unit(GetParam()), 64u);
  const std::uint32_t rows = 16;
  const std::uint32_t n = 12;
  std::vector<float> values(std::size_t{n} * k);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t column = i / k;
    values[i] = column == 0 ? 1.0f : column == 1 ? -1.0f : random() % 2 == 0 ? 1.0f : -1.0f;
  }
  const Activations x(scalar(), values, n, k);
  ASSERT_EQ(x.q[0], 127);
  ASSERT_EQ(x.q[x.q_stride], -127);
  for (const Codes codes : {Codes::kLargest, Codes::kSmallest}) {
    const auto matrix = random_matrix(random, GetParam(), rows, k, codes);
    const Output want = run(scalar(), GetParam(), matrix, rows, x.view());
    std::vector<float> w(k);
    quant::unpack_row(GetParam(), matrix.data(), rows, k, 3, w.data());
    const Reference exact = reference(w, dequantised(x, 0));
    EXPECT_NEAR(want.column(0)[3], exact.sum, 1e-4 * exact.magnitude);
    for (const KernelTable* table : tables()) {
      const Output got = run(*table, GetParam(), matrix, rows, x.view());
      EXPECT_TRUE(same_bits(got.values.data(), want.values.data(), got.values.size()))
          << table->isa;
    }
  }
}

TEST_P(QuantGemmTest, AnyBytesGiveTheSameResultEverywhere) {
  Random random(15);
  const std::uint32_t k = std::max(unit(GetParam()), 64u);
  auto matrix = random_matrix(random, GetParam(), 16, k);
  for (std::size_t i = 0; i < matrix.size(); ++i)
    matrix[i] = std::byte(random() & 0xff);  // scales too
  const Activations x(scalar(), random_floats(random, std::size_t{5} * k), 5, k);
  const Output want = run(scalar(), GetParam(), matrix, 16, x.view());
  for (const KernelTable* table : tables()) {
    const Output got = run(*table, GetParam(), matrix, 16, x.view());
    EXPECT_TRUE(same_bits(got.values.data(), want.values.data(), got.values.size())) << table->isa;
  }
}

TEST_P(QuantGemmTest, NoColumnsAndNoGroupsAreNothing) {
  Random random(16);
  const std::uint32_t k = unit(GetParam());
  const auto matrix = random_matrix(random, GetParam(), 16, k);
  const Activations x(scalar(), random_floats(random, k), 1, k);
  for (const KernelTable* table : tables()) {
    float out = kUntouched;
    quant_gemm(*table, GetParam())(matrix.data(), 16, 0, 1, x.view(0, 0), &out, 16);
    quant_gemm(*table, GetParam())(matrix.data(), 16, 1, 1, x.view(), &out, 16);
    EXPECT_EQ(out, kUntouched) << table->isa;
  }
}

TEST_P(FloatGemmTest, ScalarAgreesWithDoubleArithmetic) {
  Random random(21);
  for (const std::uint32_t k : {1u, 48u, 577u}) {
    const std::uint32_t rows = 33;
    const auto matrix = random_matrix(random, GetParam(), rows, k);
    const std::vector<float> x = random_floats(random, k);
    const Output got = run(scalar(), GetParam(), matrix, rows, FloatView{x.data(), 1, k, k});
    std::vector<float> w(k);
    for (std::uint32_t row = 0; row < rows; ++row) {
      quant::unpack_row(GetParam(), matrix.data(), rows, k, row, w.data());
      const Reference want = reference(w, std::vector<double>(x.begin(), x.end()));
      EXPECT_NEAR(got.column(0)[row], want.sum, k * 0x1p-24 * want.magnitude)
          << "k " << k << " row " << row;
    }
  }
}

TEST_P(FloatGemmTest, EveryTableGivesTheSameBits) {
  Random random(22);
  for (const std::uint32_t k : {1u, 20u, 48u, 577u, 5000u}) {
    for (const std::uint32_t rows : {1u, 15u, 33u, 100u}) {
      if (k == 5000 && rows != 100) continue;
      const std::uint32_t n = 13;
      const std::size_t stride = k + 2;
      const auto matrix = random_matrix(random, GetParam(), rows, k);
      const Guarded<float> x(random_floats(random, (n - 1) * stride + k));
      const Output want =
          run(scalar(), GetParam(), matrix, rows, FloatView{x.data(), n, k, stride});
      for (const KernelTable* table : tables()) {
        if (table == &scalar()) continue;
        for (std::uint32_t columns = 1; columns <= n; ++columns) {
          const Output got =
              run(*table, GetParam(), matrix, rows, FloatView{x.data(), columns, k, stride});
          ASSERT_TRUE(
              same_bits(got.values.data(), want.values.data(), (columns - 1) * got.stride + rows))
              << table->isa << " k " << k << " rows " << rows << " columns " << columns;
        }
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::kernels::testing
