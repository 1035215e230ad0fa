// What the engine is made of. engine.cc: requests in, steps; admission.cc: who runs, and on which
// pages; delivery.cc: answers out.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "holdfast/runtime/engine.h"
#include "page_grants.h"
#include "scheduler.h"
#include "sequence.h"
#include "speculator.h"
#include "step_pacer.h"

namespace holdfast::runtime {

struct Engine::Impl {
  Impl(const EngineParts& p, const EngineOptions& o, OutputSink& s);

  // A step's tokens and, for each that wants a result, whose it is.
  struct Batch {
    std::vector<model::StepToken> tokens;
    struct Part {
      Sequence* sequence;
      std::size_t begin;  // positions [begin, end) of the sequence
      std::size_t end;
    };
    std::vector<Part> parts;
    model::SquareSums squares;
    std::size_t logits_rows = 0;
    std::size_t hidden_rows = 0;
    std::size_t answers_tokens = 0;  // at the front: those of answers, guesses included
  };

  std::size_t vocab() const {
    return static_cast<std::size_t>(parts.model.hyperparameters().n_vocab);
  }
  std::size_t context() const { return parts.model.options().context_length; }
  std::uint64_t now_ns() const { return static_cast<std::uint64_t>(parts.clock.monotonic_ns()); }
  void fail(RequestId id, Error error, FailureKind kind = FailureKind::kOther,
            std::uint64_t limit = 0, std::uint64_t actual = 0) {
    sink.on_failed(id, {std::move(error), kind, limit, actual});
  }

  // Requests.
  bool check(const Request& request);
  bool check_evaluate(const Request& request);
  void drop_cancelled();
  void drop_expired();
  void finish(Sequence& s, FinishReason reason, std::string stop_string = {});
  // Gives back what it holds; it stays in `sequences` until forget_ended().
  void release(Sequence& s);
  void end(Sequence& s);
  void forget_ended();

  // Admission.
  void admit();
  bool fits(const Sequence& s, bool beside_own) const;
  // More pages that a running sequence may take before it ends.
  std::size_t pages_lacking(const Sequence& s) const;
  PageClaim claim_of(const Sequence& s) const;
  std::vector<PageClaim> claims() const;  // of what runs, in that order
  std::size_t pages_expected(const Sequence& s) const;
  void start(Sequence& s);
  void preempt(Sequence& s);
  static std::string_view domain_of(const Sequence& s, std::size_t page);
  kvcache::PrefixCache::PageTokens page_tokens(const Sequence& s, std::size_t page) const;
  std::size_t reusable_pages(const Sequence& s) const;
  std::vector<kvcache::PrefixCache::Node> known_pages(const Sequence& s) const;
  void catch_up(Sequence& s);
  void index_pages(Sequence& s);

  // Steps.
  std::vector<Sequence*> decoding() const;
  void guess_ahead();
  void add_answers(Batch& batch, PageGrants& grants);
  void add_answer(Batch& batch, Sequence& s);
  void add_part(Batch& batch, Sequence& s, std::size_t budget);
  PageGrants grants_of_step() const;
  std::size_t claim_number(const Sequence& s) const;
  // Positions up to `end` are wanted. Returns the end up to which there are pages.
  std::size_t grant(PageGrants& grants, const Sequence& s, std::size_t end);
  std::vector<Sequence*> prompts_of_step();
  void add_prompts(Batch& batch, PageGrants& grants, std::span<Sequence* const> prompts);
  StepPacer::Room prompt_room(const Batch& batch, std::size_t prompts);
  Batch build();
  bool make_room(const Batch& batch);
  void fail_batch(const Batch& batch, const Error& error);

  // Answers.
  void deliver(const Batch& batch, const model::Step& step);
  void deliver_scores(const Batch& batch, const model::Step& step);
  void draw_samples(const Batch& batch, const model::Step& step);
  Result<sampler::Sample> draw(Sequence& s, std::span<const float> logits,
                               std::vector<float>& scratch) const;
  void deliver_generated(Sequence& s, const Batch::Part& part, std::span<const float> rows);
  void deliver_answer(Sequence& s, std::span<const float> rows);
  void deliver_evaluated(Sequence& s, std::span<const float> rows, std::size_t width);
  void deliver_importance(Sequence& s);
  void begin_answer(Sequence& s, std::uint64_t time_ns);
  TokenOutput describe(const Sequence& s, const sampler::Sample& sample) const;
  void sample_next(Sequence& s, std::span<const float> logits);

  EngineParts parts;
  EngineOptions options;
  OutputSink& sink;
  Scheduler scheduler;
  kvcache::PrefixCache prefixes;
  std::unordered_map<RequestId, std::unique_ptr<Sequence>> sequences;  // waiting and running
  std::vector<Sequence*> running;                                      // in order of admission
  std::vector<RequestId> ended;
  StepPacer pacer;
  double answer_tokens_mean = 128;  // of late; a guess before the first has ended
  std::vector<double> row_scores;
  std::vector<std::vector<float>> sampler_scratches{1};  // one a thread of the team
  EngineStats totals;
  Speculator speculator;
};

}  // namespace holdfast::runtime
