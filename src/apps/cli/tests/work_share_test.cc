// Shares of the machine's limits. Oracle: figures worked out by hand.
#include "holdfast/cli/work_share.h"

#include <gtest/gtest.h>

namespace holdfast::cli {
namespace {

TokenCost two_matrices(bool tied) {
  TokenCost c;
  c.add_tensor("token_embd.weight", 2, 1000, 4000, true, tied);
  c.add_tensor("output_norm.weight", 1, 10, 40, true, tied);
  c.add_tensor("blk.0.attn_norm.weight", 1, 10, 40, true, tied);
  c.add_tensor("blk.0.attn_q.weight", 2, 100, 60, false, tied);
  c.add_tensor("blk.1.ffn_up.weight", 2, 300, 180, false, tied);
  return c;
}

TEST(TokenCost, CountsTheBlocksMatrices) {
  EXPECT_EQ(two_matrices(true).int8_macs, 400);
  EXPECT_EQ(two_matrices(true).f32_macs, 0);
  EXPECT_EQ(two_matrices(true).weights_bytes, 4320);
  EXPECT_EQ(two_matrices(false).weights_bytes, 320);
  TokenCost floats;
  floats.add_tensor("blk.0.attn_q.weight", 2, 100, 400, true, false);
  EXPECT_EQ(floats.int8_macs, 0);
  EXPECT_EQ(floats.f32_macs, 100);
}

TEST(PrefillShare, OfTheUnitThatDoesTheWork) {
  // 400 multiply-adds are 800 operations; 10 tokens/s are 8000 of 16000 a second.
  const auto share = prefill_share(two_matrices(true), 10, {0, 16000, 0});
  ASSERT_TRUE(share.has_value());
  EXPECT_DOUBLE_EQ(share->share, 0.5);
  EXPECT_EQ(limit_name(share->limit), "int8");
  TokenCost mixed = two_matrices(true);
  mixed.add_tensor("blk.0.attn_v.weight", 2, 100, 400, true, true);
  // And 200 operations of floats at 1000 a second take 0.2 s of each token's time.
  const auto both = prefill_share(mixed, 1, {0, 16000, 1000});
  ASSERT_TRUE(both.has_value());
  EXPECT_DOUBLE_EQ(both->share, 0.05 + 0.2);
  EXPECT_EQ(limit_name(both->limit), "f32");
}

TEST(PrefillShare, NothingWithoutTheLimit) {
  EXPECT_FALSE(prefill_share(two_matrices(true), 10, {}).has_value());
  TokenCost mixed = two_matrices(true);
  mixed.add_tensor("blk.0.attn_v.weight", 2, 100, 400, true, true);
  EXPECT_FALSE(prefill_share(mixed, 10, {0, 16000, 0}).has_value());
  EXPECT_FALSE(prefill_share(TokenCost{}, 10, {1, 1, 1}).has_value());
}

TEST(DecodeShare, WeightsOnceAndKeysOfAll) {
  TokenCost c;
  c.weights_bytes = 1000;
  c.kv_bytes = 2;
  // 4 sequences of 50 positions: 1000 + 4 * 50 * 2 bytes a step, 20 tokens/s are 5 steps.
  const auto share = decode_share(c, 20, 4, 50, {14000, 0, 0});
  ASSERT_TRUE(share.has_value());
  EXPECT_DOUBLE_EQ(share->share, 0.5);
  EXPECT_EQ(limit_name(share->limit), "memory");
  EXPECT_FALSE(decode_share(c, 20, 4, 50, {}).has_value());
  EXPECT_FALSE(decode_share(c, 20, 0, 50, {14000, 0, 0}).has_value());
}

}  // namespace
}  // namespace holdfast::cli
