#include "holdfast/planner/model_shape.h"

#include <gtest/gtest.h>

#include "holdfast/planner/memory.h"
#include "holdfast/planner/shipped.h"

namespace holdfast::planner {
namespace {

json::Value parse(std::string_view text) { return *json::parse(text); }

// The published config.json of Llama 3.1 8B: 8,030,261,248 parameters.
TEST(ModelShapeTest, FromAConfigFile) {
  const auto s = shape_from_config(
      parse(R"({"num_hidden_layers":32,"hidden_size":4096,"intermediate_size":14336,
      "num_attention_heads":32,"num_key_value_heads":8,"vocab_size":128256,
      "max_position_embeddings":131072,"tie_word_embeddings":false})"),
      "mine");
  ASSERT_TRUE(s.ok()) << s.error().to_string();
  EXPECT_NEAR(s->params, 8.030e9, 1e6);
  EXPECT_EQ(s->head_dim, 128u);
  EXPECT_EQ(kv_bytes_per_token(*s, 2).value(), 131'072);
}

// Gemma 3 270M: 268,098,176 parameters; every sixth of its 18 layers sees everything.
TEST(ModelShapeTest, WindowsAndTiedEmbeddings) {
  const auto s =
      shape_from_config(parse(R"({"num_hidden_layers":18,"hidden_size":640,"intermediate_size":2048,
      "num_attention_heads":4,"num_key_value_heads":1,"head_dim":256,"vocab_size":262144,
      "sliding_window":512,"sliding_window_pattern":6,"tie_word_embeddings":true})"),
                        "gemma");
  ASSERT_TRUE(s.ok()) << s.error().to_string();
  EXPECT_NEAR(s->params, 268.1e6, 1e6);
  EXPECT_EQ(s->window_layers, 15u);
  // 3 layers of 4096 tokens and 15 of 512, 1024 bytes each.
  EXPECT_EQ(kv_bytes(*s, 4096, 2).value(), 1024.0 * (3 * 4096 + 15 * 512));
}

// Qwen3-30B-A3B: 30.5B parameters of which 3.3B are active.
TEST(ModelShapeTest, MixtureOfExperts) {
  const auto s = shape_from_config(
      parse(R"({"num_hidden_layers":48,"hidden_size":2048,"intermediate_size":6144,
      "moe_intermediate_size":768,"num_attention_heads":32,"num_key_value_heads":4,"head_dim":128,
      "vocab_size":151936,"num_experts":128,"num_experts_per_tok":8})"),
      "moe");
  ASSERT_TRUE(s.ok()) << s.error().to_string();
  EXPECT_NEAR(s->params, 30.53e9, 0.05e9);
  EXPECT_NEAR(s->active, 3.35e9, 0.05e9);
}

TEST(ModelShapeTest, BadConfigsNameTheField) {
  const auto message = [](std::string_view text) {
    const auto s = shape_from_config(parse(text), "f");
    return s.ok() ? std::string("ok") : s.error().client_message();
  };
  EXPECT_NE(message("{}").find("num_hidden_layers"), std::string::npos);
  EXPECT_NE(message(R"({"num_hidden_layers":-1})").find("num_hidden_layers"), std::string::npos);
  EXPECT_NE(message(R"({"num_hidden_layers":2,"hidden_size":64,"num_attention_heads":0})")
                .find("num_attention_heads"),
            std::string::npos);
  EXPECT_NE(message(R"({"num_hidden_layers":2,"hidden_size":64,"num_attention_heads":4,
      "num_key_value_heads":8,"vocab_size":100000})")
                .find("kv_heads"),
            std::string::npos);
  EXPECT_NE(message("[]").find("no JSON object"), std::string::npos);
}

TEST(ModelShapeTest, EstimatesAreNearPublishedSizes) {
  for (const ModelShape& m : shipped_models()) {
    if (m.mixture() || m.attention != Attention::kGrouped || m.params < 1e9 || m.params > 1e11)
      continue;
    const ModelShape e = shape_from_params("x", m.params, m.params);
    EXPECT_TRUE(check_shape(e).ok());
    EXPECT_GT(e.layers, m.layers / 2) << m.id;
    EXPECT_LT(e.layers, m.layers * 2) << m.id;
  }
}

TEST(ModelShapeTest, NamesAreFoundInSpiteOfSpelling) {
  EXPECT_EQ(find_model(shipped_models(), "Llama 3.1 8B")->id, "llama-3.1-8b");
  const auto none = find_model(shipped_models(), "llama-3.1-9b");
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().client_message().find("llama-3.1-8b"), std::string::npos);
}

TEST(ModelShapeTest, QuantsAndKvTypes) {
  EXPECT_EQ(find_quant("q4_k_m")->bits_per_weight, 4.85);
  EXPECT_NE(find_quant("Q4_K_X").error().client_message().find("Q4_K_M"), std::string::npos);
  EXPECT_EQ(*kv_element_bytes("q8_0"), 1.0625);
  EXPECT_FALSE(kv_element_bytes("q5").ok());
}

TEST(ModelShapeTest, LinesWithErrorsAreNamed) {
  const auto r = parse_models(
      "id,params,layers,width,heads,kv_heads,head_dim,attention\n"
      "x,1e9,0,2048,32,8,64,gqa\n",
      "m.csv");
  ASSERT_FALSE(r.ok());
  EXPECT_NE(r.error().client_message().find("m.csv line 2: model x: layers"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::planner
