// Speculator: guesses the next tokens of running answers, and learns from what became of them.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "draft_model.h"
#include "draft_policy.h"
#include "holdfast/runtime/engine.h"
#include "sequence.h"

namespace holdfast::runtime {

// A guess is only ever a reason to compute more positions of a sequence in one pass. The engine
// samples every position from the logits of the tokens that really stand before it, and a guess
// that is not the token sampled there ends the sequence's step. So the worst that anything here can
// do is waste time.
//
// Owned by the engine's loop.
class Speculator {
 public:
  // `tokens_max` guesses fit a step.
  Speculator(const EngineParts& parts, const SpeculationOptions& options, std::size_t sequences_max,
             std::size_t tokens_max);

  bool enabled() const { return options_.source != SpeculationOptions::Source::kNone; }
  // Fills in `guesses` of the answers that take part in the next step.
  void guess(std::span<Sequence* const> decoding);
  // A token was sampled at the place of the sequence's guess number `index`, or after the last one.
  void sampled(Sequence& s, std::size_t index, std::int32_t token);
  // A step that only decoded took that long.
  void observe_step(std::size_t width, double seconds) { costs_.observe(width, seconds); }
  void forget(Sequence& s);

  std::uint64_t drafted() const { return drafted_; }
  std::uint64_t accepted() const { return accepted_; }

 private:
  DraftCandidate candidate(Sequence& s);
  std::vector<std::size_t> plan(std::span<const DraftCandidate> candidates, std::size_t sequences);

  SpeculationOptions options_;
  std::size_t tokens_max_;
  std::optional<DraftModel> model_;
  StepCosts costs_;
  Probe probe_;
  std::uint64_t drafted_ = 0;
  std::uint64_t accepted_ = 0;
};

}  // namespace holdfast::runtime
