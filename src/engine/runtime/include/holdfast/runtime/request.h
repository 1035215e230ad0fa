// What the engine is asked, and what it answers: plain values, no wire format.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/error.h"
#include "holdfast/sampler/sampler.h"

namespace holdfast::runtime {

using RequestId = std::uint64_t;

// Continue a prompt.
struct Generate {
  std::uint32_t max_tokens = 0;  // capped at what the context leaves; 0: all that it leaves
  sampler::SamplingParams sampling;
  std::vector<std::string> stops;
  bool ignore_eos = false;     // an end token is an ordinary token
  bool want_logprobs = false;  // fill TokenOutput::logprob and ::top
  std::uint32_t top_logprobs = 0;
  bool want_prompt_logprobs = false;  // fill StartedOutput::prompt
  bool text_start = false;  // the answer begins a text: no leading space of the tokenizer's making
};

// Compute what the model makes of given tokens.
struct Evaluate {
  // kImportance: one row per slot of model::activation_slots(), the sums over all tokens of the
  // squares of the activations there.
  enum class Kind : std::uint8_t { kLogits, kHidden, kScore, kImportance };
  Kind kind = Kind::kLogits;
  std::vector<std::uint32_t> positions;  // ascending; kLogits and kHidden: one row each
  std::uint32_t score_from =
      0;  // kScore: tokens [score_from, n) are scored given those before them
};

// Latency class, in the order of precedence.
enum class Priority : std::uint8_t { kRealtime, kInteractive, kBatch };
inline constexpr std::size_t kPriorities = 3;

// How a request is scheduled and what it may reuse.
struct Scheduling {
  std::string tenant;        // shares of the machine are counted by it
  std::uint32_t weight = 1;  // share relative to other tenants
  Priority priority = Priority::kInteractive;
  std::string cache_domain;                  // prompts are reused only inside it; empty: never
  bool keep_prompt = true;                   // false: may reuse, but leaves nothing new
  std::optional<std::uint64_t> deadline_ns;  // of the monotonic clock
};

struct Request {
  RequestId id = 0;
  std::vector<std::int32_t> tokens;  // the prompt; at least one
  std::optional<Generate> generate;  // exactly one of the two
  std::optional<Evaluate> evaluate;
  Scheduling scheduling = {};
};

struct TokenAlternative {
  std::int32_t id = 0;
  std::string bytes;
  float logprob = 0;
};

struct TokenOutput {
  std::int32_t id = 0;
  std::string bytes;  // of this token alone; may be part of a character
  float logprob = 0;
  float margin = 0;  // greedy only: gap between the two largest logits
  bool end = false;  // an end token: not part of the answer's text
  std::vector<TokenAlternative> top;
};

struct StartedOutput {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;  // of these, not computed because they were before
  std::vector<TokenOutput> prompt;  // from the second token on; with want_prompt_logprobs
};

enum class FinishReason : std::uint8_t { kStop, kLength, kCancelled };

struct FinishedOutput {
  FinishReason reason = FinishReason::kStop;
  std::string stop_string;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;  // an end token counts
  std::uint32_t cached_tokens = 0;      // as in StartedOutput
  std::uint64_t queue_ns = 0;
  std::uint64_t prefill_ns = 0;
  std::uint64_t decode_ns = 0;
};

enum class FailureKind : std::uint8_t {
  kOther,
  kContextLength,
  kQueueFull,
  kUnknownToken,
  kTemplate,
  kDeadline
};

struct Failure {
  Error error;
  FailureKind kind = FailureKind::kOther;
  std::uint64_t limit = 0;
  std::uint64_t actual = 0;
};

// Receives answers on the engine's thread. Must not call back into the engine and must return
// quickly. For one request: on_started (generation only), any number of on_token / on_rows, then
// exactly one of on_finished, on_score and on_failed.
class OutputSink {
 public:
  virtual ~OutputSink() = default;
  virtual void on_started(RequestId id, StartedOutput started) = 0;
  // `text` is whole UTF-8 characters and no part of a stop string; it may lag behind the token.
  virtual void on_token(RequestId id, TokenOutput token, std::string text) = 0;
  virtual void on_finished(RequestId id, FinishedOutput finished) = 0;
  // Rows [first_row, first_row + n) of an evaluation, each `width` floats; rows of other calls may
  // be of another width.
  virtual void on_rows(RequestId id, std::uint32_t first_row, std::uint32_t width,
                       std::span<const float> values) = 0;
  // Sum of negative log-likelihoods (nats) over `count` tokens.
  virtual void on_score(RequestId id, double nll, std::uint32_t count) = 0;
  virtual void on_failed(RequestId id, Failure failure) = 0;
};

}  // namespace holdfast::runtime
