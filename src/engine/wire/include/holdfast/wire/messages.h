// The messages between the gateway and a child, as values. Format: docs/formats/wire.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/wire/frame.h"

namespace holdfast::wire {

// Limits; the decoder compares every count with them and with the bytes that are there before it
// allocates.
inline constexpr std::size_t kTextBytesMax = std::size_t{16} << 20;  // prompts, JSON documents
inline constexpr std::size_t kTokensMax = std::size_t{8} << 20;  // one per byte of the largest body
inline constexpr std::size_t kPieceBytesMax = 64 * 1024;         // spelling of one token
inline constexpr std::size_t kErrorTextBytesMax = 64 * 1024;
inline constexpr std::size_t kStopStringsMax = 32;
inline constexpr std::size_t kStopStringBytesMax = 4 * 1024;
inline constexpr std::size_t kLogitBiasesMax = 64 * 1024;
inline constexpr std::size_t kTopLogprobsMax = 64;
inline constexpr std::size_t kTokensPerMessageMax = 4096;           // in one Token message
inline constexpr std::size_t kRowFloatsMax = std::size_t{4} << 20;  // in one Rows message
inline constexpr std::size_t kPhaseBytesMax = 256;

// First message in each direction.
struct Hello {
  std::uint32_t version = kProtocolVersion;
  std::string build;  // of the sender, for the log
  bool operator==(const Hello&) const = default;
};

// JSON: threads, context, kv_type, isa, batch_max, prefill_chunk, memory_limit_bytes, and the
// meaning of the inherited descriptors from 4 on. Answered by Ready or ErrorReply with request 0.
struct Load {
  std::string config_json;
  bool operator==(const Load&) const = default;
};

// JSON: vocabulary size, context, memory plan, ISA, model facts, sandbox layers.
struct Ready {
  std::string info_json;
  bool operator==(const Ready&) const = default;
};

enum class ErrorReason : std::uint8_t {
  kNone = 0,
  kContextLength = 1,
  kQueueFull = 2,
  kUnknownToken = 3,
  kTemplate = 4,  // raised by the chat template; `message` is the template's own
  kDoesNotFit = 5,
  kDeadline = 6,
};

// The end of a request that failed; request 0: the child itself, which then ends.
struct ErrorReply {
  std::uint64_t request = 0;
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // for the client
  std::string hint;
  std::string detail;  // for the log
  // Why, where an answer needs more than the code; numbers as in ErrorReason. 0: nothing to add.
  std::uint8_t reason = 0;
  std::uint64_t limit = 0;   // of kContextLength: tokens; of kDoesNotFit: bytes
  std::uint64_t actual = 0;  // likewise
  bool operator==(const ErrorReply&) const = default;
};

struct LogitBias {
  std::int32_t token = 0;
  double bias = 0;
  bool operator==(const LogitBias&) const = default;
};

// Every number is finite; ranges are checked by the gateway, which knows the field's name, and by
// the sampler.
struct SamplingParams {
  double temperature = 1;   // 0: greedy
  std::uint32_t top_k = 0;  // 0: off
  double top_p = 1;
  double min_p = 0;
  double typical_p = 1;
  double repeat_penalty = 1;
  std::int32_t repeat_last_n = 64;  // 0: off, -1: whole context
  double presence_penalty = 0;
  double frequency_penalty = 0;
  std::vector<LogitBias> logit_bias;
  std::uint64_t seed = 0;
  std::optional<std::uint32_t> max_tokens;  // absent: as many as fit the context
  std::vector<std::string> stop;
  bool ignore_eos = false;
  std::optional<std::uint32_t> logprobs;  // alternatives per token; 0: the chosen token's only
  bool echo = false;
  bool operator==(const SamplingParams&) const = default;
};

inline constexpr std::size_t kTenantBytesMax = 256;
inline constexpr std::size_t kCacheDomainBytesMax = 64;
inline constexpr std::uint32_t kWeightMax = 1000;

// Latency class, in the order of precedence.
enum class Priority : std::uint8_t { kRealtime = 0, kInteractive = 1, kBatch = 2 };

// How a request is scheduled and what it may reuse.
struct Scheduling {
  std::string tenant;        // shares are counted by it
  std::uint32_t weight = 1;  // 1..kWeightMax
  Priority priority = Priority::kInteractive;
  std::string cache_domain;                  // bytes; empty: nothing is reused or kept
  bool keep_prompt = true;                   // false: reused, but nothing new is kept
  std::optional<std::uint32_t> deadline_ms;  // from now
  bool operator==(const Scheduling&) const = default;
};

enum class PromptKind : std::uint8_t { kTokens = 0, kChat = 1, kText = 2 };

// Answered by Started, Token..., Finished, or by ErrorReply at any point.
struct Submit {
  std::uint64_t request = 0;
  PromptKind kind = PromptKind::kText;
  std::vector<std::int32_t> tokens;  // kTokens
  std::string text;                  // kChat: JSON {messages, tools, ...}; kText: the prompt
  bool add_special = true;           // kText
  bool parse_special = false;        // kText
  bool want_margins = false;         // top-1 minus top-2 logit per token
  SamplingParams sampling;
  Scheduling scheduling = {};
  bool operator==(const Submit&) const = default;
};

struct Started {
  std::uint64_t request = 0;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;
  bool operator==(const Started&) const = default;
};

struct TopLogprob {
  std::int32_t token = 0;
  float logprob = 0;
  std::string piece;  // bytes, maybe not whole characters
  bool operator==(const TopLogprob&) const = default;
};

struct TokenDetail {
  std::int32_t token = 0;
  std::optional<float> logprob;
  std::optional<float> margin;
  std::string piece;  // with logprobs only
  std::vector<TopLogprob> top;
  bool from_prompt = false;  // echo
  bool end = false;          // an end token: not part of the answer's text
  bool operator==(const TokenDetail&) const = default;
};

// Tokens as they are made and the text that they complete. The text is whole characters and may be
// empty or belong to earlier tokens: bytes wait for their character, and for a stop string that
// they may begin.
struct Token {
  std::uint64_t request = 0;
  std::vector<TokenDetail> tokens;
  std::string text;
  bool operator==(const Token&) const = default;
};

enum class FinishReason : std::uint8_t { kStop = 0, kLength = 1, kCancelled = 2, kError = 3 };
std::string_view finish_reason_name(FinishReason reason);

struct Usage {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
  std::uint32_t cached_tokens = 0;
  bool operator==(const Usage&) const = default;
};

struct Timings {
  std::uint64_t queue_ns = 0;
  std::uint64_t prefill_ns = 0;
  std::uint64_t decode_ns = 0;
  bool operator==(const Timings&) const = default;
};

struct Finished {
  std::uint64_t request = 0;
  FinishReason reason = FinishReason::kStop;
  std::string stop_match;  // the stop string that ended it, if one did
  Usage usage;
  Timings timings;
  bool operator==(const Finished&) const = default;
};

// No answer of its own: the request ends with Finished{kCancelled}. An unknown request is ignored:
// it may have ended.
struct Cancel {
  std::uint64_t request = 0;
  bool operator==(const Cancel&) const = default;
};

// kImportance: sums of squared activations, one row per place where matrices read them.
enum class EvaluateKind : std::uint8_t {
  kLogits = 0,
  kEmbedding = 1,
  kPooled = 2,
  kScore = 3,
  kImportance = 4,
};
enum class PositionChoice : std::uint8_t { kLast = 0, kAll = 1, kList = 2 };

// Answered by Rows... and Finished, or Scores and Finished, or ErrorReply.
struct Evaluate {
  std::uint64_t request = 0;
  EvaluateKind kind = EvaluateKind::kLogits;
  std::vector<std::int32_t> tokens;
  PositionChoice choice = PositionChoice::kLast;
  std::vector<std::uint32_t> positions;  // kList, ascending
  std::uint32_t score_from = 1;          // kScore: index of the first token that is scored
  bool operator==(const Evaluate&) const = default;
};

// A piece of one row of results.
struct Rows {
  std::uint64_t request = 0;
  std::uint32_t row = 0;      // position in the prompt; 0 for a pooled result
  std::uint32_t columns = 0;  // of the whole row
  std::uint32_t first_column = 0;
  std::vector<float> values;  // first_column + values.size() <= columns
  bool operator==(const Rows&) const = default;
};

struct Scores {
  std::uint64_t request = 0;
  double nll_sum = 0;  // natural logarithm
  std::uint64_t count = 0;
  bool operator==(const Scores&) const = default;
};

struct Tokenize {
  std::uint64_t request = 0;
  std::string text;
  bool add_special = false;
  bool parse_special = false;
  bool with_pieces = false;
  bool operator==(const Tokenize&) const = default;
};

struct Tokens {
  std::uint64_t request = 0;
  std::vector<std::int32_t> tokens;
  std::vector<std::string> pieces;  // empty, or one per token
  bool operator==(const Tokens&) const = default;
};

struct Detokenize {
  std::uint64_t request = 0;
  std::vector<std::int32_t> tokens;
  bool remove_special = false;
  bool unparse_special = false;
  bool operator==(const Detokenize&) const = default;
};

struct Text {
  std::uint64_t request = 0;
  std::string text;  // bytes
  bool operator==(const Text&) const = default;
};

struct Render {
  std::uint64_t request = 0;
  std::string chat_json;
  bool operator==(const Render&) const = default;
};

struct Rendered {
  std::uint64_t request = 0;
  std::string text;
  bool operator==(const Rendered&) const = default;
};

struct Stats {
  std::uint64_t request = 0;
  bool operator==(const Stats&) const = default;
};

// JSON: running, waiting, kv usage, counters.
struct StatsReply {
  std::uint64_t request = 0;
  std::string stats_json;
  bool operator==(const StatsReply&) const = default;
};

// The child finishes nothing and exits with status 0.
struct Shutdown {
  bool operator==(const Shutdown&) const = default;
};

// JSON: the meaning of the inherited descriptors and the options of the import. Answered by
// ImportProgress..., then ImportDone or ErrorReply with request 0.
struct ImportRequest {
  std::string request_json;
  bool operator==(const ImportRequest&) const = default;
};

struct ImportProgress {
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::string phase;
  bool operator==(const ImportProgress&) const = default;
};

struct ImportDone {
  std::string result_json;
  bool operator==(const ImportDone&) const = default;
};

using Message =
    std::variant<Hello, Load, Submit, Cancel, Evaluate, Tokenize, Detokenize, Render, Stats,
                 Shutdown, ImportRequest, Ready, ErrorReply, Started, Token, Finished, Rows, Scores,
                 Tokens, Text, Rendered, StatsReply, ImportProgress, ImportDone>;

// A whole frame. kExhausted where a field or the frame is above its limit, kInvalidArgument for a
// number that is not finite or a message that contradicts itself.
Result<Bytes> encode(const Message& message);
// kCorrupt for anything that encode() would not have written; kUnsupported for a type that is
// unknown and may be skipped.
Result<Message> decode(const Frame& frame);
// "submit" and so on, for logs.
std::string_view message_name(const Message& message);

// Texts are cut to their limits: an error must always be sayable.
ErrorReply make_error_reply(std::uint64_t request, const Error& error);
Error to_error(const ErrorReply& reply);

}  // namespace holdfast::wire
