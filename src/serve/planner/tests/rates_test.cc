// Golden cases G5 to G8 of the specification, and what the formulas promise.
#include "holdfast/planner/rates.h"

#include <gtest/gtest.h>

#include <cmath>

#include "holdfast/planner/memory.h"
#include "holdfast/planner/shipped.h"
#include "holdfast/planner/throughput.h"

namespace holdfast::planner {
namespace {

Device device(std::string_view id) { return *shipped_devices().find(id); }
ModelShape model(std::string_view id) { return *find_model(shipped_models(), id); }

// G5: Llama-3.3-70B in FP8 on two H100, 1000 tokens in and out. By hand: 0.9 * 160 GB - 70.55 GB -
// 4 GB = 69.45 GB, over 163,840 bytes * 1,500 tokens = 245.76 MB: 282.59 sequences. 2 * 70.55e9 *
// 282.59 / (0.30 * 2 * 1978e12) = 33.598 ms; 282.59 * 245.76 MB / (0.85 * 6.7e12) = 12.195 ms.
TEST(GoldenTest, G5ThroughputOfTheScreeningProfile) {
  const Placement place{device("nvidia-h100-80-sxm"), 2, 2};
  const ThroughputCap cap =
      throughput_cap(model("llama-3.3-70b"), Bytes(70.55e9), place, 1000, 1000, trtllm_default());
  EXPECT_NEAR(cap.batch, 282.59, 0.005);
  EXPECT_NEAR(in_milliseconds(cap.step), 45.793, 0.0005);
  EXPECT_NEAR(in_milliseconds(cap.step_compute), 33.598, 0.0005);
  EXPECT_NEAR(in_milliseconds(cap.step_kv), 12.195, 0.0005);
  EXPECT_NEAR(in_milliseconds(cap.prefill), 79.261, 0.005);
  EXPECT_NEAR(cap.tokens.value(), 4144, 1);
}

// G6: 2 L g d_h s with two bytes; DeepSeek-V3: 61 * (512 + 64) * 2.
TEST(GoldenTest, G6KeysAndValuesOfOneToken) {
  const std::pair<const char*, double> table[] = {
      {"llama-2-7b", 524'288},  {"llama-3-8b", 131'072},     {"mixtral-8x7b", 131'072},
      {"llama-3-70b", 327'680}, {"llama-3.1-405b", 516'096}, {"qwen3-30b-a3b", 98'304},
      {"gpt-oss-120b", 73'728}, {"deepseek-v3", 70'272}};
  for (const auto& [id, bytes] : table)
    EXPECT_EQ(kv_bytes_per_token(model(id), 2).value(), bytes) << id;
  // Half the layers of gpt-oss-120b hold 128 tokens: 18 * 2048 * 1000 + 18 * 2048 * 128.
  EXPECT_EQ(kv_bytes(model("gpt-oss-120b"), 1000, 2).value(), 18.0 * 2048 * (1000 + 128));
  EXPECT_EQ(kv_bytes_paged(model("llama-3-8b"), 17, 2).value(), 32.0 * 131'072);
}

// G7: (4.58 GiB + 2 * 256 * 131,072 bytes) / (0.979 * 936e9) + 32 * 90 us = 5.440 + 2.880 ms.
TEST(GoldenTest, G7DecodeOfOneSequence) {
  DecodeEfficiency e;
  e.bytes_cost = 1 / 0.979;
  e.kv_cost = 2 / 0.979;
  e.layer = microseconds(90);
  const Seconds t = decode_step(model("llama-3-8b"), gibibytes(4.58),
                                {device("nvidia-rtx3090-24"), 1, 1}, 1, 256, 2, e);
  EXPECT_NEAR(in_milliseconds(t), 8.320, 0.0005);
  EXPECT_NEAR(1 / t.value(), 120.2, 0.05);
}

// G8: 2 * 8.03e9 * 512 + 2 * 32 * 4096 * 512^2; at 0.479 of 142 TFLOP/s (71 with accumulation in
// 32 bits, twice that in 16).
TEST(GoldenTest, G8PrefillArithmetic) {
  const ModelShape m = model("llama-3-8b");
  EXPECT_NEAR(prefill_flops(m, 512).value(), 8.29144e12, 5e6);
  const Device d = device("nvidia-rtx3090-24");
  EXPECT_EQ(d.prefill_peak().value(), 142e12);
  const Seconds t = prefill_time(m, 512, {d, 1, 1}, 0.479);
  EXPECT_NEAR(in_milliseconds(t), 121.9, 0.05);
  EXPECT_NEAR(512 / t.value(), 4200, 2);
}

TEST(RatesTest, ExpertsAreReadOnce) {
  const ModelShape m = model("mixtral-8x7b");
  const Bytes w(46.7e9);
  // One token reads its active parameters, and very many read everything.
  EXPECT_NEAR(weights_read(m, w, 1, 1).value(), 12.88e9, 1e7);
  EXPECT_NEAR(weights_read(m, w, 1000, 1).value(), 46.7e9, 1e5);
  EXPECT_LT(weights_read(m, w, 8, 0.5), weights_read(m, w, 8, 1));
  EXPECT_EQ(weights_read(model("llama-3-8b"), w, 1, 1), w);
}

TEST(RatesTest, SpeculationFactor) {
  // a = 0.8, k = 4, free guesses: (1 - 0.8^5) / 0.2 = 3.3616.
  EXPECT_NEAR(speculation_factor(0.8, 4, 0), 3.3616, 1e-9);
  EXPECT_NEAR(speculation_factor(0, 4, 0.1), 1 / 1.4, 1e-12);
}

TEST(RatesTest, LayerSplitAddsNoSpeedAndTensorParallelDoes) {
  const ModelShape m = model("llama-3-70b");
  const Device d = device("nvidia-a100-80-sxm");
  DecodeEfficiency e;
  e.split = milliseconds(0.3);
  const auto step = [&](std::uint32_t n, std::uint32_t tp) {
    return decode_step(m, gibibytes(39.59), {d, n, tp}, 1, 512, 2, e);
  };
  EXPECT_GT(step(2, 1), step(1, 1));
  EXPECT_LT(step(2, 2), step(1, 1));
}

// Fits within the memory that is usable, and b_max uses it up.
TEST(MemoryTest, SequencesMaxFillsTheDevice) {
  const ModelShape m = model("llama-3-8b");
  const Device d = device("nvidia-l4-24");
  const Quant q = *find_quant("q4_k_m");
  const double most = sequences_max(m, q, d, 1, 4096, 2);
  EXPECT_GT(most, 1);
  EXPECT_TRUE(memory_need(m, q, d, 1, most * 0.999, 4096, 2).fits());
  EXPECT_FALSE(memory_need(m, q, d, 1, most * 1.001, 4096, 2).fits());
  EXPECT_EQ(sequences_max(model("llama-3.1-405b"), q, d, 1, 4096, 2), 0);
}

}  // namespace
}  // namespace holdfast::planner
