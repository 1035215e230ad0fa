// Oracle: exact identity. A packed row, read back by the formulas of packed_blocks.h, is the
// de-quantised source row; and a reader written here from the format document finds the codes of
// one format where the document puts them.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "holdfast/quant/codec.h"
#include "holdfast/quant/half.h"
#include "holdfast/quant/packed.h"
#include "vectors.h"

namespace holdfast::quant {
namespace {

struct Matrix {
  TypeInfo info;
  std::uint64_t rows, cols;
  std::size_t row_stride;
  Bytes source;
  std::vector<std::uint64_t> packed;  // 8-byte aligned
  const std::byte* packed_data() const { return reinterpret_cast<const std::byte*>(packed.data()); }
};

// Rows of blocks drawn from the vectors, whose scales are finite; packed group by group over a
// pattern that must not shine through.
Matrix make_matrix(const TypeInfo& info, std::uint64_t rows, std::uint64_t cols, unsigned seed) {
  const Vectors vectors = read_vectors(info);
  const std::size_t available = vectors.blocks.size() / info.block_bytes;
  Matrix m{info, rows, cols, row_bytes(info.type, cols).value(), {}, {}};
  std::mt19937 random(seed);
  m.source.resize(m.row_stride * rows);
  for (std::size_t at = 0; at < m.source.size(); at += info.block_bytes) {
    std::memcpy(m.source.data() + at,
                vectors.blocks.data() + random() % available * info.block_bytes, info.block_bytes);
  }
  const PackedShape shape = packed_shape(info.packed, rows, cols).value();
  m.packed.assign((shape.total_bytes + 7) / 8, 0xa5a5a5a5a5a5a5a5);
  auto* out = reinterpret_cast<std::byte*>(m.packed.data());
  for (std::uint64_t g = 0; g < shape.groups; ++g) {
    const std::uint64_t left = rows - g * kGroupRows;
    pack_group(info.type, m.source.data() + g * kGroupRows * m.row_stride, m.row_stride,
               static_cast<std::uint32_t>(std::min<std::uint64_t>(left, kGroupRows)), cols,
               out + g * shape.group_bytes);
  }
  return m;
}

class Pack : public ::testing::TestWithParam<TypeInfo> {};

TEST_P(Pack, UnpackedRowsEqualTheDequantisedSource) {
  const TypeInfo& info = GetParam();
  for (std::uint64_t rows : {1, 15, 16, 17, 33}) {
    for (std::uint64_t cols : {32, 64, 256, 288, 512, 576}) {
      if (cols % info.block_elements != 0) continue;
      const Matrix m = make_matrix(info, rows, cols, 5);
      std::vector<float> expected(cols);
      std::vector<float> got(cols);
      for (std::uint64_t row = 0; row < rows; ++row) {
        dequantize(info.type, m.source.data() + row * m.row_stride, cols, expected.data());
        unpack_row(info.packed, m.packed_data(), rows, cols, row, got.data());
        ASSERT_TRUE(same_bits(got, expected)) << rows << " x " << cols << ", row " << row;
      }
    }
  }
}

TEST_P(Pack, MissingRowsWeighNothing) {
  const TypeInfo& info = GetParam();
  const Matrix m = make_matrix(info, 3, 512, 6);
  std::vector<float> padding(512, 1.0f);
  unpack_row(info.packed, m.packed_data(), 16, 512, 9, padding.data());
  for (float w : padding) ASSERT_EQ(w, 0.0f);
}

// Scale times code is exact, so one rounding at most separates a weight from the real number it
// stands for.
TEST_P(Pack, WeightsAreExactProducts) {
  const TypeInfo& info = GetParam();
  if (info.packed != TensorType::kP8S) return;
  const Matrix m = make_matrix(info, 16, 256, 7);
  const auto* blocks = reinterpret_cast<const BlockP8S*>(m.packed.data());
  std::vector<float> weights(256);
  for (std::uint32_t r = 0; r < 16; ++r) {
    unpack_row(info.packed, m.packed_data(), 16, 256, r, weights.data());
    for (std::uint32_t k = 0; k < 256; ++k) {
      const BlockP8S& block = blocks[k / 32];
      const double s = block.s[k % 32 / 16][r];
      const int q = block.bytes[k % 32 / 4][4 * r + k % 4] - 128;
      ASSERT_EQ(static_cast<double>(weights[k]), s * q) << "row " << r << " k " << k;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, Pack, ::testing::ValuesIn(weight_types()), TypeName());

// The document's field positions, read with plain offsets.
TEST(PackLayout, P6KLiesWhereTheDocumentSays) {
  const TypeInfo& info = *type_info(TensorType::kQ6_K);
  const Matrix m = make_matrix(info, 16, 512, 8);
  const std::byte* base = m.packed_data();
  const auto byte_at = [base](std::size_t at) { return std::to_integer<int>(base[at]); };
  std::vector<float> expected(512);
  for (std::size_t r = 0; r < 16; ++r) {
    dequantize(info.type, m.source.data() + r * m.row_stride, 512, expected.data());
    for (std::size_t k = 0; k < 512; ++k) {
      const std::size_t block = k / 256 * 3360;
      const std::size_t in_block = k % 256;
      const std::size_t part = block + 288 + in_block / 32 * 384;
      const std::size_t g = in_block % 32 / 4;
      const std::size_t t = in_block % 4;
      const int nibble = byte_at(part + 64 * (g % 4) + 4 * r + t) >> (g < 4 ? 0 : 4) & 15;
      const int pair = byte_at(part + 256 + 64 * (g / 4) + 4 * r + t) >> (2 * (g % 4)) & 3;
      const float d = f16_to_f32(load_le<std::uint16_t>(base + block + 2 * r));
      const auto sc = static_cast<std::int8_t>(byte_at(block + 32 + 16 * (in_block / 16) + r));
      ASSERT_EQ(d * static_cast<float>(sc) * static_cast<float>(nibble + 16 * pair - 32),
                expected[k])
          << "row " << r << " k " << k;
    }
  }
}

// The worked example of the document.
TEST(PackLayout, TheExampleOfTheDocument) {
  ByteWriter source;
  source.le<std::uint16_t>(0x3c00);
  for (std::int8_t w = 0; w < 32; ++w) source.le(w);
  alignas(4) std::byte packed[544];
  pack_group(TensorType::kQ8_0, source.view().data(), 34, 1, 32, packed);
  EXPECT_EQ(to_hex(ByteView(packed).subspan(0, 6)), "003c00000000");
  EXPECT_EQ(to_hex(ByteView(packed).subspan(0x20, 8)), "8081828300000000");
  EXPECT_EQ(to_hex(ByteView(packed).subspan(0x60, 4)), "84858687");
  EXPECT_EQ(to_hex(ByteView(packed).subspan(0x1e0, 4)), "9c9d9e9f");
}

}  // namespace
}  // namespace holdfast::quant
