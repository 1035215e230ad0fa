#include "step_pacer.h"

#include <algorithm>

namespace holdfast::runtime {

namespace {

constexpr double kLearn = 0.25;
// A measurement may be another program's doing; it counts for this much at most.
constexpr double kOutlier = 2.0;
// So many tokens in a step tell what one costs.
constexpr double kTellingTokens = 64;
// Fewer tokens than these in a step without answers are no use.
constexpr std::size_t kAloneMin = 16;

}  // namespace

double StepPacer::answers_seconds(std::size_t tokens) const {
  return tokens == 0 ? 0 : answers_.at(tokens);
}

// The most tokens that take no longer than that; 0 if one does.
std::size_t StepPacer::tokens_in(double seconds, std::size_t most) const {
  if (!(seconds > 0)) return 0;
  return static_cast<std::size_t>(std::min(seconds / *token_seconds_, static_cast<double>(most)));
}

StepPacer::Room StepPacer::room(const Load& load, std::size_t most) const {
  if (load.answer_tokens == 0) {
    if (!token_seconds_) return {most, 0};
    const double seconds = load.alone ? kAloneSecondsMax : kStepSecondsMax;
    return {std::max(tokens_in(seconds, most), std::min(most, kAloneMin)), 0};
  }
  if (!token_seconds_ || !answers_measured_) return {std::min(most, kUnmeasured), 0};
  const double idle = answers_seconds(load.answer_tokens);
  const double waiting = static_cast<double>(load.prompts);
  const double crowd = std::max(1.0, waiting / static_cast<double>(load.answers));
  const auto urgent = static_cast<std::size_t>(load.urgent);
  const double stretch = idle * (kStretch[urgent] - 1.0) * crowd;
  Room out;
  out.paced = tokens_in(std::min(stretch, std::max(kStepSecondsMax - idle, idle)), most);
  out.paced = std::min(most, std::max(out.paced, kPacedMin));
  out.finishing = tokens_in(kFinishSeconds[urgent] - idle, most);
  return out;
}

void StepPacer::observe(std::size_t answer_tokens, std::size_t prompt_tokens, double seconds) {
  if (!(seconds > 0)) return;
  if (prompt_tokens == 0) {
    answers_.observe(answer_tokens, seconds);
    answers_measured_ = true;
    return;
  }
  if (answer_tokens > 0 && !answers_measured_) {
    // A server that begins under load has no step of answers alone for as long as that lasts.
    if (!token_seconds_) return;
    const double prompts = static_cast<double>(prompt_tokens) * *token_seconds_;
    answers_.observe(answer_tokens, std::max(seconds - prompts, seconds * 0.05));
    answers_measured_ = true;
    return;
  }
  // A step is never as good as free: what is left after the answers' part may be noise. The fewer
  // tokens share that noise, the less they say.
  const double rest = std::max(seconds - answers_seconds(answer_tokens), seconds * 0.05);
  const double sample = rest / static_cast<double>(prompt_tokens);
  if (!token_seconds_) {
    token_seconds_ = sample;
    return;
  }
  const double known = *token_seconds_;
  const double weight = std::min(1.0, static_cast<double>(prompt_tokens) / kTellingTokens);
  const double bounded = std::clamp(sample, known / kOutlier, known * kOutlier);
  *token_seconds_ += (bounded - known) * kLearn * weight;
}

std::vector<std::size_t> share_out(std::span<const std::size_t> left,
                                   std::span<const std::size_t> whole, StepPacer::Room room) {
  std::vector<std::size_t> out(left.size(), 0);
  std::vector<std::size_t> others;
  std::size_t finishing = room.finishing;
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (whole[i] <= room.finishing && left[i] <= finishing) {
      finishing -= out[i] = left[i];
    } else {
      others.push_back(i);
    }
  }
  if (others.empty()) return out;
  const std::size_t used = room.finishing - finishing;
  std::size_t budget =
      std::max({room.paced - std::min(used, room.paced), room.paced / 4, std::size_t{1}});
  const auto give = [&](std::size_t i, std::size_t most) {
    const std::size_t more = std::min({most, budget, left[i] - out[i]});
    out[i] += more;
    budget -= more;
  };
  give(others.front(), (budget + 1) / 2);
  std::vector<std::size_t> behind(others.begin() + 1, others.end());
  std::ranges::stable_sort(behind, {}, [&](std::size_t i) { return left[i]; });
  for (const std::size_t i : behind) {
    if (left[i] <= budget) give(i, budget);
  }
  for (const std::size_t i : others) give(i, budget);
  return out;
}

}  // namespace holdfast::runtime
