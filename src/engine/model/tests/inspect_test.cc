// Files are described by hand: what import accepts, and how it refuses everything else.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/model/family.h"

namespace holdfast::model {
namespace {

struct FileMaker {
  gguf::GgufFile file;

  void set(const std::string& key, gguf::Value value) {
    ASSERT_TRUE(file.metadata.insert(key, std::move(value)).ok());
  }
  void tensor(const std::string& name, std::uint64_t cols, std::uint64_t rows,
              quant::TensorType type = quant::TensorType::kF32) {
    gguf::TensorInfo t;
    t.name = name;
    t.type = type;
    t.n_dims = rows == 1 ? 1 : 2;
    t.dims = {cols, rows, 1, 1};
    file.tensors.push_back(t);
  }
  gguf::GgufFile finish() {
    file.by_name.resize(file.tensors.size());
    std::iota(file.by_name.begin(), file.by_name.end(), 0u);
    std::sort(file.by_name.begin(), file.by_name.end(),
              [&](auto a, auto b) { return file.tensors[a].name < file.tensors[b].name; });
    return std::move(file);
  }
};

using Numbers = std::map<std::string, std::uint32_t>;

// A small Llama; `numbers` replaces or adds integers below "llama.".
FileMaker llama(const Numbers& numbers = {}) {
  FileMaker m;
  Numbers all = {{"block_count", 2},          {"embedding_length", 64},
                 {"attention.head_count", 4}, {"attention.head_count_kv", 2},
                 {"feed_forward_length", 96}, {"context_length", 512}};
  for (const auto& [key, value] : numbers) all[key] = value;
  m.set("general.architecture", gguf::make_string("llama"));
  for (const auto& [key, value] : all) m.set("llama." + key, gguf::make_u32(value));
  m.set("llama.attention.layer_norm_rms_epsilon", gguf::make_f32(1e-5f));
  m.tensor("token_embd.weight", 64, 100);
  for (const char* layer : {"blk.0.", "blk.1."}) {
    const std::string p = layer;
    m.tensor(p + "attn_norm.weight", 64, 1);
    m.tensor(p + "attn_q.weight", 64, 64);
    m.tensor(p + "attn_k.weight", 64, 32);
    m.tensor(p + "attn_v.weight", 64, 32);
    m.tensor(p + "attn_output.weight", 64, 64);
    m.tensor(p + "ffn_norm.weight", 64, 1);
    m.tensor(p + "ffn_gate.weight", 64, 96);
    m.tensor(p + "ffn_up.weight", 64, 96);
    m.tensor(p + "ffn_down.weight", 96, 64);
  }
  m.tensor("output_norm.weight", 64, 1);
  return m;
}

void expect_error(FileMaker m, ErrorCode code, const std::string& text) {
  const auto r = inspect(m.finish());
  ASSERT_FALSE(r.ok()) << text;
  EXPECT_EQ(r.error().code(), code) << r.error().to_string();
  EXPECT_NE(r.error().to_string().find(text), std::string::npos) << r.error().to_string();
}

TEST(Inspect, ReadsALlama) {
  const auto r = inspect(llama().finish());
  ASSERT_TRUE(r.ok()) << r.error().to_string();
  const Hyperparameters& h = r->hyper;
  EXPECT_EQ(h.n_vocab, 100u);
  EXPECT_EQ(h.head_dim, 16u);
  EXPECT_EQ(h.rope.dims, 16u);
  EXPECT_TRUE(h.tied_output);
  EXPECT_FALSE(h.q_bias);
  EXPECT_EQ(h.attention_scale, 0.25f);
  EXPECT_EQ(r->tensors.size(), 2u + 2 * 9);
  EXPECT_EQ(from_json(to_json(h)).value(), h);
}

TEST(Inspect, RecognisesBiasesAndAnUntiedOutput) {
  FileMaker m = llama();
  for (const char* p : {"blk.0.", "blk.1."}) {
    m.tensor(std::string(p) + "attn_q.bias", 64, 1);
    m.tensor(std::string(p) + "attn_v.bias", 32, 1);
    m.tensor(std::string(p) + "attn_output.bias", 64, 1);
  }
  m.tensor("output.weight", 64, 100);
  m.tensor("rope_freqs.weight", 8, 1);
  const auto r = inspect(m.finish());
  ASSERT_TRUE(r.ok()) << r.error().to_string();
  EXPECT_TRUE(r->hyper.q_bias && !r->hyper.k_bias && r->hyper.v_bias && r->hyper.output_bias);
  EXPECT_FALSE(r->hyper.tied_output);
  EXPECT_EQ(r->hyper.rope.divisors, RopeDivisors::kFixed);
}

TEST(Inspect, NamesWhatIsSupported) {
  FileMaker m;
  m.set("general.architecture", gguf::make_string("mamba"));
  expect_error(
      std::move(m), ErrorCode::kUnsupported,
      "unsupported architecture \"mamba\"; supported: llama, qwen2, qwen3, gemma2, gemma3, phi3");
  FileMaker experts = llama({{"expert_count", 8}});
  expect_error(std::move(experts), ErrorCode::kUnsupported,
               "unsupported architecture \"llama\" with experts");
  expect_error({}, ErrorCode::kCorrupt, "general.architecture");
}

TEST(Inspect, HostileNumbersAreRefused) {
  const std::vector<std::pair<std::string, std::uint32_t>> hostile = {
      {"block_count", 0},
      {"block_count", UINT32_MAX},
      {"embedding_length", 0},
      {"embedding_length", UINT32_MAX},
      {"attention.head_count", 0},
      {"attention.head_count", UINT32_MAX},
      {"attention.head_count_kv", 0},
      {"attention.head_count_kv", 3},
      {"feed_forward_length", 0},
      {"feed_forward_length", UINT32_MAX},
      {"context_length", 0},
      {"context_length", UINT32_MAX},
      {"rope.dimension_count", 15},
      {"rope.dimension_count", 18},
      {"attention.key_length", UINT32_MAX}};
  for (const auto& [key, value] : hostile) {
    const auto r = inspect(llama({{key, value}}).finish());
    EXPECT_FALSE(r.ok()) << key << " = " << value;
  }
}

TEST(Inspect, ValueSizeMayNotDiffer) {
  expect_error(llama({{"attention.value_length", 32}}), ErrorCode::kUnsupported, "differ in size");
}

// Each tensor in turn: missing, too wide, too tall, of a type that cannot hold weights.
TEST(Inspect, EveryTensorIsChecked) {
  const std::size_t count = llama().file.tensors.size();
  for (std::size_t i = 0; i < count; ++i) {
    FileMaker missing = llama();
    SCOPED_TRACE(missing.file.tensors[i].name);
    missing.file.tensors.erase(missing.file.tensors.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(inspect(missing.finish()).ok());
    for (const std::size_t dim : {0u, 1u, 2u, 3u}) {
      FileMaker bigger = llama();
      bigger.file.tensors[i].dims[dim] += 1;
      const bool rows_of_vocabulary =
          i == 0 && dim == 1;  // the vocabulary's size is read from there
      EXPECT_EQ(inspect(bigger.finish()).ok(), rows_of_vocabulary) << dim;
    }
    FileMaker type = llama();
    type.file.tensors[i].type = quant::TensorType::kI32;
    expect_error(std::move(type), ErrorCode::kUnsupported, "unsupported tensor type I32");
  }
}

TEST(Inspect, TheVocabularyMustFit) {
  FileMaker m = llama();
  m.set("tokenizer.ggml.tokens", gguf::make_strings({"a", "b"}).value());
  expect_error(std::move(m), ErrorCode::kCorrupt, "vocabulary");
}

TEST(Inspect, UnknownTensorsAreRefusedAndTablesIgnored) {
  FileMaker m = llama();
  m.tensor("blk.0.ffn_gate.bias", 96, 1);
  expect_error(std::move(m), ErrorCode::kUnsupported, "blk.0.ffn_gate.bias");
  FileMaker table = llama();
  table.tensor("blk.0.attn_rot_embd.weight", 8, 1);
  const auto r = inspect(table.finish());
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(r->tensors.back().role, TensorRole::kIgnored);
}

TEST(Inspect, VectorsMustBeFloats) {
  FileMaker m = llama();
  for (gguf::TensorInfo& t : m.file.tensors) {
    if (t.name == "output_norm.weight") t.type = quant::TensorType::kQ8_0;
  }
  expect_error(std::move(m), ErrorCode::kUnsupported, "for a vector");
}

TEST(Inspect, UnknownRopeScalingIsRefused) {
  FileMaker m = llama();
  m.set("llama.rope.scaling.type", gguf::make_string("dynamic"));
  expect_error(std::move(m), ErrorCode::kUnsupported, "unsupported rope scaling \"dynamic\"");
}

TEST(Inspect, WrongTypesOfMetadataAreNamed) {
  FileMaker m;
  m.set("general.architecture", gguf::make_string("llama"));
  m.set("llama.block_count", gguf::make_string("many"));
  expect_error(std::move(m), ErrorCode::kCorrupt, "llama.block_count");
}

TEST(Families, AreFoundByName) {
  for (const ModelFamily& f : families()) EXPECT_EQ(find_family(f.architecture), &f);
  EXPECT_EQ(find_family("Llama"), nullptr);
  EXPECT_EQ(find_family(""), nullptr);
}

}  // namespace
}  // namespace holdfast::model
