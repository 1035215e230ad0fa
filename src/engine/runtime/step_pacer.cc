#include "step_pacer.h"

#include <algorithm>
#include <bit>

namespace holdfast::runtime {

namespace {

constexpr double kLearn = 0.25;
// A measurement may be another program's doing; it counts for this much at most.
constexpr double kOutlier = 4.0;
// Whoever computes narrow steps never learns that wide ones are cheap: one step in so many is twice
// as wide as it should be.
constexpr std::uint32_t kProbeEvery = 64;
// Fewer tokens than these in a step without answers are no use.
constexpr std::size_t kAloneMin = 16;

}  // namespace

std::size_t StepPacer::bucket(std::size_t tokens) {
  return std::min<std::size_t>(std::bit_width(tokens), kBuckets - 1);
}

// The nearest that was seen; a wider pass first, for it cannot be dearer by the token.
std::optional<double> StepPacer::token_seconds(std::size_t tokens) const {
  const std::size_t own = bucket(tokens);
  for (std::size_t b = own; b < kBuckets; ++b) {
    if (token_seconds_[b] > 0) return token_seconds_[b];
  }
  for (std::size_t b = own; b-- > 0;) {
    if (token_seconds_[b] > 0) return token_seconds_[b];
  }
  return std::nullopt;
}

double StepPacer::answers_seconds(std::size_t tokens) const {
  return tokens == 0 ? 0 : answers_.at(tokens);
}

std::size_t StepPacer::prompt_tokens(const Load& load, std::size_t most) {
  const bool beside = load.answer_tokens > 0;
  const std::size_t least = std::min(most, beside ? kTokensMin : kAloneMin);
  if (!token_seconds(most) || (beside && !answers_measured_))
    return std::min(most, beside ? kUnmeasured : most);
  const double idle = answers_seconds(load.answer_tokens);
  double room = (load.alone ? kAloneSecondsMax : kStepSecondsMax) - idle;
  if (beside) {
    const double crowd =
        std::max(1.0, static_cast<double>(load.prompts) /
                          static_cast<double>(std::max<std::size_t>(load.answers, 1)));
    const double stretch = kStretch[static_cast<std::size_t>(load.urgent)] - 1.0;
    room = std::min(std::max(room, idle), idle * stretch * crowd);
  }
  std::size_t best = least;
  for (std::size_t n = least; n <= most; ++n) {
    if (*token_seconds(n) * static_cast<double>(n) <= room) best = n;
  }
  if (best == most) {
    cautious_ = 0;
  } else if (++cautious_ % kProbeEvery == 0) {
    best = std::min(most, best * 2);
  }
  return best;
}

void StepPacer::observe(std::size_t answer_tokens, std::size_t prompt_tokens, double seconds) {
  if (!(seconds > 0)) return;
  if (prompt_tokens == 0) {
    answers_.observe(answer_tokens, seconds);
    answers_measured_ = true;
    return;
  }
  if (answer_tokens > 0 && !answers_measured_) return;
  // A step is never as good as free: what is left after the answers' part may be noise.
  const double rest = std::max(seconds - answers_seconds(answer_tokens), seconds * 0.05);
  const double sample = rest / static_cast<double>(prompt_tokens);
  double& known = token_seconds_[bucket(prompt_tokens)];
  if (known == 0) {
    known = sample;
  } else {
    known += (std::clamp(sample, known / kOutlier, known * kOutlier) - known) * kLearn;
  }
}

}  // namespace holdfast::runtime
