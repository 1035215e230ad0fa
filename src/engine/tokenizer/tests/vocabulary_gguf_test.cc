// What bad metadata gets, and what the rules about roles make of good metadata.
#include "holdfast/tokenizer/vocabulary_gguf.h"

#include <gtest/gtest.h>

#include <map>

#include "test_vocabularies.h"

namespace holdfast::tokenizer {
namespace {

using Values = std::map<std::string, gguf::Value>;

const std::vector<std::string> kTokens = {"a",    "b",          "ab",        "<s>",
                                          "</s>", "<|im_end|>", "<fim_pad>", "[unused1]"};
const std::vector<std::int32_t> kTypes = {1, 1, 1, 3, 3, 1, 3, 3};

Values bpe_values() {
  Values v;
  v["tokenizer.ggml.model"] = gguf::make_string("gpt2");
  v["tokenizer.ggml.pre"] = gguf::make_string("qwen2");
  v["tokenizer.ggml.tokens"] = *gguf::make_strings(kTokens);
  v["tokenizer.ggml.token_type"] = gguf::make_i32_array(kTypes);
  v["tokenizer.ggml.merges"] = *gguf::make_strings({"a b"});
  v["tokenizer.ggml.bos_token_id"] = gguf::make_u32(3);
  v["tokenizer.ggml.eos_token_id"] = gguf::make_u32(4);
  return v;
}

Result<Vocabulary> read(const Values& values) {
  gguf::GgufFile file;
  for (const auto& [key, value] : values) HF_TRY(file.metadata.insert(key, value));
  return vocabulary_from_gguf(file);
}

Error error_with(const std::string& key, gguf::Value value) {
  Values v = bpe_values();
  v[key] = std::move(value);
  const auto vocabulary = read(v);
  EXPECT_FALSE(vocabulary.ok()) << key;
  return vocabulary.ok() ? internal_error("accepted") : vocabulary.error();
}

TEST(FromGguf, Bpe) {
  const auto v = read(bpe_values());
  ASSERT_TRUE(v.ok()) << v.error().to_string();
  EXPECT_EQ(v->model, Model::kBpe);
  EXPECT_EQ(v->pre, "qwen2");
  EXPECT_EQ(v->special.bos, 3);
  EXPECT_EQ(v->special.eot, 5);
  EXPECT_FALSE(v->clean_spaces);
  // By spelling: <|im_end|> and </s>; by role: the padding of fill-in-the-middle.
  EXPECT_EQ(v->end_of_generation, (std::vector<TokenId>{4, 5, 6}));
  EXPECT_TRUE(has_type(v->types[5], TokenType::kControl));
  EXPECT_TRUE(has_type(v->types[7], TokenType::kUnused));
}

TEST(FromGguf, UnknownNamesAreNamed) {
  const Error pre = error_with("tokenizer.ggml.pre", gguf::make_string("no-such"));
  EXPECT_EQ(pre.code(), ErrorCode::kUnsupported);
  EXPECT_EQ(pre.client_message(), "unsupported pre-tokenizer \"no-such\"");
  const Error model = error_with("tokenizer.ggml.model", gguf::make_string("t5"));
  EXPECT_EQ(model.code(), ErrorCode::kUnsupported);
  EXPECT_EQ(model.client_message(), "unsupported tokenizer model \"t5\"");
}

TEST(FromGguf, EachRequiredKeyIsNamedWhenMissing) {
  for (const char* name : {"model", "tokens", "merges"}) {
    const std::string key = std::string("tokenizer.ggml.") + name;
    Values v = bpe_values();
    v.erase(key);
    const auto vocabulary = read(v);
    ASSERT_FALSE(vocabulary.ok());
    EXPECT_EQ(vocabulary.error().code(), ErrorCode::kCorrupt);
    EXPECT_NE(vocabulary.error().to_string().find(key), std::string::npos);
  }
}

TEST(FromGguf, ArraysMustFitTogether) {
  const std::string prefix = "tokenizer.ggml.";
  const auto code = [&](const std::string& name, gguf::Value value) {
    return error_with(prefix + name, std::move(value)).code();
  };
  EXPECT_EQ(code("token_type", gguf::make_i32_array({1, 1})), ErrorCode::kCorrupt);
  EXPECT_EQ(code("token_type", gguf::make_i32_array({1, 1, 1, 3, 3, 1, 3, 9})),
            ErrorCode::kCorrupt);
  EXPECT_EQ(code("token_type", gguf::make_i32_array({6, 1, 1, 3, 3, 1, 3, 3})),
            ErrorCode::kCorrupt);
  EXPECT_EQ(code("scores", gguf::make_f32_array({1.0F})), ErrorCode::kCorrupt);
  EXPECT_EQ(code("tokens", *gguf::make_strings({})), ErrorCode::kCorrupt);
  EXPECT_EQ(code("tokens", gguf::make_u32(1)), ErrorCode::kCorrupt);
  EXPECT_EQ(code("tokens", *gguf::make_strings({"a", "b", "a", "d", "e", "f", "g", "h"})),
            ErrorCode::kCorrupt);
  EXPECT_EQ(code("tokens", *gguf::make_strings({std::string(kMaxTokenBytes + 1, 'x'), "b", "c", "d",
                                                "e", "f", "g", "h"})),
            ErrorCode::kCorrupt);
  EXPECT_EQ(code("merges", *gguf::make_strings({std::string(2 * kMaxTokenBytes + 1, 'x')})),
            ErrorCode::kCorrupt);
}

TEST(FromGguf, SpecialIdsMustBeInside) {
  for (const char* name :
       {"bos", "eos", "eot", "unknown", "seperator", "padding", "mask", "fim_pre"}) {
    const std::string key = std::string("tokenizer.ggml.") + name + "_token_id";
    const Error e = error_with(key, gguf::make_u32(8));
    EXPECT_EQ(e.code(), ErrorCode::kCorrupt);
    EXPECT_NE(e.client_message().find(key), std::string::npos);
  }
  // How converters write "none".
  Values v = bpe_values();
  v["tokenizer.ggml.padding_token_id"] = gguf::make_u32(0xFFFFFFFF);
  EXPECT_TRUE(read(v).ok());
}

TEST(FromGguf, AddedTokensMustExist) {
  Values v = bpe_values();
  v.erase("tokenizer.ggml.bos_token_id");  // the default, 11, is outside this vocabulary
  EXPECT_TRUE(read(v).ok());
  v["tokenizer.ggml.add_bos_token"] = gguf::make_bool(true);
  EXPECT_EQ(read(v).error().code(), ErrorCode::kCorrupt);
}

TEST(FromGguf, SpmNeedsFiniteScores) {
  Values v = bpe_values();
  v["tokenizer.ggml.model"] = gguf::make_string("llama");
  EXPECT_TRUE(read(v).ok());
  std::vector<float> scores(8, -1.0F);
  v["tokenizer.ggml.scores"] = gguf::make_f32_array(scores);
  EXPECT_TRUE(read(v).ok());
  scores[3] = std::numeric_limits<float>::quiet_NaN();
  v["tokenizer.ggml.scores"] = gguf::make_f32_array(scores);
  EXPECT_EQ(read(v).error().code(), ErrorCode::kCorrupt);
}

TEST(FromGguf, Phi3SpecialTokensSwallowSpace) {
  Values v = bpe_values();
  v["general.name"] = gguf::make_string("Phi-3 mini");
  const auto vocabulary = read(v);
  ASSERT_TRUE(vocabulary.ok());
  EXPECT_TRUE(has_type(vocabulary->types[5], TokenType::kStripRight));
  EXPECT_FALSE(has_type(vocabulary->types[3], TokenType::kStripRight));
}

TEST(Validate, SizesAndLimits) {
  Vocabulary v = small_bpe();
  EXPECT_TRUE(validate(v).ok());
  v.types.pop_back();
  EXPECT_EQ(validate(v).error().code(), ErrorCode::kInvalidArgument);
  v = small_bpe();
  v.end_of_generation = {300};
  EXPECT_EQ(validate(v).error().code(), ErrorCode::kInvalidArgument);
  v = small_bpe();
  v.special.unk = -7;
  EXPECT_EQ(validate(v).error().code(), ErrorCode::kInvalidArgument);
  v = small_bpe();
  v.tokens[0].clear();
  EXPECT_EQ(validate(v).error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::tokenizer
