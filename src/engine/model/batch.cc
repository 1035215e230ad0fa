#include "batch.h"

#include <algorithm>
#include <string>

#include "holdfast/model/importance.h"

namespace holdfast::model {

Batch::Batch(const LoadOptions& options) {
  runs_.reserve(options.sequences_max);
  pages_.reserve(options.batch_tokens_max);
  blocks_.reserve(options.batch_tokens_max);
  wanted_.reserve(options.batch_tokens_max);
}

Status Batch::split_into_runs(const Hyperparameters& hyper, const LoadOptions& options,
                              const kvcache::PagedKvCache& cache) {
  runs_.clear();
  for (std::uint32_t i = 0; i < tokens_.size(); ++i) {
    const StepToken& t = tokens_[i];
    if (t.token < 0 || static_cast<std::uint32_t>(t.token) >= hyper.n_vocab) {
      return invalid_argument("token id " + std::to_string(t.token) + " is outside the vocabulary");
    }
    if (t.position >= options.context_length) {
      return invalid_argument("position " + std::to_string(t.position) +
                              " is outside the context of " +
                              std::to_string(options.context_length) + " tokens");
    }
    if (i == 0 || tokens_[i - 1].sequence != t.sequence) {
      const bool again = std::any_of(runs_.begin(), runs_.end(),
                                     [&](const Run& r) { return r.sequence == t.sequence; });
      if (again) return invalid_argument("the tokens of a sequence must stand together");
      if (runs_.size() == options.sequences_max) {
        return invalid_argument("more than " + std::to_string(options.sequences_max) +
                                " sequences in one step");
      }
      runs_.push_back({t.sequence, i, 0});
    }
    Run& run = runs_.back();
    if (t.position != cache.length(run.sequence) + run.count) {
      return invalid_argument("a step must continue its sequence",
                              "position " + std::to_string(t.position) + " after " +
                                  std::to_string(cache.length(run.sequence) + run.count) +
                                  " tokens");
    }
    ++run.count;
  }
  return ok_status();
}

Status Batch::collect_wanted(const LoadOptions& options) {
  wanted_.clear();
  logits_rows_ = hidden_rows_ = 0;
  for (std::uint32_t i = 0; i < tokens_.size(); ++i) {
    const StepToken& t = tokens_[i];
    if (!t.wants_logits && !t.wants_hidden) continue;
    Wanted w{.row = i};
    if (t.wants_logits) w.logits_row = logits_rows_++;
    if (t.wants_hidden) w.hidden_row = hidden_rows_++;
    wanted_.push_back(w);
  }
  if (logits_rows_ > options.logits_rows_max) {
    return invalid_argument("a step may want logits of at most " +
                            std::to_string(options.logits_rows_max) + " tokens");
  }
  if (hidden_rows_ > options.hidden_rows_max) {
    return invalid_argument("a step may want hidden states of at most " +
                            std::to_string(options.hidden_rows_max) + " tokens");
  }
  return ok_status();
}

void Batch::cut_blocks(const kvcache::PagedKvCache& cache) {
  blocks_.clear();
  pages_.assign(tokens_.size(), nullptr);
  for (const Run& run : runs_) {
    std::byte* const* pages = cache.pages(run.sequence).data();
    std::fill_n(pages_.begin() + run.first, run.count, pages);
    for (std::uint32_t i = 0; i < run.count; i += tensor::kAttentionBlockTokens) {
      blocks_.push_back({.first_row = run.first + i,
                         .n_tokens = std::min(run.count - i, tensor::kAttentionBlockTokens),
                         .first_position = tokens_[run.first + i].position,
                         .pages = pages});
    }
  }
}

Status Batch::prepare(const Hyperparameters& hyper, const LoadOptions& options, const Step& step,
                      kvcache::PagedKvCache& cache) {
  tokens_ = step.tokens;
  if (tokens_.size() > options.batch_tokens_max) {
    return invalid_argument("a step may have at most " + std::to_string(options.batch_tokens_max) +
                            " tokens");
  }
  squares_ = step.squares;
  if (!squares_.sums.empty() &&
      (squares_.sums.size() != activation_columns(hyper) || squares_.first > tokens_.size() ||
       squares_.count > tokens_.size() - squares_.first)) {
    return invalid_argument("sums of squares that do not fit the step");
  }
  HF_TRY(split_into_runs(hyper, options, cache));
  HF_TRY(collect_wanted(options));
  for (const Run& run : runs_) {
    const Status status = cache.reserve(run.sequence, cache.length(run.sequence) + run.count);
    if (status.ok()) continue;
    for (const Run& r : runs_) cache.truncate(r.sequence, cache.length(r.sequence));
    return status.error();
  }
  cut_blocks(cache);
  return ok_status();
}

void Batch::commit(kvcache::PagedKvCache& cache) const {
  for (const Run& run : runs_) {
    cache.set_length(run.sequence, cache.length(run.sequence) + run.count);
  }
}

}  // namespace holdfast::model
