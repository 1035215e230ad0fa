// Oracle: hand arithmetic, written beside each number.
#include "holdfast/footprint/kv_pages.h"

#include <gtest/gtest.h>

namespace holdfast::footprint {
namespace {

TEST(KvPages, BytesOfAHead) {
  EXPECT_EQ(kv_head_bytes(KvType::kF16, 64), 32u * 64 * 2);
  EXPECT_EQ(kv_head_bytes(KvType::kF32, 64), 32u * 64 * 4);
  // Two blocks of 32 a position: an f16 scale and 32 bytes, or 16 bytes of nibbles, each.
  EXPECT_EQ(kv_head_bytes(KvType::kQ8_0, 64), 32u * 2 * 34);
  EXPECT_EQ(kv_head_bytes(KvType::kQ4_0, 64), 32u * 2 * 18);
}

// Golden values of the planner's specification: bytes of a token, f16.
TEST(KvPages, BytesOfATokenOfKnownModels) {
  const auto per_token = [](std::uint32_t layers, std::uint32_t heads, std::uint32_t dim) {
    return kv_page_bytes({layers, heads, dim, dim, KvType::kF16}) / kPageTokens;
  };
  EXPECT_EQ(per_token(32, 32, 128), 524'288u);  // Llama-2-7B
  EXPECT_EQ(per_token(32, 8, 128), 131'072u);   // Llama-3-8B, Mixtral-8x7B
  EXPECT_EQ(per_token(80, 8, 128), 327'680u);   // Llama-3-70B
  EXPECT_EQ(per_token(126, 8, 128), 516'096u);  // Llama-3.1-405B
  EXPECT_EQ(per_token(48, 4, 128), 98'304u);    // Qwen3-30B-A3B
  EXPECT_EQ(per_token(36, 8, 64), 73'728u);     // gpt-oss-120b, uncapped
  EXPECT_EQ(per_token(30, 3, 64), 23'040u);     // SmolLM2-135M
}

// One head of 32 dimensions in q4_0: 32 * 18 = 576 bytes = 9 * 64. Of 3 heads of 96 in q8_0:
// 3 * 32 * 3 * 34 = 9792 = 153 * 64. Keys of 5 floats in f16 are 320 = 5 * 64; of 5 in f32, 640.
// Where it does not come out even, the next cache line: 1 head of 1 dimension is 64 bytes in f16.
TEST(KvPages, BlocksStartAtCacheLines) {
  EXPECT_EQ(kv_block_bytes({1, 1, 32, 32, KvType::kQ4_0}, 32), 576u);
  EXPECT_EQ(kv_block_bytes({1, 3, 96, 96, KvType::kQ8_0}, 96), 9792u);
  EXPECT_EQ(kv_block_bytes({1, 1, 1, 1, KvType::kF16}, 1), 64u);
  for (std::uint32_t dim = 1; dim < 300; ++dim) {
    for (const KvType type : {KvType::kF16, KvType::kF32, KvType::kQ8_0, KvType::kQ4_0}) {
      const KvLayout layout{1, 3, dim, dim, type};
      const std::uint64_t bytes = kv_block_bytes(layout, dim);
      EXPECT_EQ(bytes % 64, 0u);
      EXPECT_LT(bytes - 3 * kv_head_bytes(type, dim), 64u);
    }
  }
}

// Keys and values may differ: 2 layers * (1 head * 32 * 192 * 2 + 1 head * 32 * 128 * 2).
TEST(KvPages, KeysAndValuesOfDifferentSize) {
  EXPECT_EQ(kv_page_bytes({2, 1, 192, 128, KvType::kF16}), 2u * (12'288 + 8'192));
}

TEST(KvPages, PagesOfAContext) {
  EXPECT_EQ(kv_pages_for(0), 0u);
  EXPECT_EQ(kv_pages_for(1), 1u);
  EXPECT_EQ(kv_pages_for(32), 1u);
  EXPECT_EQ(kv_pages_for(33), 2u);
  EXPECT_EQ(kv_pages_for(8192), 256u);
}

TEST(KvPages, HeadsThatQuantisedTypesCannotHold) {
  EXPECT_TRUE(kv_dim_fits(KvType::kF16, 80));
  EXPECT_FALSE(kv_dim_fits(KvType::kQ8_0, 80));
  EXPECT_TRUE(kv_dim_fits(KvType::kQ4_0, 96));
  EXPECT_FALSE(kv_dim_fits(KvType::kF32, 0));
}

TEST(KvPages, EachTypeHasAName) {
  for (std::size_t i = 0; i < kKvTypes; ++i) {
    const auto type = static_cast<KvType>(i);
    EXPECT_EQ(find_kv_type(kv_type_name(type)), type);
  }
  EXPECT_EQ(kv_type_name(KvType::kQ8_0), "q8_0");
  EXPECT_FALSE(find_kv_type("q8"));
}

}  // namespace
}  // namespace holdfast::footprint
