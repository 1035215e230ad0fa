// Oracles: the keys of GGUF files of published models, sums by hand.
#include "../plan_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "holdfast/planner/memory.h"

#include "../plan_calibration.h"

namespace holdfast::cli {
namespace {

using ::testing::HasSubstr;

struct MadeFile {
  gguf::GgufFile file;
  std::string architecture;

  explicit MadeFile(std::string arch) : architecture(std::move(arch)) {
    EXPECT_TRUE(file.metadata.insert("general.architecture", gguf::make_string(architecture)).ok());
  }
  MadeFile& set(const std::string& key, std::uint32_t value) {
    EXPECT_TRUE(file.metadata.insert(architecture + "." + key, gguf::make_u32(value)).ok());
    return *this;
  }
  MadeFile& tensor(const std::string& name, std::uint64_t columns, std::uint64_t rows,
                   std::uint64_t bytes) {
    gguf::TensorInfo t;
    t.name = name;
    t.n_dims = 2;
    t.dims = {columns, rows, 1, 1};
    t.bytes = bytes;
    file.tensors.push_back(std::move(t));
    return *this;
  }
};

MadeFile llama() {
  MadeFile f("llama");
  f.set("block_count", 32).set("embedding_length", 4096).set("attention.head_count", 32);
  f.set("attention.head_count_kv", 8).set("feed_forward_length", 14336);
  f.set("context_length", 8192);
  f.tensor("token_embd.weight", 4096, 128256, 300'000'000).tensor("blk.0.x", 4096, 4096, 9'000'000);
  return f;
}

TEST(PlanModels, SizesOfAHeader) {
  MadeFile f = llama();
  ASSERT_TRUE(f.file.metadata.insert("general.file_type", gguf::make_u32(15)).ok());
  const auto s = shape_from_gguf(f.file, "mine");
  ASSERT_TRUE(s.ok()) << s.error().to_string();
  EXPECT_EQ(s->id, "mine");
  EXPECT_EQ(s->params, 4096.0 * 128256 + 4096.0 * 4096);
  EXPECT_EQ(s->active, s->params);
  EXPECT_EQ(s->file_bytes->value(), 309'000'000);
  EXPECT_EQ(s->quant, "Q4_K_M");
  EXPECT_EQ(s->vocab, 128256u);
  EXPECT_EQ(s->head_dim, 128u);
  EXPECT_EQ(s->kv_heads, 8u);
  EXPECT_EQ(planner::kv_bytes_per_token(*s, 2).value(), 131'072);
}

// 4.6 bits a weight is nearest to Q4_K_S (4.58).
TEST(PlanModels, AFormatWithoutANameIsTheNearest) {
  const MadeFile f = llama();
  const auto s = shape_from_gguf(f.file, "m");
  ASSERT_TRUE(s.ok());
  EXPECT_NEAR(8 * 309e6 / s->params, 4.56, 0.005);
  EXPECT_EQ(s->quant, "Q4_K_S");
}

// Two of eight experts: a token uses a quarter of the expert weights.
TEST(PlanModels, ExpertsThatRest) {
  MadeFile f = llama();
  f.set("expert_count", 8).set("expert_used_count", 2);
  f.tensor("blk.0.ffn_up_exps.weight", 4096, 14336 * 8, 1);
  const auto s = shape_from_gguf(f.file, "m");
  ASSERT_TRUE(s.ok());
  EXPECT_EQ(s->params - s->active, 4096.0 * 14336 * 8 * 0.75);
  EXPECT_TRUE(s->mixture());
}

// Gemma 3: of six layers five see 512 tokens; of 26 layers 22.
TEST(PlanModels, Windows) {
  MadeFile f("gemma3");
  f.set("block_count", 26).set("embedding_length", 1152).set("attention.head_count", 4);
  f.set("attention.head_count_kv", 1).set("attention.key_length", 256);
  f.set("attention.sliding_window", 512).tensor("token_embd.weight", 1152, 262144, 1000);
  const auto s = shape_from_gguf(f.file, "m");
  ASSERT_TRUE(s.ok()) << s.error().to_string();
  EXPECT_EQ(s->window_layers, 22u);
  EXPECT_EQ(s->window, 512u);
  EXPECT_EQ(s->head_dim, 256u);
}

TEST(PlanModels, LatentAttention) {
  MadeFile f("deepseek2");
  f.set("block_count", 61).set("embedding_length", 7168).set("attention.head_count", 128);
  f.set("attention.kv_lora_rank", 512).set("rope.dimension_count", 64);
  f.tensor("token_embd.weight", 7168, 129280, 1000);
  const auto s = shape_from_gguf(f.file, "m");
  ASSERT_TRUE(s.ok()) << s.error().to_string();
  EXPECT_EQ(planner::kv_bytes_per_token(*s, 2).value(), 70'272);  // the specification's table
}

TEST(PlanModels, HeadersThatSayTooLittle) {
  MadeFile none("llama");
  EXPECT_THAT(shape_from_gguf(none.file, "m").error().client_message(),
              HasSubstr("llama.block_count"));
  MadeFile f("llama");
  f.set("block_count", 2).set("embedding_length", 64);
  EXPECT_THAT(shape_from_gguf(f.file, "m").error().client_message(), HasSubstr("head_count"));
  f.set("attention.head_count", 4);
  EXPECT_FALSE(shape_from_gguf(f.file, "m").ok());  // no tensors
  MadeFile zero("llama");
  zero.set("block_count", 0xffffffff).set("embedding_length", 0xffffffff);
  zero.set("attention.head_count", 0xffffffff).tensor("x", 4096, 4096, 1);
  EXPECT_FALSE(shape_from_gguf(zero.file, "m").ok());
}

TEST(PlanModels, WhatOurEngineWouldNeed) {
  planner::ModelShape shape = planner::shape_from_params("m", 8.03e9, 8.03e9);
  const auto quant = planner::find_quant("Q8_0");
  const auto size = size_from_shape(shape, *quant);
  ASSERT_TRUE(size);
  EXPECT_EQ(size->weights_bytes, static_cast<std::uint64_t>(8.03e9 * 8.5 / 8));
  EXPECT_EQ(size->hyper.n_layers, shape.layers);
  shape.experts = 8;
  shape.experts_used = 2;
  EXPECT_FALSE(size_from_shape(shape, *quant));
}

CalibratedModel measured(double decode_rate, double prefill_rate) {
  CalibratedModel m;
  m.name = "m";
  m.params = 1'240'000'000;
  m.weights_bytes = 750'000'000;
  m.layers = 16;
  m.quant = "Q4_K_M";
  m.kv_type = "f16";
  m.start_s = 0.1;
  for (const std::int64_t batch : {1, 2, 4, 8})
    m.points.push_back({false, 32, batch, 16, decode_rate * static_cast<double>(batch)});
  for (const std::int64_t tokens : {128, 512})
    m.points.push_back({true, tokens, 1, 0, prefill_rate});
  return m;
}

Calibration machine() {
  Calibration c;
  c.machine = {"AMD EPYC", 8, "avx2", 64'000'000'000, 100e9, 4e12, 1e12, std::nullopt};
  return c;
}

// Twice the measured rates are twice the factor; a name that is known counts with its own sizes.
TEST(PlanCalibration, FactorsScaleWithWhatWasMeasured) {
  const auto none = [](const std::string&) { return std::optional<planner::ModelShape>(); };
  Calibration c = machine();
  const auto device = device_of(c.machine);
  ASSERT_TRUE(device.ok());
  EXPECT_EQ(device->id, "local-amd-epyc-8t");
  EXPECT_EQ(device->bandwidth.value(), 100e9);
  c.models = {measured(20, 100)};
  const planner::Calibration slow = calibration_of(c, *device, none);
  c.models = {measured(40, 200)};
  const planner::Calibration fast = calibration_of(c, *device, none);
  EXPECT_EQ(slow.device, device->id);
  EXPECT_EQ(slow.points, 6u);
  EXPECT_NEAR(fast.decode_factor / slow.decode_factor, 2, 1e-9);
  EXPECT_NEAR(fast.prefill_factor / slow.prefill_factor, 2, 1e-9);
  ASSERT_TRUE(slow.local);
  EXPECT_GE(slow.sigma, 0.05);
  EXPECT_LE(slow.sigma, 0.5);
}

TEST(PlanCalibration, AFileBringsItsMachine) {
  Calibration c = machine();
  c.date = "2026-12-01T11:51:32Z";
  c.models = {measured(20, 100)};
  const auto none = [](const std::string&) { return std::optional<planner::ModelShape>(); };
  planner::ProblemInputs inputs;
  const std::string text = write_calibration(c);
  const auto added = add_calibration(text, "c.json", none, inputs);
  ASSERT_TRUE(added.ok()) << added.error().to_string();
  ASSERT_EQ(inputs.extra_devices.size(), 1u);
  EXPECT_EQ(inputs.extra_devices[0].id, inputs.calibrations[0].device);
  // Again: the machine is there already.
  ASSERT_TRUE(add_calibration(text, "c.json", none, inputs).ok());
  EXPECT_EQ(inputs.extra_devices.size(), 1u);
  const auto bad = add_calibration("{}", "c.json", none, inputs);
  ASSERT_FALSE(bad.ok());
  EXPECT_THAT(bad.error().client_message(), HasSubstr("c.json: "));
}

}  // namespace
}  // namespace holdfast::cli
