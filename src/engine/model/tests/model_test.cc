// Loading, planning and stepping: what is refused, and what a refusal leaves behind.
#include "holdfast/model/model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "holdfast/kernels/select.h"
#include "holdfast/quant/packed.h"
#include "tiny_model.h"

namespace holdfast::model {
namespace {

class LoadedModel : public testing::Test {
 protected:
  void SetUp() override {
    tiny_ = TinyModel::open(golden_dir() + "/llama-gqa-untied.gguf");
    hyper_ = tiny_->inspection().hyper;
    options_ = {.context_length = 64,
                .batch_tokens_max = 16,
                .sequences_max = 2,
                .logits_rows_max = 4,
                .hidden_rows_max = 2,
                .threads = 2};
    team_ = tensor::ThreadTeam::create(2, 2).value();
    kernels_ = kernels::available_kernels(platform::CpuFeatures::detect()).back();
    cache_ = kvcache::PagedKvCache::create(kv_layout(hyper_, options_.kv_type), 2).value();
    sequence_ = cache_->open().value();
  }
  void load() { model_ = Model::load(hyper_, *tiny_, options_).value(); }
  Status step(const std::vector<StepToken>& tokens, Step* out = nullptr) {
    Step step{.tokens = tokens, .logits = {}, .hidden = {}};
    Status status = model_->forward(*team_, *kernels_, *cache_, step);
    if (out != nullptr) *out = step;
    return status;
  }
  StepToken token(std::uint32_t position, std::int32_t id = 1) const {
    return {.sequence = sequence_, .position = position, .token = id};
  }
  void expect_refused(const std::vector<StepToken>& tokens,
                      ErrorCode code = ErrorCode::kInvalidArgument) {
    const std::size_t length = cache_->length(sequence_);
    const std::size_t free = cache_->pages_free();
    const Status status = step(tokens);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code(), code) << status.error().to_string();
    EXPECT_EQ(cache_->length(sequence_), length);
    EXPECT_EQ(cache_->pages_free(), free);
  }

  std::unique_ptr<TinyModel> tiny_;
  Hyperparameters hyper_;
  LoadOptions options_;
  std::unique_ptr<tensor::ThreadTeam> team_;
  const kernels::KernelTable* kernels_ = nullptr;
  std::unique_ptr<kvcache::PagedKvCache> cache_;
  kvcache::SequenceId sequence_{};
  std::unique_ptr<Model> model_;
};

TEST_F(LoadedModel, ThePlanIsWhatLoadTakes) {
  const MemoryPlan plan = memory_plan(hyper_, options_, 1000).value();
  EXPECT_EQ(plan.weights_bytes, 1000u);
  EXPECT_EQ(plan.kv_bytes,
            2 * 2 * kvcache::PagedKvCache::page_bytes(kv_layout(hyper_, options_.kv_type)));
  platform::MemoryBudget enough(plan.scratch_bytes + platform::kLargeBufferAlignment);
  ASSERT_TRUE(Model::load(hyper_, *tiny_, options_, &enough).ok());
  platform::MemoryBudget less(plan.scratch_bytes - 1);
  const auto refused = Model::load(hyper_, *tiny_, options_, &less);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), ErrorCode::kExhausted);
}

// Invariants: steps of the full size touch every array to its end, which is the whole but for
// what rounding up to cache lines leaves; smaller ones touch less; rows of logits are a vocabulary
// of floats each.
TEST_F(LoadedModel, ScratchIsResidentAsFarAsStepsReach) {
  LoadOptions o = options_;
  o.batch_tokens_max = 2000;
  o.logits_rows_max = 1000;
  const std::uint64_t whole = memory_plan(hyper_, o, 0)->scratch_bytes;
  const auto resident = [&](const StepSize& step) {
    return *scratch_resident_bytes(hyper_, o, step, false);
  };
  EXPECT_EQ(resident({.tokens = 2000, .logits_rows = 1000}), round_up<std::uint64_t>(whole, 4096));
  EXPECT_EQ(resident({.tokens = 9999, .logits_rows = 9999}), round_up<std::uint64_t>(whole, 4096));
  EXPECT_LT(resident({}), whole / 10);
  const std::uint64_t row = hyper_.n_vocab * sizeof(float);
  const std::uint64_t more =
      resident({.tokens = 500, .logits_rows = 900}) - resident({.tokens = 500, .logits_rows = 100});
  EXPECT_GE(more, 800 * row - 4096);
  o.threads = 0;
  EXPECT_FALSE(scratch_resident_bytes(hyper_, o, {}, false).ok());
}

TEST_F(LoadedModel, OptionsHaveLimits) {
  const auto refused = [&](auto change) {
    LoadOptions o = options_;
    change(o);
    return !memory_plan(hyper_, o, 0).ok() && !Model::load(hyper_, *tiny_, o).ok();
  };
  EXPECT_TRUE(refused([](auto& o) { o.context_length = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.context_length = kContextMax + 1; }));
  EXPECT_TRUE(refused([](auto& o) { o.batch_tokens_max = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.batch_tokens_max = UINT32_MAX; }));
  EXPECT_TRUE(refused([](auto& o) { o.sequences_max = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.logits_rows_max = o.batch_tokens_max + 1; }));
  EXPECT_TRUE(refused([](auto& o) { o.hidden_rows_max = o.batch_tokens_max + 1; }));
  EXPECT_TRUE(refused([](auto& o) { o.threads = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.threads = 1000; }));
}

// Every tensor in turn is missing, has another shape, is cut short, or (vectors) holds a NaN.
TEST_F(LoadedModel, DamagedWeightsAreRefused) {
  for (const TensorSpec& spec : required_tensors(hyper_)) {
    SCOPED_TRACE(spec.name);
    const LoadedTensor good = tiny_->get(spec.name).value();
    const auto refused = [&](const LoadedTensor& bad) {
      tiny_->tensor(spec.name) = bad;
      const auto model = Model::load(hyper_, *tiny_, options_);
      tiny_->tensor(spec.name) = good;
      return !model.ok() && model.error().code() == ErrorCode::kCorrupt &&
             model.error().to_string().find(spec.name) != std::string::npos;
    };
    LoadedTensor bad = good;
    bad.cols += 1;
    EXPECT_TRUE(refused(bad));
    bad = good;
    bad.rows += 1;
    EXPECT_TRUE(refused(bad));
    bad = good;
    bad.bytes = bad.bytes.first(bad.bytes.size() - 1);
    EXPECT_TRUE(refused(bad));
    if (spec.role != TensorRole::kVector) continue;
    std::vector<float> values(spec.cols, 1.0f);
    values.back() = std::numeric_limits<float>::quiet_NaN();
    bad = good;
    bad.bytes = std::as_bytes(std::span(values));
    EXPECT_TRUE(refused(bad));
  }
  tiny_->erase("blk.1.ffn_norm.weight");
  const auto missing = Model::load(hyper_, *tiny_, options_);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), ErrorCode::kNotFound);
}

TEST_F(LoadedModel, StepsThatDoNotFitAreRefused) {
  load();
  ASSERT_TRUE(step({token(0), token(1)}).ok());
  EXPECT_EQ(cache_->length(sequence_), 2u);
  expect_refused({token(1)});
  expect_refused({token(3)});
  expect_refused({token(2), token(2)});
  expect_refused({token(2, -1)});
  expect_refused({token(2, static_cast<std::int32_t>(hyper_.n_vocab))});
  std::vector<StepToken> many;
  for (std::uint32_t i = 0; i < 17; ++i) many.push_back(token(2 + i));
  expect_refused(many);
  std::vector<StepToken> wanted(many.begin(), many.begin() + 5);
  for (StepToken& t : wanted) t.wants_logits = true;
  expect_refused(wanted);
  for (StepToken& t : wanted) t.wants_logits = false, t.wants_hidden = true;
  expect_refused(wanted);
}

TEST_F(LoadedModel, SequencesStandTogether) {
  load();
  const kvcache::SequenceId other = cache_->open().value();
  const kvcache::SequenceId third = cache_->open().value();
  const StepToken b{.sequence = other, .position = 0, .token = 1};
  const StepToken c{.sequence = third, .position = 0, .token = 1};
  expect_refused({token(0), b, token(1)});
  expect_refused({token(0), b, c});
}

TEST_F(LoadedModel, AFullCacheLeavesEverythingAsItWas) {
  options_.sequences_max = 3;
  load();
  const kvcache::SequenceId other = cache_->open().value();
  const kvcache::SequenceId third = cache_->open().value();
  const StepToken b{.sequence = other, .position = 0, .token = 1};
  const StepToken c{.sequence = third, .position = 0, .token = 1};
  expect_refused({token(0), b, c}, ErrorCode::kExhausted);
  EXPECT_TRUE(step({token(0), b}).ok());
}

TEST_F(LoadedModel, ContextEndsAtItsLength) {
  options_.context_length = 8;
  load();
  std::vector<StepToken> tokens;
  for (std::uint32_t i = 0; i < 8; ++i) tokens.push_back(token(i));
  ASSERT_TRUE(step(tokens).ok());
  expect_refused({token(8)});
}

TEST_F(LoadedModel, LargerTeamsThanPlannedAreRefused) {
  options_.threads = 1;
  load();
  expect_refused({token(0)});
}

TEST_F(LoadedModel, AnEmptyStepDoesNothing) {
  load();
  EXPECT_TRUE(step({}).ok());
}

// Oracle: the output head. Logits are the embedding-space state times the output matrix, which is
// f32 here.
TEST_F(LoadedModel, HiddenStatesAreWhatTheHeadReads) {
  load();
  std::vector<StepToken> tokens = {token(0, 5), token(1, 6), token(2, 7)};
  tokens[0].wants_hidden = true;
  tokens[2].wants_hidden = tokens[2].wants_logits = true;
  Step out;
  ASSERT_TRUE(step(tokens, &out).ok());
  ASSERT_EQ(out.hidden.size(), 2u * hyper_.n_embd);
  ASSERT_EQ(out.logits.size(), hyper_.n_vocab);
  const LoadedTensor w = tiny_->get("output.weight").value();
  std::vector<float> row(hyper_.n_embd);
  for (std::uint32_t r = 0; r < hyper_.n_vocab; r += 37) {
    quant::unpack_row(w.type, w.bytes.data(), w.rows, w.cols, r, row.data());
    double sum = 0, magnitude = 0;
    for (std::uint32_t k = 0; k < hyper_.n_embd; ++k) {
      const double product = static_cast<double>(row[k]) * out.hidden[hyper_.n_embd + k];
      sum += product;
      magnitude += std::fabs(product);
    }
    // Recursive summation of n f32 products: n unit roundoffs of the sum of magnitudes.
    EXPECT_NEAR(out.logits[r], sum, hyper_.n_embd * 0x1p-24 * magnitude) << r;
  }
}

}  // namespace
}  // namespace holdfast::model
