// StepPacer: how much of the prompts a step computes, so that answers that run keep their pace.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "draft_policy.h"
#include "holdfast/runtime/request.h"

namespace holdfast::runtime {

// A step that computes prompts besides answers takes longer than one that does not, and each answer
// gets its token that much later. By how much it may be later is the class's to say: a step may
// take kStretch times what it takes without prompts. Where more prompts wait than answers run, the
// room grows in proportion: then the wait of those that have not begun counts for more.
// Apart from that no step is to take longer than kStepSecondsMax, for whoever comes or is cancelled
// waits for the end of the step.
//
// Learns from measured steps; until it has, prompts come in small parts. Owned by the engine's
// loop.
class StepPacer {
 public:
  // By class of the most urgent answer that runs: 1.7 leaves room for the noise of a machine where
  // the promise is 2.
  static constexpr std::array<double, kPriorities> kStretch = {1.35, 1.7, 4.0};
  static constexpr double kStepSecondsMax = 0.2;
  static constexpr double kAloneSecondsMax = 0.5;  // where only a newcomer could mind
  static constexpr std::size_t kTokensMin = 4;     // beside answers
  static constexpr std::size_t kUnmeasured = 16;   // until anything is known

  explicit StepPacer(std::size_t answers_max) : answers_(answers_max) {}

  struct Load {
    std::size_t answer_tokens = 0;  // that the step computes for answers, guesses included
    std::size_t answers = 0;
    std::size_t prompts = 0;
    bool alone = false;                  // there is no other request
    Priority urgent = Priority::kBatch;  // the most urgent class among the answers
  };
  // Prompt tokens for a step, at most `most`.
  std::size_t prompt_tokens(const Load& load, std::size_t most);
  void observe(std::size_t answer_tokens, std::size_t prompt_tokens, double seconds);

 private:
  // Seconds per prompt token depend on how many share the pass: [log2 of the number].
  static constexpr std::size_t kBuckets = 16;
  static std::size_t bucket(std::size_t tokens);
  std::optional<double> token_seconds(std::size_t tokens) const;
  double answers_seconds(std::size_t tokens) const;

  StepCosts answers_;
  bool answers_measured_ = false;
  std::array<double, kBuckets> token_seconds_{};  // 0: not seen
  std::uint32_t cautious_ = 0;                    // steps in which less than possible was tried
};

}  // namespace holdfast::runtime
