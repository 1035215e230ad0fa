// From logits to a token: penalties, truncation, temperature, and a random draw keyed by seed and
// position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/sampler/stages.h"

namespace holdfast::sampler {

// Bounds a request's table; each entry costs a lookup per token.
inline constexpr std::size_t kLogitBiasMax = 1024;
// More than any API offers.
inline constexpr std::uint32_t kTopLogprobsMax = 100;

// How one answer is sampled. Every stage is off by default, except the draw itself.
struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy, nothing below but bias and penalties counts
  std::int32_t top_k = 0;    // <= 0: off
  float typical_p = 1.0f;    // 1: off
  float top_p = 1.0f;        // 1: off; 0 keeps one token
  float min_p = 0.0f;        // 0: off
  float repeat_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::int32_t repeat_last_n = 64;  // tokens that the three penalties look back; -1: all, 0: none
  std::vector<LogitBias> logit_bias = {};  // added one after the other
  std::uint64_t seed = 0;
  std::uint32_t choice =
      0;  // which of several answers to one request: each has its own random numbers
};

// What the caller wants besides the token, and what it rules out.
struct SampleWants {
  bool logprobs = false;           // fills Sample::logprob and, with it, top
  std::uint32_t top_logprobs = 0;  // entries of Sample::top, at most kTopLogprobsMax
  // Bit t of word t / 64 allows token t; empty allows all. A grammar sets it.
  std::span<const std::uint64_t> allowed = {};
};

struct Sample {
  std::int32_t token = 0;
  // Natural log-probabilities under the model's own distribution: before bias, penalties, mask and
  // temperature.
  double logprob = 0.0;
  std::vector<std::pair<std::int32_t, double>> top;  // best first
  // Greedy only: by how much the chosen logit leads the next one; infinite if there is no other.
  float margin = 0.0f;
};

// Samples one answer. The result for a position depends on the parameters, the logits, the accepted
// tokens and the position, never on other sequences or on how often sample() was called. Owned by
// its sequence; thread-compatible.
class Sampler {
 public:
  // kInvalidArgument names the parameter that is out of range, or the token id that is not in the
  // vocabulary.
  static Result<Sampler> create(SamplingParams params, std::size_t vocab_size);

  // The model's logits, `raw` [vocab_size], are read where they lie; only where bias, penalties or
  // a mask change them are they copied, to `scratch`, which is the caller's so that many samplers
  // share one. `position` is the place of the new token in its sequence. kCorrupt if a logit is NaN
  // or plus infinity; kInternal if no token is allowed or all are minus infinity.
  Result<Sample> sample(std::span<const float> raw, std::uint64_t position,
                        const SampleWants& wants, std::vector<float>& scratch);

  // Counts a token for the penalties: the prompt's (if they are to see it), then each sampled one.
  void accept(std::int32_t token);

  const SamplingParams& params() const { return params_; }

 private:
  Sampler(SamplingParams params, std::size_t vocab_size);

  Penalties penalties() const;
  void change_logits(std::span<float> logits) const;
  Result<std::int32_t> draw_token(std::span<const float> logits, std::uint64_t position) const;

  SamplingParams params_;
  std::size_t vocab_size_;
  std::unordered_map<std::int32_t, std::int32_t> counts_;  // tokens in the window
  std::vector<std::int32_t> window_;                       // ring of the last repeat_last_n tokens
  std::size_t window_next_ = 0;
};

}  // namespace holdfast::sampler
