// Oracles: the layouts of the two forms, written out as formulas; names and files that must be
// refused.
#include "holdfast/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config.h"
#include "holdfast/model/family.h"
#include "tiny_folder.h"

namespace holdfast::checkpoint {
namespace {

using ::testing::HasSubstr;
using testing::tensor_values;
using testing::TinyFolder;

// Row 2i + j of a head is row i + j * half of the file; values of the test's tensors are their
// place in it.
TEST(Checkpoint, PairsTheRowsOfQueriesAndKeys) {
  TinyFolder folder;
  const auto checkpoint = folder.open();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  const std::vector<float> q = tensor_values(*checkpoint, "blk.1.attn_q.weight");
  ASSERT_EQ(q.size(), 64u);
  constexpr std::size_t kExpected[] = {0, 2, 1, 3, 4, 6, 5, 7};
  for (std::size_t row = 0; row < 8; ++row) {
    for (std::size_t col = 0; col < 8; ++col) {
      EXPECT_EQ(q[row * 8 + col], static_cast<float>(kExpected[row] * 8 + col) / 16.0f);
    }
  }
  const std::vector<float> v = tensor_values(*checkpoint, "blk.1.attn_v.weight");
  for (std::size_t i = 0; i < v.size(); ++i) EXPECT_EQ(v[i], static_cast<float>(i) / 16.0f);
}

// Reads of any part give the same bytes as a read of the whole.
TEST(Checkpoint, ViewsGiveTheSameBytesInPieces) {
  TinyFolder folder;
  const auto checkpoint = folder.open();
  ASSERT_TRUE(checkpoint.ok());
  const gguf::TensorInfo* q = checkpoint->file.find_tensor("blk.0.attn_q.weight");
  const platform::ByteSource& view = *checkpoint->parts[q->part];
  Bytes whole(view.size());
  ASSERT_TRUE(view.read_at(0, whole).ok());
  for (std::uint64_t begin = 0; begin < view.size(); begin += 7) {
    for (const std::uint64_t n : {1ull, 5ull, 33ull, 100ull}) {
      Bytes piece(n);
      if (begin + n > view.size()) {
        EXPECT_FALSE(view.read_at(begin, piece).ok());
        continue;
      }
      ASSERT_TRUE(view.read_at(begin, piece).ok());
      EXPECT_TRUE(std::equal(piece.begin(), piece.end(), whole.begin() + static_cast<long>(begin)));
    }
  }
  Bytes two(2);
  EXPECT_FALSE(view.read_at(~std::uint64_t{0}, two).ok());
}

struct Renamed {
  std::string_view theirs;
  std::string_view ours;
};

TEST(TensorNames, MapEachFamily) {
  const NameRules gemma{.norms = Norms::kAround, .norms_less_one = true, .n_layers = 4};
  const NameRules phi{.fused = true, .n_layers = 4};
  const NameRules olmo{.norms = Norms::kBehindOnly, .n_layers = 4};
  const std::pair<const NameRules*, Renamed> cases[] = {
      {&gemma,
       {"model.layers.3.post_attention_layernorm.weight", "blk.3.post_attention_norm.weight"}},
      {&gemma, {"model.layers.3.pre_feedforward_layernorm.weight", "blk.3.ffn_norm.weight"}},
      {&gemma, {"model.layers.0.self_attn.q_norm.weight", "blk.0.attn_q_norm.weight"}},
      {&gemma, {"model.norm.weight", "output_norm.weight"}},
      {&phi, {"model.layers.0.self_attn.qkv_proj.weight", "blk.0.attn_qkv.weight"}},
      {&phi, {"model.layers.0.mlp.gate_up_proj.weight", "blk.0.ffn_up.weight"}},
      {&phi, {"model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight"}},
      {&olmo, {"model.layers.2.post_feedforward_layernorm.weight", "blk.2.post_ffw_norm.weight"}},
      {&olmo, {"model.layers.2.self_attn.q_proj.bias", "blk.2.attn_q.bias"}},
  };
  for (const auto& [rules, names] : cases) {
    const auto mapped = map_tensor_name(names.theirs, *rules);
    ASSERT_TRUE(mapped.ok()) << names.theirs;
    EXPECT_EQ(mapped->name, names.ours);
    EXPECT_EQ(mapped->change == Change::kPlusOne,
              rules == &gemma && names.ours.find("norm") != std::string_view::npos);
  }
}

TEST(TensorNames, RefuseEveryOther) {
  const NameRules rules{.n_layers = 4};
  for (const std::string_view name : {"",
                                      "model",
                                      "model.layers.",
                                      "model.layers.0",
                                      "model.layers.0.",
                                      "model.layers.x.mlp",
                                      "model.layers.00.mlp.up_proj.weight",
                                      "model.layers.+1.mlp.up_proj.weight",
                                      "model.layers.-1.mlp.up_proj.weight",
                                      "model.layers.1e0.mlp.up_proj.weight",
                                      "model.layers.4294967296.mlp.up_proj.weight",
                                      "model.layers.0.mlp.up_proj",
                                      "model.layers.0.mlp.up_proj.scales",
                                      "model.layers.0.mlp.gate_up_proj.weight",
                                      "model.layers.0.block_sparse_moe.gate.weight",
                                      "model.layers.0.self_attn.qkv_proj.weight",
                                      "model.layers.0.pre_feedforward_layernorm.weight",
                                      "layers.0.mlp.up_proj.weight",
                                      "model.embed_tokens.bias",
                                      "lm_head.bias",
                                      "score.weight",
                                      "token_embd.weight",
                                      "blk.0.attn_q.weight",
                                      "vision_tower.patch.weight",
                                      "__metadata__"}) {
    const auto mapped = map_tensor_name(name, rules);
    ASSERT_FALSE(mapped.ok()) << name;
    EXPECT_EQ(mapped.error().code(), ErrorCode::kUnsupported) << name;
  }
  EXPECT_EQ(map_tensor_name("model.layers.4.mlp.up_proj.weight", rules).error().code(),
            ErrorCode::kCorrupt);
}

void expect_refused(TinyFolder& folder, ErrorCode code, std::string_view message) {
  const auto checkpoint = folder.open();
  ASSERT_FALSE(checkpoint.ok()) << message;
  EXPECT_EQ(error_code_name(checkpoint.error().code()), error_code_name(code));
  EXPECT_THAT(checkpoint.error().client_message(), HasSubstr(std::string(message)));
}

TEST(Checkpoint, SaysWhichFileIsMissing) {
  for (const char* const name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    TinyFolder folder;
    folder.remove(name);
    expect_refused(folder, ErrorCode::kInvalidArgument, std::string("lacks the file ") + name);
  }
  TinyFolder folder;
  folder.remove("config.json");
  folder.remove("model.safetensors");
  const auto vocabulary_alone = folder.open({.vocab_only = true});
  ASSERT_TRUE(vocabulary_alone.ok()) << vocabulary_alone.error().to_string();
  EXPECT_TRUE(vocabulary(*vocabulary_alone).ok());
}

TEST(Checkpoint, RefusesFilesThatAreNoJsonObjects) {
  for (const char* const name :
       {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    for (const std::string_view text :
         {"", "{", "[]", "null", "1", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "\xef\xbb\xbf{}",
          "{\"a\":NaN}", "{\"a\":\"\xff\"}", "{} {}"}) {
      TinyFolder folder;
      folder.set_file(name, std::string(text));
      const auto checkpoint = folder.open();
      ASSERT_FALSE(checkpoint.ok()) << name << " " << text;
      EXPECT_EQ(checkpoint.error().code(), ErrorCode::kCorrupt);
      EXPECT_THAT(checkpoint.error().client_message(), HasSubstr(name)) << text;
    }
    TinyFolder deep;
    deep.set_file(name, "{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}");
    expect_refused(deep, ErrorCode::kCorrupt, name);
  }
}

TEST(Checkpoint, RefusesTensorsThatDoNotBelong) {
  TinyFolder more;
  more.tensors().push_back({"model.layers.0.mlp.extra.weight", {2}, {0, 0}});
  expect_refused(more, ErrorCode::kUnsupported, "model.layers.0.mlp.extra.weight");
  TinyFolder headless;
  headless.tensors().pop_back();
  expect_refused(headless, ErrorCode::kCorrupt, "lacks the tensor lm_head.weight");
  headless.config().set("tie_word_embeddings", true);
  const auto tied = headless.open();
  ASSERT_TRUE(tied.ok());
  EXPECT_TRUE(model::inspect(tied->file)->hyper.tied_output);
  TinyFolder copy;
  copy.config().set("tie_word_embeddings", true);
  EXPECT_EQ(copy.open()->file.find_tensor("output.weight"), nullptr);
  TinyFolder no_embedding;
  no_embedding.tensors().erase(no_embedding.tensors().begin());
  expect_refused(no_embedding, ErrorCode::kCorrupt, "model.embed_tokens.weight");
}

TEST(Checkpoint, NamesThatBelongToAFolder) {
  for (const char* const name :
       {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
        "chat_template.jinja", "model.safetensors.index.json",
        "model-00001-of-00002.safetensors"}) {
    EXPECT_TRUE(is_checkpoint_file(name)) << name;
  }
  for (const char* const name : {"", "pytorch_model.bin", "../config.json", "config.json.bak",
                                 "tokenizer.model", "modeling.py", ".safetensors"}) {
    EXPECT_FALSE(is_checkpoint_file(name)) << name;
  }
}

}  // namespace
}  // namespace holdfast::checkpoint
