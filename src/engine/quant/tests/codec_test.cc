// Oracle: the numpy decoder of the `gguf` package (tests/golden/quant), bit for bit. No tolerance:
// every weight is one rounded f32 operation on exact operands, or two for the affine types.
#include "holdfast/quant/codec.h"

#include <gtest/gtest.h>

#include "vectors.h"

namespace holdfast::quant {
namespace {

class Codec : public ::testing::TestWithParam<TypeInfo> {};

TEST_P(Codec, EqualsTheIndependentDecoder) {
  const Vectors vectors = read_vectors(GetParam());
  std::vector<float> got(vectors.expected.size());
  dequantize(GetParam().type, vectors.blocks.data(), got.size(), got.data());
  EXPECT_TRUE(same_bits(got, vectors.expected));
}

TEST_P(Codec, ReadsAtAnyAlignment) {
  const Vectors vectors = read_vectors(GetParam());
  Bytes shifted(1);
  shifted.insert(shifted.end(), vectors.blocks.begin(), vectors.blocks.end());
  std::vector<float> got(vectors.expected.size());
  dequantize(GetParam().type, shifted.data() + 1, got.size(), got.data());
  EXPECT_TRUE(same_bits(got, vectors.expected));
}

// Whatever the bytes are, decoding stays inside its tables; the sanitizer build watches.
TEST_P(Codec, AcceptsAnyBytes) {
  std::vector<float> got(GetParam().block_elements);
  for (int fill : {0x00, 0x7f, 0x80, 0xaa, 0xff}) {
    const Bytes block(GetParam().block_bytes, static_cast<std::byte>(fill));
    dequantize(GetParam().type, block.data(), got.size(), got.data());
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, Codec, ::testing::ValuesIn(weight_types()), TypeName());

}  // namespace
}  // namespace holdfast::quant
