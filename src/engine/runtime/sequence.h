// Sequence: one request while it waits or runs, and how its outputs are made from rows of logits.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "draft_policy.h"
#include "holdfast/kvcache/prefix_cache.h"
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
  std::size_t pages_needed = 0;  // KV pages that it may need at most
  std::uint32_t tokens_max = 0;  // generated tokens allowed
  std::optional<kvcache::SequenceId> slot;
  std::size_t computed = 0;  // tokens of `request.tokens` whose keys and values are in the cache
  // Tokens that are a prompt to this run: those asked with and, after a restart, those answered
  // before it.
  std::size_t prefill_end = 0;
  std::size_t prompt_left = 0;  // that had to be computed when it was admitted
  bool cancelled = false;

  // Where it stands in the prefix cache. Of its pages the first `pages_indexed` are known there,
  // the last of them as `node`.
  std::string own_domain;        // of its tenant; no name that a caller can give is "shared"
  bool reuses = false;           // looks its prompt up
  bool keeps = false;            // and leaves its pages for others
  std::size_t shared_pages = 0;  // at its front: of a prompt that all may share
  std::size_t pages_indexed = 0;
  kvcache::PrefixCache::Node node = kvcache::PrefixCache::kRoot;
  bool index_full = false;        // a page found no room there; what follows it cannot either
  std::size_t cached_tokens = 0;  // of the prompt, when it was first read

  // Times of the monotonic clock, nanoseconds.
  std::uint64_t submitted_ns = 0;
  std::uint64_t admitted_ns = 0;
  std::uint64_t first_token_ns = 0;

  // Generation. `request.tokens` grows by each sampled token.
  std::size_t prompt_tokens = 0;
  std::uint32_t generated = 0;
  std::optional<sampler::Sampler> sampler;
  std::optional<Result<sampler::Sample>> drawn;  // the next token, ahead of its delivery
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
  bool reads_prompt() const { return computed < prefill_end; }
};

}  // namespace holdfast::runtime
