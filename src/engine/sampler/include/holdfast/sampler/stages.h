// The stages between logits and a token, each a function of its own. Sampler puts them in order.
//
// Rank order is: higher logit first, lower id first among equals. Every stage that returns
// candidates returns them in rank order and never returns none of a list that had some.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::sampler {

struct LogitBias {
  std::int32_t token;
  float bias;
};

// A token that may still be drawn. `weight` is scratch of the stages: exp(logit - largest logit).
struct Candidate {
  float logit;
  std::int32_t token;
  double weight = 0.0;
};

// exp(x) for x <= 0 by a fixed sequence of multiplications and additions: the C library picks its
// code by CPU, and the last bit decides draws. Relative error below 1e-15; 0 below -708.
double exp_nonpositive(double x);

// Penalty for a token that occurred `count` > 0 times: first the repetition penalty (divides a
// positive logit, multiplies another), then count * frequency + presence is subtracted.
struct Penalties {
  float repeat = 1.0f;
  float presence = 0.0f;
  float frequency = 0.0f;
  bool active() const { return repeat != 1.0f || presence != 0.0f || frequency != 0.0f; }
};
float penalized(float logit, std::int32_t count, const Penalties& penalties);

// The `k` best candidates among logits above minus infinity; one pass. kCorrupt if a logit is NaN
// or plus infinity.
Result<std::vector<Candidate>> best_candidates(std::span<const float> logits, std::size_t k);

// The logits of at least `bound` and above minus infinity, in order of id.
std::vector<Candidate> candidates_from(std::span<const float> logits, double bound);

// Fills in the weights, and adds them up in the order given, so the same list gives the same sum.
void set_weights(std::vector<Candidate>& candidates);
double total_weight(std::span<const Candidate> candidates);
// Sum of exp((logit - largest) / temperature) in order of id.
double total_weight(std::span<const float> logits, float largest, double temperature);

// Locally typical sampling: the tokens whose surprise -ln p is nearest to the entropy, as few as
// reach mass `p`.
void keep_typical(std::vector<Candidate>& candidates, double p);

// The fewest best candidates that reach the share `p` of `total`, which may count tokens that are
// not in the list.
void keep_top_p(std::vector<Candidate>& candidates, double p, double total);

// The candidates at least `min_p` times as likely as the best.
void keep_min_p(std::vector<Candidate>& candidates, double min_p);

// The candidate that a uniform number in [0, 1) selects at a temperature > 0. Precondition: not
// empty.
std::int32_t draw(std::span<const Candidate> candidates, double temperature, double uniform);

// The same over all logits in order of id, without a list. `largest` is the largest logit, finite.
std::int32_t draw_from_all(std::span<const float> logits, float largest, double temperature,
                           double uniform);

}  // namespace holdfast::sampler
