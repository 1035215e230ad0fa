#include "step_pacer.h"

#include <algorithm>
#include <bit>

namespace holdfast::runtime {

namespace {

constexpr double kLearn = 0.25;
// A measurement may be another program's doing; it counts for this much at most.
constexpr double kOutlier = 4.0;
// Whoever computes narrow steps never learns that wide ones are cheap: one step in so many is half
// as wide again as it should be. Rare enough to be no part of a 99th percentile.
constexpr std::uint32_t kProbeEvery = 256;
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

// The most tokens that take no longer than that; 0 if one does.
std::size_t StepPacer::tokens_in(double seconds, std::size_t most) const {
  std::size_t best = 0;
  for (std::size_t n = 1; n <= most; ++n) {
    if (*token_seconds(n) * static_cast<double>(n) <= seconds) best = n;
  }
  return best;
}

StepPacer::Room StepPacer::room(const Load& load, std::size_t most) {
  if (load.answer_tokens == 0) {
    if (!token_seconds(most)) return {most, 0};
    const double seconds = load.alone ? kAloneSecondsMax : kStepSecondsMax;
    return {std::max(tokens_in(seconds, most), std::min(most, kAloneMin)), 0};
  }
  if (!token_seconds(most) || !answers_measured_) return {std::min(most, kUnmeasured), 0};
  const double idle = answers_seconds(load.answer_tokens);
  const double waiting = static_cast<double>(load.prompts);
  const double crowd = std::max(1.0, waiting / static_cast<double>(load.answers));
  const auto urgent = static_cast<std::size_t>(load.urgent);
  const double stretch = idle * (kStretch[urgent] - 1.0) * crowd;
  Room out;
  out.paced = tokens_in(std::min(stretch, std::max(kStepSecondsMax - idle, idle)), most);
  out.finishing = tokens_in(kFinishSeconds[urgent] - idle, most);
  if (out.paced == most) {
    cautious_ = 0;
  } else if (++cautious_ % kProbeEvery == 0) {
    out.paced = std::min(most, out.paced + out.paced / 2 + 1);
  }
  out.paced = std::max<std::size_t>(out.paced, 1);
  return out;
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
