// DraftModel: a small model with the same vocabulary that says what the large one will probably
// say.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "holdfast/runtime/engine.h"
#include "sequence.h"

namespace holdfast::runtime {

// Keeps its own keys and values of each sequence, which lag behind and are caught up with when
// guesses are wanted. Its cache has as many pages as the main one, so what was promised to a
// sequence there is there for it here. Owned by the engine's loop.
class DraftModel {
 public:
  explicit DraftModel(const EngineParts& parts);

  // Greedy guesses: counts[i] for sequences[i], fewer where the model had to read so much of the
  // sequence first that this step is not to wait for it. A pass that fails makes no guesses.
  void guess(std::span<Sequence* const> sequences, std::span<const std::size_t> counts);
  // Seconds of one pass for one guess; nullopt before the first.
  std::optional<double> guess_seconds() const { return guess_seconds_; }
  void forget(Sequence& s);

 private:
  struct Reader {
    Sequence* sequence = nullptr;
    std::size_t wanted = 0;  // guesses that are still to be made
  };
  bool add_unread(Reader& reader, std::vector<model::StepToken>& tokens) const;
  bool run(std::vector<Reader>& readers, std::span<const model::StepToken> tokens);

  EngineParts parts_;
  std::optional<double> guess_seconds_;
};

}  // namespace holdfast::runtime
