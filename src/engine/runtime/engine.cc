#include "holdfast/runtime/engine.h"

#include <algorithm>

#include "engine_impl.h"
#include "holdfast/model/importance.h"

namespace holdfast::runtime {

namespace {

// That the mean length remembers.
constexpr double kAnswersRemembered = 16;

// Guesses that a step has room for when it is full otherwise.
std::size_t draft_room(const model::LoadOptions& model, const EngineOptions& o) {
  const auto left = [](std::size_t has, std::size_t taken) { return has - std::min(has, taken); };
  const std::size_t sequences = std::size_t{o.sequences_max} + o.guests_max;
  return std::min({std::size_t{o.speculation.tokens_max}, left(model.logits_rows_max, sequences),
                   left(model.batch_tokens_max, sequences + o.prefill_chunk)});
}

}  // namespace

bool Sequence::wants_row(std::size_t position) const {
  if (request.generate) {
    return position + 1 >= prefill_end || (request.generate->want_prompt_logprobs && !started);
  }
  const Evaluate& e = *request.evaluate;
  if (e.kind == Evaluate::Kind::kImportance) return false;
  if (e.kind == Evaluate::Kind::kScore)
    return position + 1 >= e.score_from && position + 1 < request.tokens.size();
  return next_position < e.positions.size() &&
         std::binary_search(e.positions.begin(), e.positions.end(),
                            static_cast<std::uint32_t>(position));
}

Engine::Impl::Impl(const EngineParts& p, const EngineOptions& o, OutputSink& s)
    : parts(p),
      options(o),
      sink(s),
      scheduler({o.sequences_max, o.guests_max, o.queue_max}),
      prefixes(p.cache, {o.prefix_pages_max, o.prefix_seed}),
      pacer(std::size_t{o.sequences_max} + o.guests_max + o.speculation.tokens_max),
      speculator(p, o.speculation, std::size_t{o.sequences_max} + o.guests_max,
                 draft_room(p.model.options(), o)) {}

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
  auto s = std::make_unique<Sequence>(std::move(request));
  s->prompt_tokens = s->prefill_end = s->request.tokens.size();
  s->submitted_ns = e.now_ns();
  std::size_t most = s->prompt_tokens;
  if (s->request.generate) {
    Generate& g = *s->request.generate;
    const auto left = static_cast<std::uint32_t>(e.context() - s->prompt_tokens);
    s->tokens_max = g.max_tokens == 0 ? left : std::min(g.max_tokens, left);
    most += s->tokens_max;
    auto sampler = sampler::Sampler::create(std::move(g.sampling), e.vocab());
    if (!sampler.ok()) return e.fail(s->request.id, sampler.error());
    s->sampler.emplace(std::move(sampler).value());
    s->own_domain = "own " + s->request.scheduling.cache_domain;
    s->reuses = e.options.prefix_pages_max > 0 && !s->request.scheduling.cache_domain.empty();
    s->keeps = s->reuses && s->request.scheduling.keep_prompt;
    for (const std::vector<std::int32_t>& shared : e.options.shared_prefixes) {
      const auto differ = std::ranges::mismatch(shared, s->request.tokens).in1 - shared.begin();
      s->shared_pages = std::max(
          s->shared_pages, static_cast<std::size_t>(differ) / kvcache::PagedKvCache::kPageTokens);
    }
  }
  s->pages_needed = kvcache::PagedKvCache::pages_for(most);
  const RequestId id = s->request.id;
  if (s->pages_needed > e.parts.cache.pages_total())
    return e.fail(id, exhausted("the request needs more KV memory than the model was given"));
  const bool restartable = s->request.generate.has_value();
  if (!e.scheduler.add({id, s->request.scheduling, restartable})) {
    return e.fail(id, unavailable("the queue of this model is full"), FailureKind::kQueueFull,
                  e.options.queue_max, e.options.queue_max);
  }
  e.sequences.emplace(id, std::move(s));
}

void Engine::cancel(RequestId id) {
  const auto it = impl_->sequences.find(id);
  if (it == impl_->sequences.end()) return;
  it->second->cancelled = true;
  // One that waits ends at once, for nothing of it is being computed.
  if (!it->second->slot) {
    impl_->finish(*it->second, FinishReason::kCancelled);
    impl_->forget_ended();
  }
}

void Engine::Impl::drop_cancelled() {
  for (Sequence* s : running) {
    if (s->cancelled) finish(*s, FinishReason::kCancelled);
  }
  forget_ended();
}

void Engine::Impl::drop_expired() {
  for (const RequestId id : scheduler.expired(now_ns())) {
    end(*sequences.at(id));
    fail(id, Error(ErrorCode::kDeadline, "the request took longer than the time allowed"),
         FailureKind::kDeadline);
  }
  forget_ended();
}

void Engine::Impl::release(Sequence& s) {
  if (!s.slot) return;
  // Behind the token sampled last there is at most what guesses left.
  s.computed = std::min(s.computed, s.request.tokens.size() - 1);
  index_pages(s);
  speculator.forget(s);
  s.drafting.guesses.clear();
  parts.cache.close(*s.slot);
  s.slot.reset();
}

void Engine::Impl::end(Sequence& s) {
  release(s);
  ended.push_back(s.request.id);
}

void Engine::Impl::forget_ended() {
  if (ended.empty()) return;
  std::erase_if(running, [](const Sequence* s) { return !s->slot.has_value(); });
  for (const RequestId id : ended) {
    scheduler.remove(id);
    sequences.erase(id);
  }
  ended.clear();
}

void Engine::Impl::finish(Sequence& s, FinishReason reason, std::string stop_string) {
  const std::uint64_t now = now_ns();
  const std::uint64_t admitted = s.admitted_ns == 0 ? now : s.admitted_ns;
  const std::uint64_t first = s.first_token_ns == 0 ? now : s.first_token_ns;
  sink.on_finished(s.request.id, {.reason = reason,
                                  .stop_string = std::move(stop_string),
                                  .prompt_tokens = static_cast<std::uint32_t>(s.prompt_tokens),
                                  .completion_tokens = s.generated,
                                  .cached_tokens = static_cast<std::uint32_t>(s.cached_tokens),
                                  .queue_ns = admitted - s.submitted_ns,
                                  .prefill_ns = first - admitted,
                                  .decode_ns = now - first});
  if (reason != FinishReason::kCancelled && s.request.generate)
    answer_tokens_mean += (s.generated - answer_tokens_mean) / kAnswersRemembered;
  end(s);
}

PageGrants Engine::Impl::grants_of_step() const {
  const kvcache::PagedKvCache& cache = parts.cache;
  std::size_t needed = 0;
  for (const Sequence* s : running) needed += pages_lacking(*s);
  PageGrants grants(cache.pages_total() - cache.pages_in_use(), cache.pages_total(), needed);
  if (!grants.plenty()) grants.set_claims(claims());
  return grants;
}

std::size_t Engine::Impl::claim_number(const Sequence& s) const {
  return static_cast<std::size_t>(std::ranges::find(running, &s) - running.begin());
}

std::size_t Engine::Impl::grant(PageGrants& grants, const Sequence& s, std::size_t end) {
  using kvcache::PagedKvCache;
  std::size_t have = parts.cache.pages(*s.slot).size();
  const std::size_t want = PagedKvCache::pages_for(end);
  if (want <= have || grants.plenty()) return end;
  while (have < want && grants.take(claim_number(s), 1)) ++have;
  totals.pauses += have < want ? 1 : 0;
  return std::min(end, have * PagedKvCache::kPageTokens);
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

std::vector<Sequence*> Engine::Impl::decoding() const {
  std::vector<Sequence*> out;
  std::ranges::copy_if(running, std::back_inserter(out),
                       [](const Sequence* s) { return !s->reads_prompt(); });
  return out;
}

void Engine::Impl::guess_ahead() {
  if (speculator.enabled()) speculator.guess(decoding());
}

// Where pages are short, higher classes come first, and who came first among equals; the others
// pause.
void Engine::Impl::add_answers(Batch& batch, PageGrants& grants) {
  std::vector<Sequence*> answers = decoding();
  if (!grants.plenty())
    std::ranges::stable_sort(answers, {},
                             [](const Sequence* s) { return s->request.scheduling.priority; });
  for (Sequence* s : answers) {
    const std::size_t known = s->request.tokens.size();
    const std::size_t end = grant(grants, *s, known + s->drafting.guesses.size());
    if (end < known) continue;
    s->drafting.guesses.resize(end - known);
    add_answer(batch, *s);
  }
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

// Prompts that take part in the next step, in the order of their turns. One whose next page another
// before it is computing already waits for that.
std::vector<Sequence*> Engine::Impl::prompts_of_step() {
  std::vector<RequestId> ids;
  for (Sequence* s : running) {
    if (!s->reads_prompt()) continue;
    catch_up(*s);
    ids.push_back(s->request.id);
  }
  std::vector<Sequence*> out;
  for (const RequestId id : scheduler.order(ids)) {
    Sequence* s = sequences.at(id).get();
    const std::size_t page = s->pages_indexed;
    const bool aligned = s->computed == page * kvcache::PagedKvCache::kPageTokens;
    const auto computes_it = [&](const Sequence* other) {
      return other->keeps && !other->index_full && other->node == s->node &&
             other->pages_indexed == page && page < reusable_pages(*other) &&
             domain_of(*other, page) == domain_of(*s, page) &&
             std::ranges::equal(page_tokens(*other, page), page_tokens(*s, page));
    };
    const bool waits = s->reuses && !s->index_full && aligned && page < reusable_pages(*s) &&
                       std::ranges::any_of(out, computes_it);
    if (!waits) out.push_back(s);
  }
  return out;
}

StepPacer::Room Engine::Impl::prompt_room(const Batch& batch, std::size_t prompts) {
  StepPacer::Load load;
  load.answer_tokens = batch.answers_tokens;
  load.answers = batch.parts.size();
  load.prompts = prompts;
  load.alone = sequences.size() == 1;
  for (const Batch::Part& part : batch.parts)
    load.urgent = std::min(load.urgent, part.sequence->request.scheduling.priority);
  return pacer.room(load, options.prefill_chunk);
}

void Engine::Impl::add_prompts(Batch& batch, PageGrants& grants,
                               std::span<Sequence* const> prompts) {
  std::vector<std::size_t> left;
  std::vector<std::size_t> whole;
  for (const Sequence* s : prompts) {
    left.push_back(s->prefill_end - s->computed);
    whole.push_back(s->prompt_left);
  }
  const std::vector<std::size_t> shares =
      share_out(left, whole, prompt_room(batch, prompts.size()));
  // Both kinds of room together may be more than a step has.
  std::size_t budget = options.prefill_chunk;
  std::size_t spare = 0;  // of those that lack pages, for those behind them
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Sequence& s = *prompts[i];
    const std::size_t share = std::min({shares[i] + spare, left[i], budget});
    const std::size_t count = grant(grants, s, s.computed + share) - s.computed;
    if (count > 0) add_part(batch, s, count);
    spare = shares[i] + spare - count;
    budget -= count;
  }
}

Engine::Impl::Batch Engine::Impl::build() {
  Batch batch;
  guess_ahead();
  const std::vector<Sequence*> prompts = prompts_of_step();
  PageGrants grants = grants_of_step();
  const std::uint64_t pauses = totals.pauses;
  add_answers(batch, grants);
  batch.answers_tokens = batch.tokens.size();
  if (!prompts.empty()) add_prompts(batch, grants, prompts);
  // In a safe state there is one that can go on.
  HF_CHECK(!batch.tokens.empty() || totals.pauses == pauses);
  return batch;
}

// What was granted is there once prompts that nobody uses have given way.
bool Engine::Impl::make_room(const Batch& batch) {
  std::size_t pages = 0;
  for (const Batch::Part& part : batch.parts) {
    const std::size_t have = parts.cache.pages(*part.sequence->slot).size();
    const std::size_t want = kvcache::PagedKvCache::pages_for(part.end);
    pages += want - std::min(want, have);
  }
  return prefixes.make_room(pages);
}

void Engine::Impl::fail_batch(const Batch& batch, const Error& error) {
  for (const Batch::Part& part : batch.parts) {
    end(*part.sequence);
    fail(part.sequence->request.id, error);
  }
  forget_ended();
}

void Engine::step() {
  Impl& e = *impl_;
  e.drop_cancelled();
  e.drop_expired();
  e.admit();
  Impl::Batch batch = e.build();
  if (batch.tokens.empty()) return;
  HF_CHECK(e.make_room(batch));
  model::Step step;
  step.tokens = batch.tokens;
  step.squares = batch.squares;
  const std::uint64_t begin = e.now_ns();
  const Status status = e.parts.model.forward(e.parts.team, e.parts.kernels, e.parts.cache, step);
  double uncounted = 0;
  if (batch.answers_tokens > 0 && e.options.beside_answers) uncounted = e.options.beside_answers();
  ++e.totals.steps;
  if (!status.ok()) {
    e.fail_batch(batch, status.error());
    return;
  }
  e.deliver(batch, step);
  const double seconds = static_cast<double>(e.now_ns() - begin) * 1e-9 - uncounted;
  const std::size_t answers = batch.answers_tokens;
  e.pacer.observe(answers, batch.tokens.size() - answers, seconds);
  if (answers == batch.tokens.size()) e.speculator.observe_step(answers, seconds);
}

Engine::Engine(const EngineParts& parts, const EngineOptions& options, OutputSink& sink)
    : impl_(std::make_unique<Impl>(parts, options, sink)) {}
Engine::~Engine() = default;

bool Engine::idle() const { return impl_->sequences.empty(); }

EngineStats Engine::stats() const {
  EngineStats s = impl_->totals;
  s.running = static_cast<std::uint32_t>(impl_->running.size());
  s.waiting = static_cast<std::uint32_t>(impl_->scheduler.waiting());
  s.pages_total = impl_->parts.cache.pages_total();
  s.pages_used = impl_->parts.cache.pages_in_use();
  s.pages_kept = impl_->prefixes.pages_kept();
  s.prefix_evictions = impl_->prefixes.evictions();
  s.draft_tokens = impl_->speculator.drafted();
  s.draft_accepted = impl_->speculator.accepted();
  return s;
}

}  // namespace holdfast::runtime
