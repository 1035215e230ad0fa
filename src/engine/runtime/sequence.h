// Sequence: one request while it waits or runs, and how its outputs are made from rows of logits.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "draft_policy.h"
#include "holdfast/kvcache/paged_kv_cache.h"
#include "holdfast/runtime/request.h"
#include "holdfast/runtime/stop_matcher.h"
#include "holdfast/sampler/sampler.h"
#include "holdfast/tokenizer/tokenizer.h"
#include "ngram_index.h"

namespace holdfast::runtime {

// What the Speculator keeps of a sequence.
struct Drafting {
  NgramIndex index;
  Acceptance acceptance;
  std::optional<NgramIndex::Match> match;   // at the last token
  std::size_t match_length = 0;             // that the first guess continues
  std::vector<std::int32_t> guesses;        // tokens that may follow request.tokens; unchecked
  std::optional<kvcache::SequenceId> slot;  // in the draft model's cache
};

// Owned by the engine's loop.
struct Sequence {
  explicit Sequence(Request r) : request(std::move(r)) {}

  Request request;
  std::size_t pages_committed = 0;  // KV pages that it may need at most
  std::uint32_t tokens_max = 0;     // generated tokens allowed
  std::optional<kvcache::SequenceId> slot;
  std::size_t computed = 0;  // tokens of `request.tokens` whose keys and values are in the cache
  bool cancelled = false;

  // Times of the monotonic clock, nanoseconds.
  std::uint64_t submitted_ns = 0;
  std::uint64_t admitted_ns = 0;
  std::uint64_t first_token_ns = 0;

  // Generation. `request.tokens` grows by each sampled token.
  std::size_t prompt_tokens = 0;
  std::uint32_t generated = 0;
  std::optional<sampler::Sampler> sampler;
  std::unique_ptr<tokenizer::StreamDecoder> decoder;
  std::optional<StopMatcher> stops;
  std::vector<TokenOutput> prompt_outputs;
  bool started = false;
  Drafting drafting;

  // Evaluation.
  std::size_t next_position = 0;  // index into evaluate->positions
  std::vector<double> squares;    // kImportance: model::SquareSums::sums
  double nll = 0;
  std::uint32_t scored = 0;

  bool wants_row(std::size_t position) const;
};

}  // namespace holdfast::runtime
