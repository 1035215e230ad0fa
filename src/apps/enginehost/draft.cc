#include "draft.h"

#include <string>
#include <utility>

namespace holdfast::enginehost {

namespace {

using Source = runtime::SpeculationOptions::Source;

// Guesses are token numbers, so a number must mean the same to both.
Status check_same_tokens(const tokenizer::Tokenizer& model, const tokenizer::Tokenizer& draft) {
  const auto refuse = [](std::string detail) {
    return invalid_argument("the draft model has another vocabulary than the model",
                            std::move(detail))
        .with_hint(
            "a draft model must come from the same family; engine.speculation = \"auto\" "
            "needs none");
  };
  if (model.vocab_size() != draft.vocab_size()) {
    return refuse(std::to_string(draft.vocab_size()) + " tokens in place of " +
                  std::to_string(model.vocab_size()));
  }
  for (tokenizer::TokenId id = 0; id < model.vocab_size(); ++id) {
    if (model.token_bytes(id) != draft.token_bytes(id) ||
        model.is_control(id) != draft.is_control(id)) {
      return refuse("token " + std::to_string(id) + " differs");
    }
  }
  return ok_status();
}

}  // namespace

Result<runtime::SpeculationOptions> parse_speculation(std::string_view word) {
  runtime::SpeculationOptions o;
  if (word == "off") return o;
  o.adaptive = word != "ngram";
  o.source = word == "draft" ? Source::kModel : Source::kLookup;
  if (word == "auto" || word == "ngram" || word == "draft") return o;
  return invalid_argument("unsupported speculation " + std::string(word));
}

std::string_view speculation_name(const runtime::SpeculationOptions& options) {
  switch (options.source) {
    case Source::kNone:
      return "off";
    case Source::kLookup:
      return options.adaptive ? "auto" : "ngram";
    case Source::kModel:
      return "draft";
  }
  return "off";
}

LoadConfig draft_load_config(const LoadConfig& config) {
  LoadConfig own = config;
  own.pack_fd = std::exchange(own.draft_pack_fd, -1);
  own.keys_fd = std::exchange(own.draft_keys_fd, -1);
  own.speculation = {};
  // Positions go as far as the model's, whose context may not be known yet.
  if (own.context == 0) own.context = model::kContextMax;
  own.logits_rows = 0;
  own.hidden_states = false;
  own.template_text.clear();
  return own;
}

Status join_draft(LoadedModel& model, std::unique_ptr<LoadedModel> draft) {
  HF_TRY(check_same_tokens(*model.tokenizer, *draft->tokenizer));
  HF_TRY_ASSIGN(draft->cache,
                kvcache::PagedKvCache::create(model::kv_layout(draft->model->hyperparameters(),
                                                               draft->model->options().kv_type),
                                              model.cache->pages_total()));
  // All of it was counted when the number of pages was decided, the scratch memory as weights.
  model.plan.weights_bytes -= draft->plan.scratch_bytes;
  model.plan.scratch_bytes += draft->plan.scratch_bytes;
  draft->team.reset();  // read the pack; passes run on the model's
  draft->tokenizer.reset();
  model.draft = std::move(draft);
  return ok_status();
}

}  // namespace holdfast::enginehost
