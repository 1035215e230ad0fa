// Speculation: how an engine guesses tokens ahead so as to compute several of one sequence in a
// pass.
#pragma once

#include <cstdint>

namespace holdfast::runtime {

// Tokens guessed in one step, over all sequences. Wider passes than this stop being bound by
// reading the weights on any machine measured, and every guess costs a row of logits.
inline constexpr std::uint32_t kDraftTokensMax = 16;

struct SpeculationOptions {
  enum class Source : std::uint8_t {
    kNone,
    kLookup,  // what followed when the last tokens occurred before in prompt or answer
    kModel,   // the greedy continuation of EngineParts::draft
  };
  Source source = Source::kNone;
  // Guess only where measured step times say that it pays. Otherwise wherever a fixed model of an
  // average machine says so. Decides how fast an answer comes, never what it says.
  bool adaptive = true;
  std::uint32_t tokens_max = kDraftTokensMax;  // in one step; less where the model has fewer rows
};

}  // namespace holdfast::runtime
