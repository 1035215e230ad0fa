// Oracle: the format document for packed sizes, ggml's published numbers for the rest.
#include "holdfast/quant/types.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "holdfast/quant/packed.h"

namespace holdfast::quant {
namespace {

TEST(Types, NumbersAndNamesFindTheirRow) {
  std::set<std::uint32_t> numbers;
  for (const TypeInfo& info : all_types()) {
    const auto number = static_cast<std::uint32_t>(info.type);
    EXPECT_TRUE(numbers.insert(number).second) << info.name;
    EXPECT_EQ(tensor_type_from_number(number), info.type);
    EXPECT_EQ(tensor_type_from_name(info.name), info.type);
    EXPECT_EQ(tensor_type_name(info.type), info.name);
    EXPECT_EQ(info.is_packed(), number >= 0x8000) << info.name;
  }
}

TEST(Types, UnknownOnesAreNamedNotGuessed) {
  for (std::uint32_t number : {4u, 5u, 31u, 36u, 41u, 0x7fffu, 0x8011u, 0x10000u, 0x1000cu}) {
    EXPECT_EQ(tensor_type_from_number(number), std::nullopt) << number;
  }
  EXPECT_EQ(tensor_type_from_name("q4_k"), std::nullopt);
  EXPECT_EQ(tensor_type_name(static_cast<TensorType>(4)), "?");
}

TEST(Types, RowBytes) {
  EXPECT_EQ(row_bytes(TensorType::kQ4_K, 512).value(), 288u);
  EXPECT_EQ(row_bytes(TensorType::kF16, 3).value(), 6u);
  EXPECT_EQ(row_bytes(TensorType::kQ8_0, 0).value(), 0u);
  EXPECT_EQ(row_bytes(TensorType::kQ4_K, 128).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(row_bytes(TensorType::kP4_K, 256).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(row_bytes(TensorType::kF64, std::uint64_t{1} << 62).error().code(),
            ErrorCode::kInvalidArgument);
}

TEST(Types, PackedShape) {
  const PackedShape shape = packed_shape(TensorType::kP4_K, 33, 512).value();
  EXPECT_EQ(shape.groups, 3u);
  EXPECT_EQ(shape.blocks_per_group, 2u);
  EXPECT_EQ(shape.block_bytes, sizeof(BlockP4_K));
  EXPECT_EQ(shape.group_bytes, 2 * sizeof(BlockP4_K));
  EXPECT_EQ(shape.total_bytes, 6 * sizeof(BlockP4_K));
  EXPECT_EQ(packed_bytes(TensorType::kP4_K, 33, 512).value(), shape.total_bytes);
}

TEST(Types, PackedShapeRefusesWhatDoesNotFit) {
  constexpr std::uint64_t kHuge = ~std::uint64_t{0};
  const std::tuple<TensorType, std::uint64_t, std::uint64_t> cases[] = {
      {TensorType::kQ4_K, 16, 256},      {static_cast<TensorType>(0x9000), 16, 256},
      {TensorType::kP4_K, 0, 256},       {TensorType::kP4_K, 16, 0},
      {TensorType::kP4_K, 16, 255},      {TensorType::kP8_0, kHuge, 32},
      {TensorType::kPF32, 16, kHuge},    {TensorType::kPF32, kHuge, kHuge},
      {TensorType::kPF16, 1ULL << 62, 1}};
  for (const auto& [type, rows, cols] : cases) {
    const auto result = packed_bytes(type, rows, cols);
    ASSERT_FALSE(result.ok()) << tensor_type_name(type) << " " << rows << " " << cols;
    EXPECT_EQ(result.error().code(), ErrorCode::kInvalidArgument);
  }
}

// The table of the document against the structs: "| P4_0 | 0x8003 | 32 | 288 | ...".
TEST(Types, TheDocumentStatesTheSizes) {
  std::ifstream file(HOLDFAST_SOURCE_DIR "/docs/formats/packed_tensors.md");
  std::size_t found = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string bar;
    std::string name;
    std::string number;
    std::uint32_t elements = 0;
    std::uint32_t bytes = 0;
    if (!(fields >> bar >> name >> bar >> number >> bar >> elements >> bar >> bytes) ||
        bar != "|") {
      continue;
    }
    const auto type = tensor_type_from_name(name);
    ASSERT_TRUE(type.has_value()) << name;
    EXPECT_EQ(static_cast<std::uint32_t>(*type), std::stoul(number, nullptr, 16)) << name;
    EXPECT_EQ(type_info(*type)->block_elements, elements) << name;
    EXPECT_EQ(type_info(*type)->block_bytes, bytes) << name;
    ++found;
  }
  std::size_t packed = 0;
  for (const TypeInfo& info : all_types()) packed += info.is_packed() ? 1 : 0;
  EXPECT_EQ(found, packed);
}

}  // namespace
}  // namespace holdfast::quant
