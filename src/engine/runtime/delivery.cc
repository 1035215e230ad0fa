// From rows of logits to answers.
#include <algorithm>
#include <cmath>
#include <utility>

#include "engine_impl.h"
#include "holdfast/model/importance.h"

namespace holdfast::runtime {

namespace {

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

// The next token of each answer, drawn by the whole team: with many answers or a large vocabulary a
// single thread would take a good part of a step for it. What guesses bring is drawn as it is
// delivered, for it depends on the token before.
void Engine::Impl::draw_samples(const Batch& batch, const model::Step& step) {
  struct Wanted {
    Sequence* sequence;
    std::size_t row;
  };
  std::vector<Wanted> wanted;
  std::size_t row = 0;
  for (const Batch::Part& part : batch.parts) {
    Sequence& s = *part.sequence;
    const bool hidden = s.request.evaluate && s.request.evaluate->kind == Evaluate::Kind::kHidden;
    bool found = false;
    for (std::size_t p = part.begin; p < part.end; ++p) {
      if (hidden || !s.wants_row(p)) continue;
      if (s.request.generate && !found && p + 1 >= s.prefill_end) {
        wanted.push_back({&s, row});
        found = true;
      }
      ++row;
    }
  }
  if (wanted.size() < 2) return;
  sampler_scratches.resize(parts.team.size());
  parts.team.run([&](tensor::Worker& worker) {
    worker.deal(wanted.size(), 1, [&](tensor::Range mine) {
      for (std::size_t i = mine.begin; i < mine.end; ++i) {
        Sequence& s = *wanted[i].sequence;
        s.drawn = draw(s, step.logits.subspan(wanted[i].row * vocab(), vocab()),
                       sampler_scratches[worker.index()]);
      }
    });
  });
}

Result<sampler::Sample> Engine::Impl::draw(Sequence& s, std::span<const float> logits,
                                           std::vector<float>& scratch) const {
  const Generate& g = *s.request.generate;
  return s.sampler->sample(
      logits, s.request.tokens.size(),
      {.logprobs = g.want_logprobs, .top_logprobs = g.top_logprobs, .allowed = {}}, scratch);
}

void Engine::Impl::deliver(const Batch& batch, const model::Step& step) {
  deliver_scores(batch, step);
  draw_samples(batch, step);
  const std::size_t n_embd = parts.model.hyperparameters().n_embd;
  std::size_t logits_row = 0;
  std::size_t hidden_row = 0;
  for (const Batch::Part& part : batch.parts) {
    Sequence& s = *part.sequence;
    std::size_t rows = 0;
    for (std::size_t p = part.begin; p < part.end; ++p) rows += s.wants_row(p) ? 1 : 0;
    s.computed = part.end;
    totals.prompt_tokens += std::min(part.end, s.prefill_end) - std::min(part.begin, s.prefill_end);
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
        end(s);
      }
    }
  }
  for (Sequence* s : running) {
    if (s->slot) index_pages(*s);
  }
  forget_ended();
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
                  {static_cast<std::uint32_t>(s.prompt_tokens),
                   static_cast<std::uint32_t>(s.cached_tokens), std::move(s.prompt_outputs)});
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
    if (p + 1 >= s.prefill_end) return deliver_answer(s, rows.subspan(at));
    const std::span<const float> logits = rows.subspan(at, vocab());
    at += vocab();
    const std::int32_t next = s.request.tokens[p + 1];
    sampler::Sample known;
    known.token = next;
    known.logprob = log_probability(logits, next);
    auto top = top_log_probabilities(logits, g.top_logprobs);
    if (!top.ok()) {
      end(s);
      return fail(s.request.id, top.error());
    }
    known.top = std::move(top).value();
    s.prompt_outputs.push_back(describe(s, known));
  }
}

void Engine::Impl::sample_next(Sequence& s, std::span<const float> logits) {
  const Generate& g = *s.request.generate;
  if (!s.started) begin_answer(s, now_ns());
  const Result<sampler::Sample> sample =
      s.drawn ? *std::exchange(s.drawn, std::nullopt) : draw(s, logits, sampler_scratches.front());
  if (!sample.ok()) {
    end(s);
    return fail(s.request.id, sample.error());
  }
  ++s.generated;
  ++totals.generated_tokens;
  scheduler.served(s.request.id, 1);
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

}  // namespace holdfast::runtime
