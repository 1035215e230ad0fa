// StepPacer: how much of the prompts a step computes, so that answers that run keep their pace.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "draft_policy.h"
#include "holdfast/runtime/request.h"

namespace holdfast::runtime {

// A step that computes prompts besides answers takes longer than one that does not, and each answer
// gets its token that much later. How much later it may be is for the class of the most urgent
// answer to say, in two ways:
// - A long prompt takes many steps, so it may stretch each to kStretch times what it takes without
//   prompts. Where more prompts wait than answers run, the room grows in proportion: then the wait
//   of those that have not begun counts for more.
// - A prompt that can end with the step delays the answers once, and whoever asked waits for all of
//   it: the step may take kFinishSeconds.
// Apart from that no step is to take longer than kStepSecondsMax, for whoever comes or is cancelled
// waits for the end of the step.
//
// Learns from measured steps; until it has, prompts come in small parts. Owned by the engine's
// loop.
class StepPacer {
 public:
  // 1.7 leaves room for the noise of a machine where the promise is 2.
  static constexpr std::array<double, kPriorities> kStretch = {1.35, 1.7, 4.0};
  static constexpr std::array<double, kPriorities> kFinishSeconds = {0.04, 0.15, 0.25};
  static constexpr double kStepSecondsMax = 0.2;
  static constexpr double kAloneSecondsMax = 0.5;  // where only a newcomer could mind
  // A prompt token costs less than a tenth of a step, so these stay within the promise; fewer would
  // make a prompt wait for ever where times are misjudged.
  static constexpr std::size_t kPacedMin = 6;
  static constexpr std::size_t kUnmeasured = 16;  // until anything is known

  explicit StepPacer(std::size_t answers_max) : answers_(answers_max) {}

  struct Load {
    std::size_t answer_tokens = 0;  // that the step computes for answers, guesses included
    std::size_t answers = 0;
    std::size_t prompts = 0;
    bool alone = false;                  // there is no other request
    Priority urgent = Priority::kBatch;  // the most urgent class among the answers
  };
  // Prompt tokens for a step, each at most `most`.
  struct Room {
    std::size_t paced = 0;      // at least kPacedMin
    std::size_t finishing = 0;  // of prompts that end with the step
  };
  Room room(const Load& load, std::size_t most) const;
  void observe(std::size_t answer_tokens, std::size_t prompt_tokens, double seconds);

 private:
  double answers_seconds(std::size_t tokens) const;
  std::size_t tokens_in(double seconds, std::size_t most) const;

  StepCosts answers_;
  bool answers_measured_ = false;
  std::optional<double> token_seconds_;  // that a prompt token adds
};

// How many tokens of each prompt a step computes, in the order of their turns. Prompt i has left[i]
// tokens to go of the whole[i] that it had to compute. Short ones, which `finishing` has room for,
// end with the step. The rest share what that leaves of `paced`: the first gets at least half, so
// that it moves on however many come after it; of the others those come first that can end; what
// nobody took falls to the first.
std::vector<std::size_t> share_out(std::span<const std::size_t> left,
                                   std::span<const std::size_t> whole, StepPacer::Room room);

}  // namespace holdfast::runtime
