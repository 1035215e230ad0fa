#include "holdfast/runtime/engine.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "holdfast/model/importance.h"
#include "sequence.h"
#include "speculator.h"

namespace holdfast::runtime {

namespace {

std::uint64_t now_ns(const platform::Clock& clock) {
  return static_cast<std::uint64_t>(clock.monotonic_ns());
}

double log_normalizer(std::span<const float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  return static_cast<double>(largest) + std::log(sampler::total_weight(logits, largest, 1.0));
}

double log_probability(std::span<const float> logits, std::int32_t token) {
  return static_cast<double>(logits[static_cast<std::size_t>(token)]) - log_normalizer(logits);
}

Result<std::vector<std::pair<std::int32_t, double>>> top_log_probabilities(
    std::span<const float> logits, std::size_t count) {
  std::vector<std::pair<std::int32_t, double>> top;
  if (count == 0) return top;
  HF_TRY_ASSIGN(const std::vector<sampler::Candidate> best,
                sampler::best_candidates(logits, count));
  const double normalizer = log_normalizer(logits);
  for (const sampler::Candidate& c : best)
    top.emplace_back(c.token, static_cast<double>(c.logit) - normalizer);
  return top;
}

}  // namespace

bool Sequence::wants_row(std::size_t position) const {
  if (request.generate) {
    return position + 1 >= prompt_tokens || request.generate->want_prompt_logprobs;
  }
  const Evaluate& e = *request.evaluate;
  if (e.kind == Evaluate::Kind::kImportance) return false;
  if (e.kind == Evaluate::Kind::kScore)
    return position + 1 >= e.score_from && position + 1 < request.tokens.size();
  return next_position < e.positions.size() &&
         std::binary_search(e.positions.begin(), e.positions.end(),
                            static_cast<std::uint32_t>(position));
}

struct Engine::Impl {
  Impl(const EngineParts& p, const EngineOptions& o, OutputSink& s)
      : parts(p),
        options(o),
        sink(s),
        speculator(p, o.speculation, o.sequences_max, draft_room(p.model.options(), o)) {}

  // Guesses that a step has room for when it is full otherwise.
  static std::size_t draft_room(const model::LoadOptions& model, const EngineOptions& o) {
    const auto left = [](std::size_t has, std::size_t taken) { return has - std::min(has, taken); };
    return std::min({std::size_t{o.speculation.tokens_max},
                     left(model.logits_rows_max, o.sequences_max),
                     left(model.batch_tokens_max, o.sequences_max + o.prefill_chunk)});
  }

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

  void fail(RequestId id, Error error, FailureKind kind = FailureKind::kOther,
            std::uint64_t limit = 0, std::uint64_t actual = 0) {
    sink.on_failed(id, {std::move(error), kind, limit, actual});
  }
  bool check(const Request& request);
  bool check_evaluate(const Request& request);
  void admit();
  void start(Sequence& s);
  void drop_cancelled();
  void finish(Sequence& s, FinishReason reason, std::string stop_string = {});
  void release(Sequence& s);

  void guess_ahead();
  void add_answer(Batch& batch, Sequence& s);
  void add_part(Batch& batch, Sequence& s, std::size_t budget);
  Batch build();
  void fail_batch(const Batch& batch, const Error& error);
  void deliver(const Batch& batch, const model::Step& step);
  void deliver_scores(const Batch& batch, const model::Step& step);
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
  std::deque<std::unique_ptr<Sequence>> waiting;
  std::vector<std::unique_ptr<Sequence>> running;  // in order of arrival
  std::size_t pages_committed = 0;
  std::vector<double> row_scores;
  std::vector<float> sampler_scratch;
  EngineStats totals;
  Speculator speculator;
};

bool Engine::Impl::check_evaluate(const Request& request) {
  const Evaluate& e = *request.evaluate;
  if (e.kind == Evaluate::Kind::kScore) {
    if (e.score_from >= 1 && e.score_from < request.tokens.size()) return true;
    fail(request.id,
         invalid_argument("score_from must leave at least one token before and one to score"));
    return false;
  }
  if (e.kind == Evaluate::Kind::kImportance) {
    if (e.positions.empty()) return true;
    fail(request.id, invalid_argument("importance is of all tokens, not of positions"));
    return false;
  }
  const bool ascending = std::adjacent_find(e.positions.begin(), e.positions.end(),
                                            std::greater_equal<>()) == e.positions.end();
  if (e.positions.empty() || !ascending || e.positions.back() >= request.tokens.size()) {
    fail(request.id, invalid_argument("positions must be ascending and lie inside the tokens"));
    return false;
  }
  if (e.kind == Evaluate::Kind::kHidden && parts.model.options().hidden_rows_max == 0) {
    fail(request.id, unsupported("the model was loaded without hidden states"));
    return false;
  }
  return true;
}

// Everything that can be refused before work starts.
bool Engine::Impl::check(const Request& request) {
  HF_CHECK(request.generate.has_value() != request.evaluate.has_value());
  if (request.tokens.empty()) {
    fail(request.id, invalid_argument("the prompt has no tokens"));
    return false;
  }
  for (const std::int32_t token : request.tokens) {
    if (token < 0 || static_cast<std::size_t>(token) >= vocab()) {
      fail(request.id,
           invalid_argument("token id " + std::to_string(token) + " is outside the vocabulary"),
           FailureKind::kUnknownToken);
      return false;
    }
  }
  const std::size_t needed = request.tokens.size() + (request.generate ? 1 : 0);
  if (needed > context()) {
    fail(request.id,
         invalid_argument("This model's maximum context length is " + std::to_string(context()) +
                          " tokens. However, your messages resulted in " +
                          std::to_string(request.tokens.size()) + " tokens."),
         FailureKind::kContextLength, context(), request.tokens.size());
    return false;
  }
  if (request.generate) {
    for (const auto& [token, bias] : request.generate->sampling.logit_bias) {
      if (token >= 0 && static_cast<std::size_t>(token) < vocab()) continue;
      fail(request.id,
           invalid_argument("logit_bias names the unknown token " + std::to_string(token)),
           FailureKind::kUnknownToken);
      return false;
    }
  }
  return request.generate || check_evaluate(request);
}

void Engine::submit(Request request) {
  Impl& e = *impl_;
  if (!e.check(request)) return;
  if (e.waiting.size() >= e.options.queue_max) {
    e.fail(request.id, unavailable("the queue of this model is full"), FailureKind::kQueueFull,
           e.options.queue_max, e.waiting.size());
    return;
  }
  auto s = std::make_unique<Sequence>(std::move(request));
  s->prompt_tokens = s->request.tokens.size();
  s->submitted_ns = now_ns(e.parts.clock);
  std::size_t most = s->prompt_tokens;
  if (s->request.generate) {
    const auto left = static_cast<std::uint32_t>(e.context() - s->prompt_tokens);
    const std::uint32_t asked = s->request.generate->max_tokens;
    s->tokens_max = asked == 0 ? left : std::min(asked, left);
    most += s->tokens_max;
  }
  if (s->request.generate) {
    auto sampler = sampler::Sampler::create(std::move(s->request.generate->sampling), e.vocab());
    if (!sampler.ok()) return e.fail(s->request.id, sampler.error());
    s->sampler.emplace(std::move(sampler).value());
  }
  s->pages_committed = kvcache::PagedKvCache::pages_for(most);
  if (s->pages_committed > e.parts.cache.pages_total()) {
    e.fail(s->request.id, exhausted("the request needs more KV memory than the model was given"));
    return;
  }
  e.waiting.push_back(std::move(s));
}

void Engine::cancel(RequestId id) {
  const auto matches = [id](const std::unique_ptr<Sequence>& s) { return s->request.id == id; };
  for (auto& s : impl_->running) s->cancelled = s->cancelled || matches(s);
  const auto it = std::find_if(impl_->waiting.begin(), impl_->waiting.end(), matches);
  if (it != impl_->waiting.end()) {
    impl_->finish(**it, FinishReason::kCancelled);
    impl_->waiting.erase(it);
  }
}

void Engine::Impl::drop_cancelled() {
  for (auto& s : running) {
    if (!s->cancelled) continue;
    finish(*s, FinishReason::kCancelled);
    s.reset();
  }
  std::erase(running, nullptr);
}

void Engine::Impl::admit() {
  while (!waiting.empty() && running.size() < options.sequences_max) {
    Sequence& s = *waiting.front();
    if (pages_committed + s.pages_committed > parts.cache.pages_total()) return;
    auto slot = parts.cache.open();
    if (!slot.ok()) return;
    s.slot = *slot;
    s.admitted_ns = now_ns(parts.clock);
    pages_committed += s.pages_committed;
    start(s);
    running.push_back(std::move(waiting.front()));
    waiting.pop_front();
  }
}

void Engine::Impl::start(Sequence& s) {
  if (!s.request.generate) return;
  Generate& g = *s.request.generate;
  for (const std::int32_t token : s.request.tokens) s.sampler->accept(token);
  s.decoder = std::make_unique<tokenizer::StreamDecoder>(
      parts.tokenizer,
      tokenizer::StreamDecoder::Options{.unparse_special = false, .at_text_start = g.text_start});
  s.stops.emplace(std::move(g.stops));
}

void Engine::Impl::release(Sequence& s) {
  if (!s.slot) return;
  speculator.forget(s);
  parts.cache.close(*s.slot);
  pages_committed -= s.pages_committed;
  s.slot.reset();
}

void Engine::Impl::finish(Sequence& s, FinishReason reason, std::string stop_string) {
  release(s);
  const std::uint64_t now = now_ns(parts.clock);
  const std::uint64_t admitted = s.admitted_ns == 0 ? now : s.admitted_ns;
  const std::uint64_t first = s.first_token_ns == 0 ? now : s.first_token_ns;
  sink.on_finished(s.request.id, {.reason = reason,
                                  .stop_string = std::move(stop_string),
                                  .prompt_tokens = static_cast<std::uint32_t>(s.prompt_tokens),
                                  .completion_tokens = s.generated,
                                  .queue_ns = admitted - s.submitted_ns,
                                  .prefill_ns = first - admitted,
                                  .decode_ns = now - first});
}

// Adds up to `budget` tokens of a sequence, fewer where the step's rows are used up.
void Engine::Impl::add_part(Batch& batch, Sequence& s, std::size_t budget) {
  const bool importance =
      s.request.evaluate && s.request.evaluate->kind == Evaluate::Kind::kImportance;
  // The sums of a step are those of one sequence; another one waits for the next.
  if (importance && !batch.squares.sums.empty()) return;
  const bool hidden = s.request.evaluate && s.request.evaluate->kind == Evaluate::Kind::kHidden;
  std::size_t& rows = hidden ? batch.hidden_rows : batch.logits_rows;
  const std::size_t rows_max =
      hidden ? parts.model.options().hidden_rows_max : parts.model.options().logits_rows_max;
  const std::size_t end = std::min(s.request.tokens.size(), s.computed + budget);
  std::size_t position = s.computed;
  for (; position < end; ++position) {
    const bool wants = s.wants_row(position);
    if (wants && rows == rows_max) break;
    rows += wants ? 1 : 0;
    batch.tokens.push_back({.sequence = *s.slot,
                            .position = static_cast<std::uint32_t>(position),
                            .token = s.request.tokens[position],
                            .wants_logits = wants && !hidden,
                            .wants_hidden = wants && hidden});
  }
  if (position == s.computed) return;
  if (importance) {
    s.squares.resize(model::activation_columns(parts.model.hyperparameters()));
    const std::size_t count = position - s.computed;
    batch.squares = {s.squares, batch.tokens.size() - count, count};
  }
  batch.parts.push_back({&s, s.computed, position});
}

void Engine::Impl::guess_ahead() {
  if (!speculator.enabled()) return;
  std::vector<Sequence*> decoding;
  for (auto& s : running) {
    if (s->computed >= s->prompt_tokens) decoding.push_back(s.get());
  }
  speculator.guess(decoding);
}

// The token sampled last, and behind it those that are guessed to follow.
void Engine::Impl::add_answer(Batch& batch, Sequence& s) {
  if (batch.logits_rows == parts.model.options().logits_rows_max) return;
  const std::vector<std::int32_t>& guesses = s.drafting.guesses;
  const std::size_t end = s.request.tokens.size() + guesses.size();
  for (std::size_t p = s.computed; p < end; ++p) {
    const std::size_t known = s.request.tokens.size();
    batch.tokens.push_back({.sequence = *s.slot,
                            .position = static_cast<std::uint32_t>(p),
                            .token = p < known ? s.request.tokens[p] : guesses[p - known],
                            .wants_logits = true,
                            .wants_hidden = false});
  }
  batch.logits_rows += end - s.computed;
  batch.parts.push_back({&s, s.computed, end});
}

Engine::Impl::Batch Engine::Impl::build() {
  Batch batch;
  guess_ahead();
  for (auto& s : running) {
    if (s->computed >= s->prompt_tokens) add_answer(batch, *s);
  }
  batch.answers_tokens = batch.tokens.size();
  for (auto& s : running) {
    const std::size_t used = batch.tokens.size() - batch.answers_tokens;
    if (used >= options.prefill_chunk) break;
    if (s->computed < s->prompt_tokens) add_part(batch, *s, options.prefill_chunk - used);
  }
  return batch;
}

void Engine::Impl::fail_batch(const Batch& batch, const Error& error) {
  for (const Batch::Part& part : batch.parts) {
    release(*part.sequence);
    fail(part.sequence->request.id, error);
    std::erase_if(running, [&](const auto& s) { return s.get() == part.sequence; });
  }
}

void Engine::step() {
  Impl& e = *impl_;
  e.drop_cancelled();
  e.admit();
  Impl::Batch batch = e.build();
  if (batch.tokens.empty()) return;
  model::Step step;
  step.tokens = batch.tokens;
  step.squares = batch.squares;
  const std::uint64_t begin = now_ns(e.parts.clock);
  const Status status = e.parts.model.forward(e.parts.team, e.parts.kernels, e.parts.cache, step);
  ++e.totals.steps;
  if (!status.ok()) {
    e.fail_batch(batch, status.error());
    return;
  }
  e.deliver(batch, step);
  if (batch.answers_tokens == batch.tokens.size()) {
    e.speculator.observe_step(batch.tokens.size(),
                              static_cast<double>(now_ns(e.parts.clock) - begin) * 1e-9);
  }
}

// Scores are computed by the whole team: an exponential per vocabulary entry and row is real work.
void Engine::Impl::deliver_scores(const Batch& batch, const model::Step& step) {
  row_scores.assign(batch.logits_rows, 0);
  struct Wanted {
    std::size_t row;
    std::int32_t token;
  };
  std::vector<Wanted> wanted;
  std::size_t row = 0;
  for (const Batch::Part& part : batch.parts) {
    const bool scores = part.sequence->request.evaluate &&
                        part.sequence->request.evaluate->kind == Evaluate::Kind::kScore;
    for (std::size_t p = part.begin; p < part.end; ++p) {
      if (!part.sequence->wants_row(p)) continue;
      if (part.sequence->request.evaluate &&
          part.sequence->request.evaluate->kind == Evaluate::Kind::kHidden)
        continue;
      if (scores) wanted.push_back({row, part.sequence->request.tokens[p + 1]});
      ++row;
    }
  }
  if (wanted.empty()) return;
  parts.team.run([&](tensor::Worker& worker) {
    const tensor::Range mine = worker.share(wanted.size());
    for (std::size_t i = mine.begin; i < mine.end; ++i) {
      row_scores[wanted[i].row] =
          -log_probability(step.logits.subspan(wanted[i].row * vocab(), vocab()), wanted[i].token);
    }
  });
}

void Engine::Impl::deliver(const Batch& batch, const model::Step& step) {
  deliver_scores(batch, step);
  const std::size_t n_embd = parts.model.hyperparameters().n_embd;
  std::size_t logits_row = 0;
  std::size_t hidden_row = 0;
  for (const Batch::Part& part : batch.parts) {
    Sequence& s = *part.sequence;
    std::size_t rows = 0;
    for (std::size_t p = part.begin; p < part.end; ++p) rows += s.wants_row(p) ? 1 : 0;
    s.computed = part.end;
    totals.prompt_tokens +=
        std::min(part.end, s.prompt_tokens) - std::min(part.begin, s.prompt_tokens);
    if (s.request.generate) {
      if (rows > 0) {
        deliver_generated(s, part, step.logits.subspan(logits_row * vocab(), rows * vocab()));
      }
      logits_row += rows;
    } else if (s.request.evaluate->kind == Evaluate::Kind::kHidden) {
      deliver_evaluated(s, step.hidden.subspan(hidden_row * n_embd, rows * n_embd), n_embd);
      hidden_row += rows;
    } else if (s.request.evaluate->kind == Evaluate::Kind::kLogits) {
      deliver_evaluated(s, step.logits.subspan(logits_row * vocab(), rows * vocab()), vocab());
      logits_row += rows;
    } else if (s.request.evaluate->kind == Evaluate::Kind::kImportance) {
      if (s.computed == s.request.tokens.size()) deliver_importance(s);
    } else {
      for (std::size_t r = 0; r < rows; ++r) s.nll += row_scores[logits_row + r];
      s.scored += static_cast<std::uint32_t>(rows);
      logits_row += rows;
      if (s.computed == s.request.tokens.size()) {
        sink.on_score(s.request.id, s.nll, s.scored);
        release(s);
      }
    }
  }
  // Those that ended gave their slot back.
  std::erase_if(running, [](const auto& s) { return !s->slot.has_value(); });
}

void Engine::Impl::deliver_evaluated(Sequence& s, std::span<const float> rows, std::size_t width) {
  if (!rows.empty()) {
    sink.on_rows(s.request.id, static_cast<std::uint32_t>(s.next_position),
                 static_cast<std::uint32_t>(width), rows);
    s.next_position += rows.size() / width;
  }
  // Tokens after the last wanted position need not be computed.
  if (s.next_position == s.request.evaluate->positions.size()) finish(s, FinishReason::kStop);
}

void Engine::Impl::deliver_importance(Sequence& s) {
  std::uint32_t row = 0;
  auto at = s.squares.begin();
  for (const model::ActivationSlot& slot : model::activation_slots(parts.model.hyperparameters())) {
    const std::vector<float> values(at, at + slot.columns);
    sink.on_rows(s.request.id, row++, slot.columns, values);
    at += slot.columns;
  }
  finish(s, FinishReason::kStop);
}

TokenOutput Engine::Impl::describe(const Sequence& s, const sampler::Sample& sample) const {
  const Generate& g = *s.request.generate;
  TokenOutput out;
  out.id = sample.token;
  out.bytes = std::string(parts.tokenizer.token_bytes(sample.token));
  out.margin = sample.margin;
  if (!g.want_logprobs) return out;
  out.logprob = static_cast<float>(sample.logprob);
  for (const auto& [id, logprob] : sample.top) {
    out.top.push_back(
        {id, std::string(parts.tokenizer.token_bytes(id)), static_cast<float>(logprob)});
  }
  return out;
}

void Engine::Impl::begin_answer(Sequence& s, std::uint64_t time_ns) {
  s.started = true;
  s.first_token_ns = time_ns;
  sink.on_started(s.request.id,
                  {static_cast<std::uint32_t>(s.prompt_tokens), std::move(s.prompt_outputs)});
}

// Samples an answer's tokens for as long as the rows are those of the tokens sampled.
void Engine::Impl::deliver_answer(Sequence& s, std::span<const float> rows) {
  std::vector<std::int32_t>& guesses = s.drafting.guesses;
  for (std::size_t i = 0;; ++i) {
    const std::size_t known = s.request.tokens.size();
    sample_next(s, rows.subspan(i * vocab(), vocab()));
    if (s.request.tokens.size() > known) speculator.sampled(s, i, s.request.tokens.back());
    if (!s.slot) return;  // that was its last
    if (i == guesses.size() || guesses[i] != s.request.tokens.back()) break;
  }
  guesses.clear();
  // What was computed for guesses that were wrong.
  s.computed = s.request.tokens.size() - 1;
  parts.cache.truncate(*s.slot, s.computed);
}

// `rows` are the logits of the part's wanted positions, in order.
void Engine::Impl::deliver_generated(Sequence& s, const Batch::Part& part,
                                     std::span<const float> rows) {
  const Generate& g = *s.request.generate;
  std::size_t at = 0;
  for (std::size_t p = part.begin; p < part.end; ++p) {
    if (!s.wants_row(p)) continue;
    if (p + 1 >= s.prompt_tokens) return deliver_answer(s, rows.subspan(at));
    const std::span<const float> logits = rows.subspan(at, vocab());
    at += vocab();
    const std::int32_t next = s.request.tokens[p + 1];
    sampler::Sample known;
    known.token = next;
    known.logprob = log_probability(logits, next);
    auto top = top_log_probabilities(logits, g.top_logprobs);
    if (!top.ok()) {
      release(s);
      return fail(s.request.id, top.error());
    }
    known.top = std::move(top).value();
    s.prompt_outputs.push_back(describe(s, known));
  }
}

void Engine::Impl::sample_next(Sequence& s, std::span<const float> logits) {
  const Generate& g = *s.request.generate;
  if (!s.started) begin_answer(s, now_ns(parts.clock));
  const auto sample = s.sampler->sample(
      logits, s.request.tokens.size(),
      {.logprobs = g.want_logprobs, .top_logprobs = g.top_logprobs, .allowed = {}},
      sampler_scratch);
  if (!sample.ok()) {
    release(s);
    return fail(s.request.id, sample.error());
  }
  ++s.generated;
  ++totals.generated_tokens;
  TokenOutput token = describe(s, *sample);
  const std::int32_t id = token.id;
  if (!g.ignore_eos && parts.tokenizer.is_end_of_generation(id)) {
    token.end = true;
    sink.on_token(s.request.id, std::move(token),
                  s.stops->push(s.decoder->finish()).text + s.stops->finish());
    return finish(s, FinishReason::kStop);
  }
  s.sampler->accept(id);
  s.request.tokens.push_back(id);
  StopMatcher::Output out = s.stops->push(s.decoder->push(id));
  const bool last = s.generated == s.tokens_max;
  if (last && !out.matched) {
    StopMatcher::Output rest = s.stops->push(s.decoder->finish());
    out.text += rest.text;
    out.matched = std::move(rest.matched);
    if (!out.matched) out.text += s.stops->finish();
  }
  sink.on_token(s.request.id, std::move(token), std::move(out.text));
  if (out.matched) return finish(s, FinishReason::kStop, std::move(*out.matched));
  if (last) finish(s, FinishReason::kLength);
}

Engine::Engine(const EngineParts& parts, const EngineOptions& options, OutputSink& sink)
    : impl_(std::make_unique<Impl>(parts, options, sink)) {}
Engine::~Engine() = default;

bool Engine::idle() const { return impl_->running.empty() && impl_->waiting.empty(); }

EngineStats Engine::stats() const {
  EngineStats s = impl_->totals;
  s.running = static_cast<std::uint32_t>(impl_->running.size());
  s.waiting = static_cast<std::uint32_t>(impl_->waiting.size());
  s.pages_total = impl_->parts.cache.pages_total();
  s.pages_used = s.pages_total - impl_->parts.cache.pages_free();
  s.draft_tokens = impl_->speculator.drafted();
  s.draft_accepted = impl_->speculator.accepted();
  return s;
}

}  // namespace holdfast::runtime
