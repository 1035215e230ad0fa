#include "draft_model.h"

#include <algorithm>

namespace holdfast::runtime {

namespace {

constexpr double kLearn = 0.125;

}  // namespace

DraftModel::DraftModel(const EngineParts& parts) : parts_(parts) {}

void DraftModel::forget(Sequence& s) {
  if (s.drafting.slot) parts_.draft_cache->close(*s.drafting.slot);
  s.drafting.slot.reset();
}

// Adds what the model has not read of a sequence, guesses included, as far as the pass has room.
// False: not all of it.
bool DraftModel::add_unread(Reader& reader, std::vector<model::StepToken>& tokens) const {
  const Drafting& d = reader.sequence->drafting;
  const std::vector<std::int32_t>& known = reader.sequence->request.tokens;
  const std::size_t end = known.size() + d.guesses.size();
  for (std::size_t p = parts_.draft_cache->length(*d.slot); p < end; ++p) {
    if (tokens.size() == parts_.draft_model->options().batch_tokens_max) return false;
    const std::int32_t token = p < known.size() ? known[p] : d.guesses[p - known.size()];
    tokens.push_back({.sequence = *d.slot,
                      .position = static_cast<std::uint32_t>(p),
                      .token = token,
                      .wants_logits = p + 1 == end,
                      .wants_hidden = false});
  }
  return true;
}

// One pass; then each reader has a guess more. False if the pass failed.
bool DraftModel::run(std::vector<Reader>& readers, std::span<const model::StepToken> tokens) {
  model::Step step;
  step.tokens = tokens;
  const Status status =
      parts_.draft_model->forward(parts_.team, parts_.kernels, *parts_.draft_cache, step);
  if (!status.ok()) return false;
  const std::size_t vocab = parts_.draft_model->hyperparameters().n_vocab;
  std::size_t row = 0;
  for (Reader& r : readers) {
    if (r.wanted == 0) continue;
    const auto best = sampler::best_candidates(step.logits.subspan(row++ * vocab, vocab), 1);
    // Rows beyond the vocabulary pad a matrix; such a guess could not even be computed.
    const bool usable =
        best.ok() && !best->empty() &&
        static_cast<std::uint32_t>(best->front().token) < parts_.model.hyperparameters().n_vocab;
    if (usable) r.sequence->drafting.guesses.push_back(best->front().token);
    r.wanted = usable ? r.wanted - 1 : 0;
  }
  return true;
}

void DraftModel::guess(std::span<Sequence* const> sequences, std::span<const std::size_t> counts) {
  std::vector<Reader> readers;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    Drafting& d = sequences[i]->drafting;
    if (counts[i] == 0) continue;
    if (!d.slot) {
      const auto slot = parts_.draft_cache->open();
      if (!slot.ok()) continue;
      d.slot = *slot;
    }
    // The last token was sampled after the model had read; of guesses, those before it were right.
    parts_.draft_cache->truncate(*d.slot, sequences[i]->request.tokens.size() - 1);
    readers.push_back({sequences[i], counts[i]});
  }
  std::vector<model::StepToken> tokens;
  for (bool first = true;; first = false) {
    tokens.clear();
    std::size_t guessing = 0;
    for (Reader& r : readers) {
      if (r.wanted == 0) continue;
      if (add_unread(r, tokens)) {
        ++guessing;
      } else {
        r.wanted = 0;
      }
    }
    if (tokens.empty()) return;
    const std::int64_t begin = parts_.clock.monotonic_ns();
    if (!run(readers, tokens)) return;
    if (first || guessing == 0) continue;  // the first pass also reads what was missed
    const double seconds = static_cast<double>(parts_.clock.monotonic_ns() - begin) * 1e-9 /
                           static_cast<double>(guessing);
    guess_seconds_ =
        guess_seconds_ ? *guess_seconds_ + (seconds - *guess_seconds_) * kLearn : seconds;
  }
}

}  // namespace holdfast::runtime
