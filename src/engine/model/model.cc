#include "holdfast/model/model.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "batch.h"
#include "decoder.h"
#include "holdfast/footprint/resident.h"
#include "scratch.h"
#include "weights.h"

namespace holdfast::model {

namespace {

// A step larger than this gains nothing and its activations would not fit any cache.
constexpr std::uint32_t kSequencesMax = 1024;

Status check_option(std::string_view name, std::uint32_t value, std::uint32_t min,
                    std::uint32_t max) {
  if (value >= min && value <= max) return ok_status();
  return invalid_argument(std::string(name) + " must be between " + std::to_string(min) + " and " +
                          std::to_string(max));
}

Status check_options(const LoadOptions& o) {
  HF_TRY(check_option("context_length", o.context_length, 1, kContextMax));
  HF_TRY(check_option("batch_tokens_max", o.batch_tokens_max, 1, kBatchTokensMax));
  HF_TRY(check_option("sequences_max", o.sequences_max, 1, kSequencesMax));
  HF_TRY(check_option("logits_rows_max", o.logits_rows_max, 1, o.batch_tokens_max));
  HF_TRY(check_option("hidden_rows_max", o.hidden_rows_max, 0, o.batch_tokens_max));
  return check_option("threads", o.threads, 1, tensor::ThreadTeam::kThreadsMax);
}

std::uint64_t scratch_bytes(const Hyperparameters& hyper, const LoadOptions& options) {
  tensor::Arena measure;
  Scratch::take(measure, hyper, options);
  return measure.bytes_used();
}

}  // namespace

kvcache::KvLayout kv_layout(const Hyperparameters& hyper, kvcache::KvType type) {
  return {.n_layers = hyper.n_layers,
          .n_kv_heads = hyper.n_kv_heads,
          .k_dim = hyper.head_dim,
          .v_dim = hyper.head_dim,
          .type = type};
}

Result<MemoryPlan> memory_plan(const Hyperparameters& hyper, const LoadOptions& options,
                               std::uint64_t weights_bytes) {
  HF_TRY(validate(hyper));
  HF_TRY(check_options(options));
  if (!kernels::kv_dim_fits(options.kv_type, hyper.head_dim)) {
    return unsupported("unsupported kv_type for this model: its heads of " +
                       std::to_string(hyper.head_dim) + " dimensions are not whole blocks of " +
                       std::to_string(kernels::kKvBlock) + "; use f16");
  }
  MemoryPlan plan;
  plan.weights_bytes = weights_bytes;
  plan.kv_bytes = kvcache::PagedKvCache::page_bytes(kv_layout(hyper, options.kv_type)) *
                  kvcache::PagedKvCache::pages_for(options.context_length) * options.sequences_max;
  plan.scratch_bytes = scratch_bytes(hyper, options);
  return plan;
}

Result<std::uint64_t> scratch_resident_bytes(const Hyperparameters& hyper,
                                             const LoadOptions& options, const StepSize& largest,
                                             bool huge_pages) {
  HF_TRY(validate(hyper));
  HF_TRY(check_options(options));
  LoadOptions used = options;
  used.batch_tokens_max = std::min(largest.tokens, options.batch_tokens_max);
  used.logits_rows_max = std::min(largest.logits_rows, options.logits_rows_max);
  used.hidden_rows_max = std::min(largest.hidden_rows, options.hidden_rows_max);
  tensor::Arena whole;
  tensor::Arena part;
  Scratch::take(whole, hyper, options);
  Scratch::take(part, hyper, used);
  std::vector<footprint::Touched> touched;
  for (std::size_t i = 0; i < whole.arrays().size(); ++i)
    touched.push_back({whole.arrays()[i].offset, part.arrays()[i].bytes});
  const std::uint64_t bytes = whole.bytes_used();
  return footprint::resident_bytes(bytes, touched,
                                   huge_pages && tensor::Arena::wants_huge_pages(bytes));
}

struct Model::Impl {
  Impl(const Hyperparameters& h, const LoadOptions& o) : hyper(h), options(o), batch(o) {}

  Hyperparameters hyper;
  LoadOptions options;
  Weights weights;
  tensor::Arena arena;
  Scratch scratch;
  Batch batch;
};

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;

const Hyperparameters& Model::hyperparameters() const { return impl_->hyper; }
const LoadOptions& Model::options() const { return impl_->options; }

Result<std::unique_ptr<Model>> Model::load(const Hyperparameters& hyper, TensorProvider& provider,
                                           const LoadOptions& options,
                                           platform::MemoryBudget* budget) {
  HF_TRY(validate(hyper));
  HF_TRY(check_options(options));
  auto impl = std::make_unique<Impl>(hyper, options);
  HF_TRY_ASSIGN(impl->weights, load_weights(hyper, provider, options.context_length));
  HF_TRY_ASSIGN(impl->arena, tensor::Arena::create(scratch_bytes(hyper, options), budget));
  impl->scratch = Scratch::take(impl->arena, hyper, options);
  return std::unique_ptr<Model>(new Model(std::move(impl)));
}

Status Model::forward(tensor::ThreadTeam& team, const kernels::KernelTable& kernels,
                      kvcache::PagedKvCache& cache, Step& step) {
  step.logits = step.hidden = {};
  if (team.size() > impl_->options.threads) {
    return invalid_argument("the team has more threads than the model was loaded for");
  }
  if (step.tokens.empty()) return ok_status();
  HF_TRY(impl_->batch.prepare(impl_->hyper, impl_->options, step, cache));
  const DecoderPass pass(impl_->hyper, impl_->weights, impl_->batch, impl_->scratch, kernels,
                         cache);
  team.run([&pass](tensor::Worker& worker) { pass.run(worker); });
  impl_->batch.commit(cache);
  const std::size_t n_logits = std::size_t{impl_->batch.logits_rows()} * impl_->hyper.n_vocab;
  const std::size_t n_hidden = std::size_t{impl_->batch.hidden_rows()} * impl_->hyper.n_embd;
  step.logits = impl_->scratch.logits.first(n_logits);
  step.hidden = impl_->scratch.hidden.first(n_hidden);
  return ok_status();
}

}  // namespace holdfast::model
