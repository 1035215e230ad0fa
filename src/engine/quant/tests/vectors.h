// Reads tests/golden/quant: blocks of each type with the floats that an independent decoder gave
// for them.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/quant/types.h"

namespace holdfast::quant {

// For the names of parameterised tests.
inline void PrintTo(const TypeInfo& info, std::ostream* out) { *out << info.name; }

struct Vectors {
  Bytes blocks;
  std::vector<float> expected;
};

inline Vectors read_vectors(const TypeInfo& info) {
  const std::string path =
      HOLDFAST_SOURCE_DIR "/tests/golden/quant/" + std::string(info.name) + ".bin";
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_GT(text.size(), 4u) << path;
  ByteReader reader(as_bytes_view(text));
  const std::size_t count = reader.le<std::uint32_t>().value();
  const ByteView blocks = reader.take(count * info.block_bytes).value();
  Vectors vectors{Bytes(blocks.begin(), blocks.end()),
                  std::vector<float>(count * info.block_elements)};
  EXPECT_EQ(reader.remaining(), vectors.expected.size() * sizeof(float)) << path;
  const ByteView floats = reader.take(reader.remaining()).value();
  std::memcpy(vectors.expected.data(), floats.data(), floats.size());
  return vectors;
}

// Equality of bits; names the first difference.
inline ::testing::AssertionResult same_bits(std::span<const float> got,
                                            std::span<const float> expected) {
  if (got.size() != expected.size()) return ::testing::AssertionFailure() << "sizes differ";
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(got[i]) != std::bit_cast<std::uint32_t>(expected[i])) {
      return ::testing::AssertionFailure()
             << "element " << i << ": " << got[i] << ", expected " << expected[i];
    }
  }
  return ::testing::AssertionSuccess();
}

inline std::vector<TypeInfo> weight_types() {
  std::vector<TypeInfo> types;
  for (const TypeInfo& info : all_types()) {
    if (info.may_hold_weights()) types.push_back(info);
  }
  return types;
}

struct TypeName {
  std::string operator()(const ::testing::TestParamInfo<TypeInfo>& info) const {
    return std::string(info.param.name);
  }
};

}  // namespace holdfast::quant
