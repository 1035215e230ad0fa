// R-03 for GGUF: each row changes one metadata field of a model that is otherwise right, and is
// refused with an error that names it before any engine object exists.
#include <gmock/gmock.h>

#include <functional>

#include "golden_files.h"
#include "holdfast/model/family.h"
#include "holdfast/tokenizer/vocabulary_gguf.h"

namespace holdfast::importer {
namespace {

using ::testing::HasSubstr;

// The checks that a conversion makes first.
Status accept(const gguf::GgufFile& file) {
  HF_TRY_ASSIGN(const model::Inspection inspection, model::inspect(file));
  HF_TRY_ASSIGN(const tokenizer::Vocabulary v, tokenizer::vocabulary_from_gguf(file));
  return tokenizer::validate(v);
}

// The model with one key replaced or, without a value, removed.
gguf::GgufFile changed(const Bytes& bytes, std::string_view key, const gguf::Value* value) {
  gguf::GgufFile file = testing::parsed(bytes);
  gguf::Metadata metadata;
  for (std::size_t i = 0; i < file.metadata.size(); ++i) {
    const std::string name(file.metadata.key(i));
    if (name == key) continue;
    EXPECT_TRUE(metadata.insert(name, *file.metadata.find(name)).ok());
  }
  if (value != nullptr) {
    EXPECT_TRUE(metadata.insert(std::string(key), *value).ok());
  }
  file.metadata = std::move(metadata);
  return file;
}

gguf::Value u64(std::uint64_t v) { return {gguf::ValueType::kU64, v}; }

struct Numbers {
  std::string_view key;
  std::string_view named;  // what the error speaks of
  std::vector<std::uint64_t> wrong;
};

// Sizes of Llama's graph: zero, one too many, the limits of 16, 31, 32 and 64 bits.
const Numbers kSizes[] = {
    {"llama.block_count", "", {0, 1, 1025, 65536, 0x7fffffff, 0xffffffff, ~0ull}},
    {"llama.embedding_length", "", {0, 1, 131073, 0x7fffffff, 0xffffffff, 1ull << 32, ~0ull}},
    {"llama.feed_forward_length", "", {0, 1, 1048577, 0x7fffffff, 0xffffffff, ~0ull}},
    {"llama.attention.head_count", "", {0, 1025, 0x7fffffff, 0xffffffff, ~0ull}},
    {"llama.attention.head_count_kv", "", {0, 3, 1025, 0x7fffffff, 0xffffffff, ~0ull}},
    {"llama.attention.key_length", "", {0, 1, 1025, 0xffffffff, ~0ull}},
    {"llama.attention.value_length", "", {0, 1, 7, 0xffffffff, ~0ull}},
    {"llama.rope.dimension_count", "", {1, 3, 1026, 0x7fffffff, 0xffffffff, ~0ull}},
    {"llama.context_length", "", {0, (1ull << 27) + 1, 0xffffffff, ~0ull}},
    {"llama.expert_count", "experts", {1, 8, 0xffffffff}},
    {"tokenizer.ggml.bos_token_id", "bos_token_id", {1u << 20, 0x7fffffff, 0xfffffffe}},
    {"tokenizer.ggml.eos_token_id", "eos_token_id", {1u << 20, 0x7fffffff, 0xfffffffe}},
    {"tokenizer.ggml.unknown_token_id", "unknown_token_id", {1u << 20, 0x80000000}},
    {"tokenizer.ggml.padding_token_id", "padding_token_id", {1u << 20, 0xfffffffe}},
    {"tokenizer.ggml.fim_pre_token_id", "fim_pre_token_id", {1u << 20, 0xfffffffe}},
};

class HostileFields : public ::testing::Test {
 protected:
  void SetUp() override {
    if (testing::golden_names().empty()) GTEST_SKIP() << "no golden files";
    bytes_ = testing::golden("llama-tied-ropefreqs");
  }
  void expect_refused(std::string_view key, const gguf::Value* value, std::string_view named) {
    const Status status = accept(changed(bytes_, key, value));
    ASSERT_FALSE(status.ok()) << key;
    const ErrorCode code = status.error().code();
    EXPECT_TRUE(code == ErrorCode::kCorrupt || code == ErrorCode::kUnsupported) << key;
    EXPECT_FALSE(status.error().client_message().empty());
    EXPECT_THAT(status.error().to_string(), HasSubstr(std::string(named))) << key;
    ++refused_;
  }

  Bytes bytes_;
  std::size_t refused_ = 0;
};

TEST_F(HostileFields, SizesAndIds) {
  ASSERT_TRUE(accept(testing::parsed(bytes_)).ok());
  for (const Numbers& row : kSizes) {
    for (const std::uint64_t wrong : row.wrong) {
      SCOPED_TRACE(std::string(row.key) + " = " + std::to_string(wrong));
      const gguf::Value value = u64(wrong);
      expect_refused(row.key, &value, row.named);
    }
  }
  EXPECT_GE(refused_, 60u);
}

TEST_F(HostileFields, WrongTypes) {
  const gguf::Value wrong[] = {gguf::make_string("8"), gguf::make_bool(true),
                               gguf::make_f32_array({1.0F})};
  for (const std::string_view key :
       {"general.architecture", "llama.block_count", "llama.embedding_length",
        "llama.attention.head_count", "llama.context_length", "tokenizer.ggml.tokens",
        "tokenizer.ggml.bos_token_id", "tokenizer.ggml.model"}) {
    for (const gguf::Value& value : wrong) {
      if (value.type == gguf::ValueType::kString && key.find("model") != std::string_view::npos)
        continue;
      expect_refused(key, &value, "");
    }
    if (key != "tokenizer.ggml.bos_token_id") expect_refused(key, nullptr, "");
  }
  EXPECT_GE(refused_, 25u);
}

TEST_F(HostileFields, RotationsAndNorms) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  for (const std::string_view key : {"llama.attention.layer_norm_rms_epsilon",
                                     "llama.rope.freq_base", "llama.rope.scaling.factor"}) {
    for (const float v : {nan, inf, -inf, -1.0F}) {
      const gguf::Value value = gguf::make_f32(v);
      expect_refused(key, &value, "");
    }
  }
  const gguf::Value kind = gguf::make_string("dynamic");
  expect_refused("llama.rope.scaling.type", &kind, "rope scaling \"dynamic\"");
}

}  // namespace
}  // namespace holdfast::importer
