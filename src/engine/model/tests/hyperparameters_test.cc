// Oracle: round trip, and for each field the limit and one beyond it.
#include "holdfast/model/hyperparameters.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "holdfast/json/json.h"

namespace holdfast::model {
namespace {

Hyperparameters sample() {
  Hyperparameters h;
  h.architecture = "gemma3";
  h.n_layers = 3;
  h.n_embd = 64;
  h.n_heads = 4;
  h.n_kv_heads = 2;
  h.head_dim = 32;
  h.n_ff = 96;
  h.n_vocab = 384;
  h.context_train = 512;
  h.norm_eps = 1e-6f;
  h.activation = Activation::kGelu;
  h.tied_output = true;
  h.qk_norm = QkNorm::kPerHead;
  h.rope = {.layout = RopeLayout::kHalves,
            .dims = 32,
            .base = 1e6f,
            .scaling = RopeScaling::kYarn,
            .factor = 8.0f,
            .original_context = 128};
  h.rope_local = {.layout = RopeLayout::kHalves, .dims = 32};
  h.window = 24;
  h.windowed = {true, true, false};
  h.attention_scale = 0.17677669f;
  h.logit_softcap = 30.0f;
  return h;
}

TEST(Hyperparameters, RoundTrip) {
  const Hyperparameters h = sample();
  const std::string text = to_json(h);
  const auto back = from_json(text);
  ASSERT_TRUE(back.ok()) << back.error().to_string();
  EXPECT_EQ(*back, h);
  EXPECT_EQ(to_json(*back), text);
  EXPECT_NE(text.find("\"norm_eps\":"), std::string::npos);
}

TEST(Hyperparameters, EveryTruncationIsRefused) {
  const std::string text = to_json(sample());
  for (std::size_t n = 0; n < text.size(); ++n) {
    const auto r = from_json(std::string_view(text).substr(0, n));
    ASSERT_FALSE(r.ok()) << n;
    ASSERT_EQ(r.error().code(), ErrorCode::kCorrupt);
  }
}

// Removing, renaming or retyping any member is an error; so is any other spelling of the same
// value.
TEST(Hyperparameters, OnlyTheCanonicalTextIsAccepted) {
  const std::string text = to_json(sample());
  const json::Value parsed = json::parse(text).value();
  for (const json::Member& member : parsed.as_object()) {
    SCOPED_TRACE(member.key);
    json::Object missing = parsed.as_object();
    missing.erase(member.key);
    EXPECT_FALSE(from_json(json::write(json::Value(missing))).ok());
    missing.set(member.key + "x", member.value);
    EXPECT_FALSE(from_json(json::write(json::Value(missing))).ok());
    json::Object retyped = parsed.as_object();
    retyped.set(member.key, nullptr);
    EXPECT_FALSE(from_json(json::write(json::Value(retyped))).ok());
  }
  json::Object more = parsed.as_object();
  more.set("extra", 1);
  EXPECT_FALSE(from_json(json::write(json::Value(more))).ok());
  EXPECT_FALSE(from_json(text + " ").ok());
  EXPECT_FALSE(from_json("[]").ok());
}

TEST(Hyperparameters, IntegersHaveLimits) {
  using Field = std::uint32_t Hyperparameters::*;
  const std::pair<Field, std::uint32_t> fields[] = {
      {&Hyperparameters::n_embd, kEmbeddingMax}, {&Hyperparameters::n_heads, kHeadsMax},
      {&Hyperparameters::n_ff, kFeedForwardMax}, {&Hyperparameters::n_vocab, kVocabularyMax},
      {&Hyperparameters::head_dim, kHeadDimMax}, {&Hyperparameters::context_train, kContextMax},
  };
  for (const auto& [field, max] : fields) {
    Hyperparameters h = sample();
    h.*field = max;
    EXPECT_TRUE(validate(h).ok()) << max;
    h.*field = max + 1;
    EXPECT_FALSE(validate(h).ok()) << max;
    h.*field = 0;
    EXPECT_FALSE(validate(h).ok()) << max;
  }
  Hyperparameters h = sample();
  h.n_layers = kLayersMax;
  h.windowed.assign(kLayersMax, true);
  EXPECT_TRUE(validate(h).ok());
  h.n_layers = kLayersMax + 1;
  h.windowed.assign(kLayersMax + 1, true);
  EXPECT_FALSE(validate(h).ok());
}

TEST(Hyperparameters, FloatsAreFiniteAndInRange) {
  using Field = float Hyperparameters::*;
  for (const Field field : {&Hyperparameters::norm_eps, &Hyperparameters::embedding_scale,
                            &Hyperparameters::attention_scale, &Hyperparameters::residual_scale,
                            &Hyperparameters::logit_scale, &Hyperparameters::attention_softcap,
                            &Hyperparameters::logit_softcap}) {
    for (const float bad : {-1.0f, 1e30f, std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
      Hyperparameters h = sample();
      h.*field = bad;
      EXPECT_FALSE(validate(h).ok()) << bad;
    }
  }
}

TEST(Hyperparameters, ContradictionsAreRefused) {
  const auto refused = [](auto change) {
    Hyperparameters h = sample();
    change(h);
    const Status status = validate(h);
    return !status.ok() && status.error().code() == ErrorCode::kCorrupt;
  };
  EXPECT_TRUE(refused([](auto& h) { h.n_kv_heads = 3; }));
  EXPECT_TRUE(refused([](auto& h) { h.windowed.pop_back(); }));
  EXPECT_TRUE(refused([](auto& h) { h.window = 0; }));
  EXPECT_TRUE(refused([](auto& h) { h.windowed = {false, false, false}; }));
  EXPECT_TRUE(refused([](auto& h) { h.rope.dims = 33; }));
  EXPECT_TRUE(refused([](auto& h) { h.rope.dims = 0; }));
  EXPECT_TRUE(refused([](auto& h) { h.rope.dims = 34; }));
  EXPECT_TRUE(refused([](auto& h) { h.rope.original_context = 0; }));
  EXPECT_TRUE(refused([](auto& h) { h.rope.base = 1.0f; }));
  EXPECT_TRUE(refused([](auto& h) { h.architecture.clear(); }));
  EXPECT_TRUE(refused([](auto& h) {
    h.fused_qkv = true;
    h.q_bias = true;
  }));
}

}  // namespace
}  // namespace holdfast::model
