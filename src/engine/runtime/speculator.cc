#include "speculator.h"

#include <algorithm>

namespace holdfast::runtime {

namespace {

using Source = SpeculationOptions::Source;

// A draft model has no match whose length would tell how good its guesses are; they start out as
// good as those of a match of this many tokens.
constexpr std::size_t kModelMatchLength = 16;
// What a guess of a draft model costs while nothing is measured, as a part of a step of one token.
constexpr double kGuessCost = 0.2;

}  // namespace

Speculator::Speculator(const EngineParts& parts, const SpeculationOptions& options,
                       std::size_t sequences_max, std::size_t tokens_max)
    : options_(options), tokens_max_(tokens_max), costs_(sequences_max + tokens_max) {
  if (options_.source == Source::kModel) {
    HF_CHECK(parts.draft_model != nullptr && parts.draft_cache != nullptr);
    model_.emplace(parts);
  }
  if (tokens_max_ == 0) options_.source = Source::kNone;
}

// A guess that could not be used because the answer must end before it is not made, so the pages
// promised to a sequence at its admission hold its guesses too.
DraftCandidate Speculator::candidate(Sequence& s) {
  Drafting& d = s.drafting;
  d.match.reset();
  const std::size_t left = s.tokens_max - s.generated;
  const std::size_t most = std::min(tokens_max_, left > 0 ? left - 1 : 0);
  if (options_.source == Source::kModel) {
    d.match_length = kModelMatchLength;
    return {most, d.match_length, &d.acceptance};
  }
  d.index.extend(s.request.tokens);
  if (!d.index.match()) return {};
  d.match = *d.index.match();
  d.match_length = d.match->length;
  return {most, d.match_length, &d.acceptance};
}

std::vector<std::size_t> Speculator::plan(std::span<const DraftCandidate> candidates,
                                          std::size_t sequences) {
  const auto any = [](const std::vector<std::size_t>& counts) {
    return std::any_of(counts.begin(), counts.end(), [](std::size_t n) { return n > 0; });
  };
  const double fixed_guess = model_ ? kGuessCost : 0;
  const double guess = model_ ? model_->guess_seconds().value_or(kGuessCost * costs_.at(1)) : 0;
  if (options_.adaptive) {
    std::vector<std::size_t> counts =
        plan_drafts(candidates, sequences, tokens_max_, &costs_, guess);
    if (any(counts)) {
      probe_.paid();
      return counts;
    }
  }
  std::vector<std::size_t> counts =
      plan_drafts(candidates, sequences, tokens_max_, nullptr, fixed_guess);
  if (!options_.adaptive || !any(counts)) return counts;
  const bool probe = probe_.due();
  for (std::size_t& n : counts) n = probe ? std::min(n, Probe::kTokens) : 0;
  return counts;
}

void Speculator::guess(std::span<Sequence* const> decoding) {
  if (!enabled() || decoding.empty()) return;
  std::vector<DraftCandidate> candidates;
  bool available = false;
  for (Sequence* s : decoding) {
    s->drafting.guesses.clear();
    candidates.push_back(candidate(*s));
    available |= candidates.back().available > 0;
  }
  if (!available) return;
  const std::vector<std::size_t> counts = plan(candidates, decoding.size());
  if (model_) {
    model_->guess(decoding, counts);
  } else {
    for (std::size_t i = 0; i < decoding.size(); ++i) {
      Sequence& s = *decoding[i];
      if (counts[i] == 0) continue;
      s.drafting.guesses = continuation(s.request.tokens, *s.drafting.match, counts[i]);
    }
  }
  for (const Sequence* s : decoding) drafted_ += s->drafting.guesses.size();
}

void Speculator::sampled(Sequence& s, std::size_t index, std::int32_t token) {
  Drafting& d = s.drafting;
  if (index < d.guesses.size()) {
    const bool right = d.guesses[index] == token;
    accepted_ += right ? 1 : 0;
    d.acceptance.observe(d.match_length + index, right);
  } else if (index == 0 && d.match) {
    // What would have been guessed costs nothing to compare, and so a sequence that begins to
    // repeat is noticed.
    const auto would = continuation(s.request.tokens, *d.match, 1);
    d.acceptance.observe(d.match_length, would.front() == token);
  }
}

void Speculator::forget(Sequence& s) {
  if (model_) model_->forget(s);
}

}  // namespace holdfast::runtime
