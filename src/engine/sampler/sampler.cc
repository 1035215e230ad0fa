#include "holdfast/sampler/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "holdfast/base/check.h"
#include "holdfast/sampler/philox.h"

namespace holdfast::sampler {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

Status out_of_range(const char* name, const char* range) {
  return invalid_argument(std::string(name) + " must be " + range);
}

bool within(float value, float low, float high) { return value >= low && value <= high; }

Status validate(const SamplingParams& p, std::size_t vocab_size) {
  constexpr float kHuge = std::numeric_limits<float>::max();
  if (!within(p.temperature, 0.0f, kHuge)) return out_of_range("temperature", "0 or above");
  if (!within(p.top_p, 0.0f, 1.0f)) return out_of_range("top_p", "between 0 and 1");
  if (!within(p.min_p, 0.0f, 1.0f)) return out_of_range("min_p", "between 0 and 1");
  if (!within(p.typical_p, 0.0f, 1.0f)) return out_of_range("typical_p", "between 0 and 1");
  if (!within(p.repeat_penalty, std::numeric_limits<float>::min(), kHuge)) {
    return out_of_range("repeat_penalty", "above 0");
  }
  if (!within(p.presence_penalty, -kHuge, kHuge)) return out_of_range("presence_penalty", "finite");
  if (!within(p.frequency_penalty, -kHuge, kHuge)) {
    return out_of_range("frequency_penalty", "finite");
  }
  if (p.repeat_last_n < -1) return out_of_range("repeat_last_n", "-1 or above");
  if (p.logit_bias.size() > kLogitBiasMax) {
    return out_of_range("logit_bias", "a table of at most 1024 entries");
  }
  for (const LogitBias& b : p.logit_bias) {
    if (b.token < 0 || static_cast<std::size_t>(b.token) >= vocab_size) {
      return invalid_argument("logit_bias names token " + std::to_string(b.token) +
                              ", which the vocabulary does not have");
    }
    if (!within(b.bias, -kHuge, kHuge)) return out_of_range("a logit_bias value", "finite");
  }
  return ok_status();
}

// Minus infinity for what is not allowed. Bits beyond the vocabulary are ignored.
void apply_mask(std::span<float> logits, std::span<const std::uint64_t> allowed) {
  if (allowed.empty()) return;
  HF_CHECK(allowed.size() >= (logits.size() + 63) / 64);
  for (std::size_t base = 0; base < logits.size(); base += 64) {
    const std::uint64_t word = allowed[base / 64];
    if (word == ~std::uint64_t{0}) continue;
    const std::size_t end = std::min(logits.size(), base + 64);
    for (std::size_t i = base; i < end; ++i) {
      if ((word >> (i - base) & 1) == 0) logits[i] = kMinusInfinity;
    }
  }
}

// A logit below all that top_p and min_p can keep: min_p names the smallest weight itself; and the
// tokens outside the nucleus share at most (1 - top_p) of `total`, which those below that share / n
// cannot exceed. Half of it leaves room for rounding.
double bound_of_nucleus(std::size_t n, float largest, double total, double top_p, double min_p) {
  const double rare = (1.0 - top_p) * total / static_cast<double>(n);
  return static_cast<double>(largest) + std::log(0.5 * std::max(rare, min_p));
}

}  // namespace

Result<Sampler> Sampler::create(SamplingParams params, std::size_t vocab_size) {
  HF_CHECK(vocab_size > 0 && vocab_size <= std::size_t{std::numeric_limits<std::int32_t>::max()});
  HF_TRY(validate(params, vocab_size));
  return Sampler(std::move(params), vocab_size);
}

Sampler::Sampler(SamplingParams params, std::size_t vocab_size)
    : params_(std::move(params)), vocab_size_(vocab_size) {}

Penalties Sampler::penalties() const {
  return {params_.repeat_penalty, params_.presence_penalty, params_.frequency_penalty};
}

void Sampler::accept(std::int32_t token) {
  if (params_.repeat_last_n == 0 || !penalties().active()) return;
  if (token < 0 || static_cast<std::size_t>(token) >= vocab_size_) return;
  ++counts_[token];
  if (params_.repeat_last_n < 0) return;
  if (window_.size() < static_cast<std::size_t>(params_.repeat_last_n)) {
    window_.push_back(token);
    return;
  }
  const auto oldest = counts_.find(std::exchange(window_[window_next_], token));
  if (--oldest->second == 0) counts_.erase(oldest);
  window_next_ = (window_next_ + 1) % window_.size();
}

void Sampler::change_logits(std::span<float> logits) const {
  for (const LogitBias& b : params_.logit_bias) logits[static_cast<std::size_t>(b.token)] += b.bias;
  // Each token is changed by itself, so the order of the map does not matter.
  for (const auto& [token, count] : counts_) {
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = penalized(logit, count, penalties());
  }
}

Result<std::int32_t> Sampler::draw_token(std::span<const float> logits,
                                         std::uint64_t position) const {
  const SamplingParams& p = params_;
  const double uniform = uniform_at(p.seed, position, p.choice);
  const bool top_k = p.top_k > 0;
  const bool typical = p.typical_p < 1.0f;
  const bool top_p = p.top_p < 1.0f;
  const bool min_p = p.min_p > 0.0f;
  HF_TRY_ASSIGN(std::vector<Candidate> candidates,
                best_candidates(logits, top_k ? static_cast<std::size_t>(p.top_k) : 1));
  if (candidates.empty()) return internal_error("no token can be chosen here");
  const float largest = candidates.front().logit;
  if (!top_k && !typical && !top_p && !min_p) {
    return draw_from_all(logits, largest, p.temperature, uniform);
  }
  if (!top_k && typical) candidates = candidates_from(logits, double{kMinusInfinity});
  if (typical) keep_typical(candidates, p.typical_p);
  double total = 0.0;
  if (!top_k && !typical) {
    total = top_p ? total_weight(logits, largest, 1.0) : 0.0;
    const double bound = bound_of_nucleus(logits.size(), largest, total, p.top_p, p.min_p);
    candidates = candidates_from(logits, bound);
  } else if (top_p) {
    set_weights(candidates);
    total = total_weight(candidates);
  }
  if (top_p) keep_top_p(candidates, p.top_p, total);
  if (min_p) keep_min_p(candidates, p.min_p);
  return draw(candidates, p.temperature, uniform);
}

Result<Sample> Sampler::sample(std::span<const float> raw, std::uint64_t position,
                               const SampleWants& wants, std::vector<float>& scratch) {
  HF_CHECK(raw.size() == vocab_size_ && wants.top_logprobs <= kTopLogprobsMax);
  Sample sample;
  double log_norm = 0.0;
  if (wants.logprobs) {
    const std::size_t n = std::max<std::size_t>(wants.top_logprobs, 1);
    HF_TRY_ASSIGN(std::vector<Candidate> best, best_candidates(raw, n));
    if (best.empty()) return internal_error("no token can be chosen here");
    const float largest = best.front().logit;
    log_norm = static_cast<double>(largest) + std::log(total_weight(raw, largest, 1.0));
    best.resize(std::min<std::size_t>(best.size(), wants.top_logprobs), Candidate{});
    for (const Candidate& c : best) {
      sample.top.emplace_back(c.token, static_cast<double>(c.logit) - log_norm);
    }
  }
  std::span<const float> logits = raw;
  if (!params_.logit_bias.empty() || !counts_.empty() || !wants.allowed.empty()) {
    scratch.assign(raw.begin(), raw.end());
    change_logits(scratch);
    apply_mask(scratch, wants.allowed);
    logits = scratch;
  }
  if (params_.temperature == 0.0f) {
    HF_TRY_ASSIGN(const std::vector<Candidate> best, best_candidates(logits, 2));
    if (best.empty()) return internal_error("no token can be chosen here");
    sample.token = best[0].token;
    sample.margin =
        best.size() > 1 ? best[0].logit - best[1].logit : std::numeric_limits<float>::infinity();
  } else {
    HF_TRY_ASSIGN(sample.token, draw_token(logits, position));
  }
  if (wants.logprobs) {
    sample.logprob = raw[static_cast<std::size_t>(sample.token)] - log_norm;
  }
  return sample;
}

}  // namespace holdfast::sampler
