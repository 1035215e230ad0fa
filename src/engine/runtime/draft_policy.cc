#include "draft_policy.h"

#include <algorithm>

#include "holdfast/base/check.h"

namespace holdfast::runtime {

namespace {

// What a token more adds to a step, as a part of a step of one token: where times are not to count
// (little, as on a machine with instructions for it), and until it is measured. Measured were 0.1
// with AVX-512 VNNI and 0.35 with AVX2; what is assumed must let a good guess through, for a width
// that is never tried is never measured.
constexpr double kFixedSlope = 0.06;
constexpr double kUnseenSlope = 0.2;
// Shares of the difference to a new observation that the averages take on. A step's length changes
// for all widths alike when the context grows or the processor clocks down, so the widths that were
// not seen follow at half the pace.
constexpr double kLearnSeen = 0.25;
constexpr double kLearnOthers = 0.125;
// A step that was interrupted says nothing of its width.
constexpr double kOutlier = 2.0;
// Remembers about the last ten guesses of a kind.
constexpr double kLearnRight = 0.1;

// Guesses must promise this much more tokens per second than none. Both sides of the comparison are
// estimates, and taking whatever looks better by a hair means taking mostly what was overestimated.
constexpr double kWorthwhile = 1.1;

double linear_cost(std::size_t width, double slope) {
  return 1.0 + slope * static_cast<double>(width - 1);
}

}  // namespace

StepCosts::StepCosts(std::size_t width_max) : measured_(width_max + 1, 0.0) {}

void StepCosts::observe(std::size_t width, double seconds) {
  if (width == 0 || width >= measured_.size() || !(seconds > 0)) return;
  const double expected = measured_[width];
  if (expected == 0) {
    measured_[width] = seconds;
    return;
  }
  const double change = std::clamp(seconds / expected, 1 / kOutlier, kOutlier) - 1.0;
  for (double& m : measured_) m *= 1.0 + change * kLearnOthers;
  measured_[width] = expected * (1.0 + change * kLearnSeen);
}

double StepCosts::at(std::size_t width) const {
  HF_CHECK(width > 0 && width < measured_.size());
  if (measured_[width] > 0) return measured_[width];
  std::size_t below = width;
  while (below > 0 && measured_[below] == 0) --below;
  std::size_t above = width;
  while (above < measured_.size() && measured_[above] == 0) ++above;
  const bool has_above = above < measured_.size();
  const auto in_proportion = [width](double seconds, std::size_t to) {
    return seconds * linear_cost(width, kUnseenSlope) / linear_cost(to, kUnseenSlope);
  };
  if (below == 0 && !has_above) return linear_cost(width, kUnseenSlope);
  if (below == 0) return in_proportion(measured_[above], above);
  if (!has_above && (below == 1 || measured_[1] == 0))
    return in_proportion(measured_[below], below);
  if (!has_above) {
    const double slope = (measured_[below] - measured_[1]) / static_cast<double>(below - 1);
    return measured_[below] + std::max(slope, 0.0) * static_cast<double>(width - below);
  }
  const double part = static_cast<double>(width - below) / static_cast<double>(above - below);
  return measured_[below] + part * (measured_[above] - measured_[below]);
}

std::size_t Acceptance::bucket(std::size_t match_length) {
  return match_length < 4 ? 0 : match_length < 8 ? 1 : match_length < 16 ? 2 : 3;
}

void Acceptance::observe(std::size_t match_length, bool right) {
  double& share = right_[bucket(match_length)];
  share += ((right ? 1.0 : 0.0) - share) * kLearnRight;
}

// Takes guesses in the order of their worth, each being worth the probability that it and those
// before it are right, and keeps the number at which tokens per second were highest.
std::vector<std::size_t> plan_drafts(std::span<const DraftCandidate> candidates,
                                     std::size_t sequences, std::size_t tokens_max,
                                     const StepCosts* costs, double guess_seconds) {
  std::vector<std::size_t> taken(candidates.size(), 0);
  std::vector<std::size_t> best = taken;
  std::vector<double> worth;  // of each candidate's next guess
  for (const DraftCandidate& c : candidates)
    worth.push_back(c.available > 0 ? c.acceptance->probability(c.match_length) : 0);
  const auto seconds = [&](std::size_t guesses) {
    const std::size_t width = sequences + guesses;
    return (costs == nullptr ? linear_cost(width, kFixedSlope) : costs->at(width)) +
           static_cast<double>(guesses) * guess_seconds;
  };
  double tokens = static_cast<double>(sequences);
  double best_rate = tokens / seconds(0) * (costs == nullptr ? 1.0 : kWorthwhile);
  for (std::size_t guesses = 1; guesses <= tokens_max; ++guesses) {
    const auto next = std::max_element(worth.begin(), worth.end());
    if (next == worth.end() || *next <= 0) break;
    const auto i = static_cast<std::size_t>(next - worth.begin());
    const DraftCandidate& c = candidates[i];
    tokens += *next;
    ++taken[i];
    *next =
        taken[i] < c.available ? *next * c.acceptance->probability(c.match_length + taken[i]) : 0;
    if (const double rate = tokens / seconds(guesses); rate > best_rate) {
      best_rate = rate;
      best = taken;
    }
  }
  return best;
}

bool Probe::due() {
  if (++skipped_ < interval_) return false;
  skipped_ = 0;
  interval_ = std::min(interval_ * 2, kIntervalMax);
  return true;
}

}  // namespace holdfast::runtime
