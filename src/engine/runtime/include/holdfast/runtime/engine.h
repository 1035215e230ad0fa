// Engine: runs requests on one model. Each step computes one batch of tokens of several sequences.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/kernels/kernel_table.h"
#include "holdfast/kvcache/paged_kv_cache.h"
#include "holdfast/model/model.h"
#include "holdfast/platform/clock.h"
#include "holdfast/runtime/request.h"
#include "holdfast/runtime/speculation.h"
#include "holdfast/tensor/thread_team.h"
#include "holdfast/tokenizer/tokenizer.h"

namespace holdfast::runtime {

struct EngineOptions {
  // Running together, and more of them for tenants of which nothing runs; the sum is at most the
  // model's sequences_max.
  std::uint32_t sequences_max = 8;
  std::uint32_t guests_max = 0;
  std::uint32_t prefill_chunk = 192;  // prompt tokens in one step; whole tiles of 16, 12 and 8
  std::uint32_t queue_max = 256;      // requests waiting in one class; more are refused
  // Pages of prompts and answers that are kept for others of the same cache domain; 0: none.
  std::size_t prefix_pages_max = 0;
  std::uint64_t prefix_seed = 0;  // see PrefixCacheOptions
  // Beginnings of prompts that may be reused in every domain.
  std::vector<std::vector<std::int32_t>> shared_prefixes;
  // Guesses need room beside sequences_max tokens and rows, and prefill_chunk tokens, of the
  // model's batch_tokens_max and logits_rows_max; where that is less than speculation.tokens_max,
  // fewer are made.
  SpeculationOptions speculation;
  // For builds with test hooks: takes part in every step that computes answers, as if it were
  // computing. Returns the seconds that it took beyond what it is to count for.
  std::function<double()> beside_answers = {};
};

struct EngineStats {
  std::uint32_t running = 0;
  std::uint32_t waiting = 0;
  std::uint64_t pages_total = 0;
  std::uint64_t pages_used = 0;  // by running sequences
  std::uint64_t pages_kept = 0;  // in the prefix cache; some are also used
  std::uint64_t steps = 0;
  std::uint64_t prompt_tokens = 0;     // computed since the start
  std::uint64_t generated_tokens = 0;  // sampled since the start
  std::uint64_t prefix_queries = 0;    // prompt tokens looked up since the start
  std::uint64_t prefix_hits = 0;       // of these, not computed again
  std::uint64_t prefix_evictions = 0;  // pages
  std::uint64_t preemptions = 0;
  std::uint64_t pauses = 0;          // steps without a sequence, for want of pages
  std::uint64_t draft_tokens = 0;    // guessed ahead and computed since the start
  std::uint64_t draft_accepted = 0;  // of these, those that were what the model then chose
};

// What an engine runs on. Everything outlives the engine.
struct EngineParts {
  model::Model& model;
  tensor::ThreadTeam& team;
  const kernels::KernelTable& kernels;
  kvcache::PagedKvCache& cache;
  const tokenizer::Tokenizer& tokenizer;
  const platform::Clock& clock;
  // With SpeculationOptions::Source::kModel: a model of the same vocabulary, loaded for the same
  // team and as many sequences, and a cache of as many pages.
  model::Model* draft_model = nullptr;
  kvcache::PagedKvCache* draft_cache = nullptr;
};

// Scheduling: by class, and by shares of tenants in a class (scheduler.h). A request is admitted
// when a sequence slot is free, the KV pages that all will probably need are free or only kept, and
// all can end in any case (page_grants.h). Where answers get much longer than those before, some
// pause until others have ended; none is lost. Running answers advance by one token each step, and
// by those that were guessed ahead of it and turned out right; prompts get so much of a step as
// does not disturb them (step_pacer.h). Prompts that begin like an earlier one of the same cache
// domain cost only what differs.
//
// Owned by the thread that calls step(); only that thread may call anything.
class Engine {
 public:
  Engine(const EngineParts& parts, const EngineOptions& options, OutputSink& sink);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Its id must not be that of a request under way (HF_CHECK). Refusals (unknown token, prompt over
  // the context, queue full) go to the sink before it returns.
  void submit(Request request);
  // Ends a request with kCancelled before the next step; unknown ids are ignored.
  void cancel(RequestId id);
  // Nothing is running or waiting.
  bool idle() const;
  // Computes one batch. Without work it does nothing.
  void step();
  EngineStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::runtime
