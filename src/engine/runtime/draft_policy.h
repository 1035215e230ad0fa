// How many tokens to guess: what a guess is worth, what a wider step costs, and the best of both.
// Nothing here can change an answer; a guess is checked against the model's own choice before use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace holdfast::runtime {

// How long a decode step takes by its width, that is, by the number of tokens it computes. Running
// averages of measured times; a width that was not seen is estimated from those that were.
// Owned by the engine's loop.
class StepCosts {
 public:
  explicit StepCosts(std::size_t width_max);

  void observe(std::size_t width, double seconds);
  // Seconds of a step of that width, 1 to width_max; on an unmeasured engine in units of a step of
  // one token.
  double at(std::size_t width) const;

 private:
  std::vector<double> measured_;  // [width]; 0: not seen
};

// How often guesses were right. The longer the match that a guess comes from, the better it is, so
// shares are kept by length. Owned by its sequence.
class Acceptance {
 public:
  // The probability that a guess is right which continues a match of that many tokens.
  double probability(std::size_t match_length) const { return right_[bucket(match_length)]; }
  void observe(std::size_t match_length, bool right);

 private:
  static constexpr std::size_t kBuckets = 4;
  static std::size_t bucket(std::size_t match_length);
  // Starts low enough that a text which does not repeat loses next to nothing on its accidental
  // matches, and high enough that one of some length is tried.
  std::array<double, kBuckets> right_ = {0.25, 0.45, 0.65, 0.8};
};

// What one sequence could guess in a step.
struct DraftCandidate {
  std::size_t available = 0;     // guesses at hand
  std::size_t match_length = 0;  // that the first of them continues
  const Acceptance* acceptance = nullptr;
};

// The number of guesses to compute for each candidate, so that a step yields the most tokens per
// second. `sequences` decode in the step, at most `tokens_max` guesses are added in all, and making
// one guess costs `guess_seconds`. `costs` null: a fixed shape instead of measured times. With
// measured times a gain of a few percent is not taken: it is as likely an error of the estimates.
std::vector<std::size_t> plan_drafts(std::span<const DraftCandidate> candidates,
                                     std::size_t sequences, std::size_t tokens_max,
                                     const StepCosts* costs, double guess_seconds = 0);

// Lets a guess through where times say that none pays, because the times may be out of date.
// Rarely, and the more rarely the longer they are right. Owned by the engine's loop.
class Probe {
 public:
  static constexpr std::uint32_t kIntervalMin = 64;
  static constexpr std::uint32_t kIntervalMax = 1024;  // steps
  static constexpr std::size_t kTokens = 1;

  // Guesses were made because they pay.
  void paid() { interval_ = kIntervalMin, skipped_ = 0; }
  // A step passed up guesses that a fixed cost model would have made. True: probe in this step.
  bool due();

 private:
  std::uint32_t interval_ = kIntervalMin;
  std::uint32_t skipped_ = 0;
};

}  // namespace holdfast::runtime
