#include "sizing.h"

#include <algorithm>
#include <string>
#include <utility>

#include "holdfast/base/units.h"
#include "holdfast/enginehost/plan.h"
#include "holdfast/footprint/kv_pages.h"

namespace holdfast::enginehost {

Beside beside(const LoadedModel* draft) {
  if (draft == nullptr) return {};
  const kvcache::KvLayout layout =
      model::kv_layout(draft->model->hyperparameters(), draft->model->options().kv_type);
  return {draft->plan.weights_bytes + draft->plan.scratch_bytes, footprint::kv_page_bytes(layout)};
}

namespace {

// Tokens of a step beside those of prompts: one for each sequence, and guesses.
std::uint32_t decoding_max(const LoadConfig& config) {
  const bool guesses = config.speculation.source != runtime::SpeculationOptions::Source::kNone;
  return config.places() + (guesses ? config.speculation.tokens_max : 0);
}

}  // namespace

model::LoadOptions load_options(const LoadConfig& config, std::uint32_t context) {
  const std::uint32_t decoding = decoding_max(config);
  const std::uint32_t chunk =
      std::min({config.prefill_chunk, context, model::kBatchTokensMax - decoding});
  model::LoadOptions o;
  o.context_length = context;
  o.kv_type = config.kv_type;
  o.batch_tokens_max = chunk + decoding;
  o.sequences_max = config.places();
  o.logits_rows_max = std::min(std::max(config.logits_rows, decoding), o.batch_tokens_max);
  o.hidden_rows_max = config.hidden_states ? chunk : 0;
  o.threads = config.threads;
  return o;
}

footprint::ScratchBytes scratch_of(const LoadConfig& config, const model::Hyperparameters& hyper) {
  return [&config, &hyper](std::uint32_t context) -> Result<std::uint64_t> {
    HF_TRY_ASSIGN(const footprint::MemoryPlan plan,
                  model::memory_plan(hyper, load_options(config, context), 0));
    return plan.scratch_bytes;
  };
}

footprint::FitRequest fit_request(const LoadConfig& config, const model::Hyperparameters& hyper,
                                  std::uint64_t weights, const Beside& beside) {
  footprint::FitRequest r;
  r.weights_bytes = weights + beside.fixed_bytes;
  r.page_bytes =
      footprint::kv_page_bytes(model::kv_layout(hyper, config.kv_type)) + beside.page_bytes;
  r.context = config.context;
  r.context_max = hyper.context_train;
  r.kv_tokens = config.kv_tokens;
  r.sequences = config.batch_max;
  r.places = config.places();
  r.limit_bytes = config.memory_limit_bytes;
  r.kv_bytes_max = config.kv_bytes_max;
  return r;
}

Result<footprint::MemoryPlan> draft_plan(const LoadConfig& config,
                                         const model::Hyperparameters& hyper,
                                         std::uint64_t weights) {
  HF_TRY_ASSIGN(footprint::MemoryPlan plan,
                model::memory_plan(hyper, load_options(config, config.context), weights));
  plan.kv_bytes = 0;
  const std::uint64_t limit = config.memory_limit_bytes;
  if (limit == 0 || plan.total_bytes() <= limit) return plan;
  return exhausted("the draft model does not fit: " + format_bytes(plan.total_bytes()) +
                   " needed, " + format_bytes(limit) + " available");
}

namespace {

footprint::ProcessShape process_shape(const LoadConfig& config, const footprint::Fit& fit,
                                      std::uint64_t kept_bytes) {
  return {.threads = config.threads,
          .kept_bytes = kept_bytes,
          .pages = fit.pages,
          .sequences = config.places(),
          .context = fit.context};
}

// The largest step reads a piece of a prompt while all other sequences decode.
model::StepSize largest_step(const LoadConfig& config, const model::LoadOptions& options,
                             const EngineUse& use) {
  const std::uint32_t prompt =
      std::min(use.tokens, options.batch_tokens_max - decoding_max(config));
  return {.tokens = prompt + use.sequences - 1, .logits_rows = use.sequences};
}

Result<EnginePlan> plan_of(const LoadConfig& config, const footprint::Fit& fit,
                           const ModelSize& model, const EngineUse& use) {
  const model::LoadOptions options = load_options(config, fit.context);
  EnginePlan out;
  out.fit = fit;
  out.fit.plan.process_bytes = process_bytes(config, fit, model.kept_bytes);
  footprint::ResidentRequest r;
  r.weights_bytes = model.weights_bytes;
  r.process = process_shape(config, fit, model.kept_bytes);
  r.process.sequences = use.sequences;
  r.page_bytes = footprint::kv_page_bytes(model::kv_layout(model.hyper, config.kv_type));
  r.filled_tokens = std::min(use.tokens, fit.context);
  r.huge_pages = use.huge_pages;
  HF_TRY_ASSIGN(r.scratch_bytes,
                model::scratch_resident_bytes(model.hyper, options,
                                              largest_step(config, options, use), use.huge_pages));
  out.resident = footprint::predict_peak_resident(r);
  return out;
}

}  // namespace

std::uint64_t process_bytes(const LoadConfig& config, const footprint::Fit& fit,
                            std::uint64_t kept_bytes) {
  return footprint::process_bytes(process_shape(config, fit, kept_bytes));
}

std::variant<EnginePlan, footprint::NoFit> plan_engine(std::string_view config_json,
                                                       const ModelSize& model,
                                                       const EngineUse& use) {
  const auto config = parse_load_config(config_json);
  if (!config.ok()) return footprint::NoFit{config.error(), 0, 0};
  if (use.sequences == 0) {
    return footprint::NoFit{invalid_argument("the number of sequences must be at least 1"), 0, 0};
  }
  auto decided = footprint::fit(fit_request(*config, model.hyper, model.weights_bytes, {}),
                                scratch_of(*config, model.hyper));
  if (auto* refused = std::get_if<footprint::NoFit>(&decided)) return std::move(*refused);
  auto plan = plan_of(*config, std::get<footprint::Fit>(decided), model, use);
  if (!plan.ok()) return footprint::NoFit{plan.error(), 0, 0};
  return std::move(*plan);
}

}  // namespace holdfast::enginehost
