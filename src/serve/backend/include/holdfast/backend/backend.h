// Backend: the one interface over whatever runs models (native engine children, external engines,
// peers).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"
#include "holdfast/observe/exposition.h"
#include "holdfast/observe/trace.h"

namespace holdfast::backend {

enum class ModelState : std::uint8_t { kCold, kLoading, kReady, kFailed };
// "cold", "loading", "ready", "failed".
std::string_view model_state_name(ModelState state);

// What is known of a model without loading it.
struct ModelFacts {
  std::string id;                    // "name:tag", as listed
  std::vector<std::string> aliases;  // other names that resolve to it
  std::int64_t created = 0;          // Unix seconds of the import
  std::string architecture;          // "llama"
  std::uint64_t context_length =
      0;                         // tokens, as served (not the trained maximum where that is larger)
  std::string quantization;      // "Q4_K_M"
  std::uint64_t parameters = 0;  // count of weights
  std::uint64_t size_bytes = 0;  // of the pack on disk
  std::string digest;            // "sha256:<64 hex>"
  std::string license;           // as the model states it; may be empty
  std::vector<std::string>
      capabilities;  // of: completion, tools, vision, thinking, embedding, insert
  bool has_chat_template = false;
  // It can be held to a tool choice, to one tool call, and to a response format.
  bool constrained = false;
  ModelState state = ModelState::kCold;
  bool pinned = false;  // neither idle time nor another model's need unloads it
  // With kLoading: "verifying" or "warming", how far (0..1), and how long it may still take.
  std::string loading_state = {};
  double loading_progress = 0;
  std::uint64_t loading_left_ms = 0;
};

// A loaded (or loading) model and the process that runs it.
struct EngineFacts {
  std::string model;  // ModelFacts::id
  ModelState state = ModelState::kLoading;
  std::int64_t pid = 0;
  std::string isa;  // kernels in use: "avx512"
  std::uint32_t threads = 0;
  std::uint64_t context_length = 0;
  std::uint64_t weights_bytes = 0;
  std::uint64_t kv_bytes = 0;
  std::uint64_t scratch_bytes = 0;
  std::uint32_t running = 0;         // sequences in the batch
  std::uint32_t waiting = 0;         // sequences not admitted yet
  std::uint32_t slots = 0;           // sequences that can run together; 0: unknown
  double kv_usage = 0;               // 0..1
  std::string speculation;           // how it guesses ahead: "off", "ngram", "auto", "draft"
  std::uint64_t draft_tokens = 0;    // guessed since the backend began
  std::uint64_t draft_accepted = 0;  // of these, right
  std::uint64_t prefix_queries = 0;  // prompt tokens looked up in the prefix cache
  std::uint64_t prefix_hits = 0;     // of these, found
  std::uint64_t preemptions = 0;     // sequences that had to start again for a higher class
  std::uint64_t pauses = 0;          // steps that sequences missed for want of KV pages
  std::uint64_t steps = 0;           // forward passes
  std::uint32_t restarts = 0;
  std::int64_t loaded_at = 0;   // Unix seconds
  std::int64_t expires_at = 0;  // Unix seconds when idle unloading is due; 0: never
  std::uint64_t load_ms = 0;
  bool pinned = false;  // neither idle time nor another model's need unloads it
  // With kLoading: "verifying" or "warming", how far (0..1), and how long it may still take.
  std::string loading_state = {};
  double loading_progress = 0;
  std::uint64_t loading_left_ms = 0;

  // Blocks of the KV cache and the tokens that one holds; 0: unknown.
  std::uint64_t kv_blocks = 0;
  std::uint32_t kv_block_tokens = 0;
};

struct Stats {
  std::vector<EngineFacts> engines;
  std::uint64_t engine_restarts_total = 0;
  // Of supervised engines, as they showed them last, with the labels `backend` and `model`.
  std::vector<observe::ScrapedFamily> scraped = {};
};

// A way to a model: the model and one of the backends that can run it.
struct RouteFacts {
  std::string model;   // ModelFacts::id
  std::string target;  // "native", or the name of an upstream
  std::string kind;    // "native", "openai", "process"
  std::string state;   // "closed" (in use), "open" (failing: not tried for a while), "half_open"
  std::string health;  // of a supervised process: "stopped", "starting", "ready", "failed"; else ""
  std::uint32_t slots = 0;      // requests that it runs together
  std::uint32_t under_way = 0;  // sent there and not ended, over all its models
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
  std::uint64_t retry_after_ms = 0;  // while open
};

// Messages and tools are JSON in the form of the OpenAI API, validated by the gateway: the
// arguments of a tool call are JSON in a string.
struct ChatPrompt {
  json::Value messages;     // array of objects with role and content
  json::Value tools;        // array, or null
  json::Value tool_choice;  // "none", "auto", "required", the object of one function; or null
  std::optional<bool> parallel_tool_calls;  // false: one call at most
  json::Object template_arguments;          // enable_thinking and the like
  bool add_generation_prompt = true;
};
struct TextPrompt {
  std::string
      text;  // tokenised with the model's own leading tokens; never parsed for special tokens
};
struct TokenPrompt {
  std::vector<std::int32_t> tokens;  // used as they are
};
using Prompt = std::variant<ChatPrompt, TextPrompt, TokenPrompt>;

struct SamplingParams {
  double temperature = 1.0;  // 0: greedy
  double top_p = 1.0;
  std::int32_t top_k = 0;  // 0: off
  double min_p = 0.0;
  double typical_p = 1.0;
  double repeat_penalty = 1.0;
  std::int32_t repeat_last_n = 64;  // tokens looked back; 0: off, -1: whole context
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  std::optional<std::int64_t> seed;  // absent: the backend draws one and reports it in Finished
  std::vector<std::pair<std::int32_t, float>> logit_bias;
  bool ignore_eos = false;
};

// Latency class. The scheduler serves a higher class first and makes lower ones wait or start
// again.
enum class Priority : std::uint8_t { kRealtime, kInteractive, kBatch };
// "realtime", "interactive", "batch".
std::string_view priority_name(Priority priority);

// On whose behalf a request runs, as the server derived it from keys: nothing here comes from a
// field of the request.
struct Caller {
  std::string tenant;        // shares of the machine are counted by it; empty: the local user
  std::uint32_t weight = 1;  // share relative to other tenants, 1..1000
  std::string cache_domain;  // opaque, at most 64 bytes: prompts are reused only inside one domain;
                             // empty: never
};

// Where a request stands in a trace, for backends that pass it on.
struct TraceLink {
  observe::TraceContext context;  // sampled: its spans are children of context.span_id
  std::string state;              // tracestate of the caller, clean; may be empty
};

struct GenerateRequest {
  std::string model;  // id or alias
  Caller caller;
  Priority priority = Priority::kInteractive;
  // Whatever state it is in by then, it ends with kDeadline.
  std::optional<std::chrono::steady_clock::time_point> deadline;
  // Another answer of a request that was let in: it is not weighed again.
  bool follow_up = false;
  bool keep_prompt = true;    // false: later prompts find nothing of this one
  bool wait_for_load = true;  // false: a model that is not ready fails at once with kModelLoading
  std::string request_id;     // for logs
  std::optional<TraceLink> trace = {};
  Prompt prompt;
  SamplingParams sampling;
  std::optional<std::uint32_t> max_tokens;  // absent or too large: what the context leaves
  std::vector<std::string> stop;            // never part of the text, also across token borders
  bool want_logprobs = false;               // TokenEvent::tokens carry log probabilities
  std::uint32_t top_logprobs = 0;           // alternatives per token, 0..20
  bool want_prompt_logprobs = false;  // Started::prompt is filled; kUnsupported where it cannot be
  // {"type": "json_object"} or {"type": "json_schema", ...} as in the OpenAI API; null: text.
  json::Value response_format = {};
  // Idle time until the model is unloaded, from now on; absent: as it was. Negative: never.
  std::optional<std::chrono::milliseconds> keep_alive;
};

// Whether the answer must be held to something, which only some backends can:
// ModelFacts::constrained.
bool is_constrained(const GenerateRequest& request);

struct TokenAlternative {
  std::int32_t id = 0;
  std::string bytes;  // may be part of a UTF-8 character
  float logprob = 0;
};

struct TokenInfo {
  std::int32_t id = 0;
  std::string bytes;
  float logprob = 0;  // natural logarithm, before temperature and truncation of the distribution
  std::vector<TokenAlternative> top;  // best first
};

struct Started {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t cached_tokens = 0;
  std::vector<TokenInfo>
      prompt;  // only with want_prompt_logprobs; the first has logprob NaN and no alternatives
};

// A part of a call of a tool. The first part of a call has its name; later ones have only more of
// the arguments. Calls are numbered from 0 in the order in which they begin; their parts may be
// interleaved.
struct ToolCallPart {
  std::uint32_t call = 0;
  std::string id;         // as the model's engine named it; of the first part, may be empty
  std::string name;       // of the first part, never empty there; empty in later ones
  std::string arguments;  // whole UTF-8 characters; all of a call are meant to be a JSON object
};

// Text that may be shown now: whole UTF-8 characters, nothing that could become a stop string. The
// text of a token may arrive with a later event, so `text` can be empty and need not equal the
// tokens' bytes.
struct TokenEvent {
  std::string text;
  std::vector<TokenInfo> tokens;         // logprobs only if asked for
  std::vector<ToolCallPart> tool_calls;  // only where tools were given
};

enum class FinishReason : std::uint8_t { kStop, kLength, kCancelled, kContentFilter, kToolCalls };
// "stop", "length", "cancelled", "content_filter", "tool_calls".
std::string_view finish_reason_name(FinishReason reason);

struct Usage {
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
  std::uint32_t cached_tokens = 0;
  std::uint32_t reasoning_tokens = 0;
};

struct Timings {
  std::uint64_t load_ns = 0;   // waiting for the model
  std::uint64_t queue_ns = 0;  // waiting for a place in the batch
  std::uint64_t prefill_ns = 0;
  std::uint64_t decode_ns = 0;
};

struct Finished {
  FinishReason reason = FinishReason::kStop;
  std::string stop_string;  // the one that matched, if one did
  Usage usage;
  Timings timings;
  std::int64_t seed = 0;
};

// Why a call failed, where the answer needs more than Error's code. The gateway turns it into
// status and API code.
enum class FailureKind : std::uint8_t {
  kOther,  // by Error::code()
  kModelNotFound,
  kContextLength,  // limit = context in tokens, actual = prompt in tokens
  kModelLoading,   // retry_after_ms is the estimate
  kOverloaded,     // the queue is full
  kDraining,
  kEngineCrashed,    // the child died under this request
  kModelDoesNotFit,  // limit = bytes available, actual = bytes required
  kModelCorrupt,
  kTemplate,         // raised by the chat template; client_message is the template's own text
  kUnknownToken,     // an id outside the vocabulary in logit_bias or a token prompt
  kDeadline,         // the request's deadline passed
  kRateLimited,      // an upstream refused for our rate: retry_after_ms
  kUpstream,         // an upstream failed or answered what cannot be understood
  kUpstreamTimeout,  // an upstream did not answer in time
  kNoRoute,          // no backend may or can serve the model now
};

struct Failure {
  Error error;
  FailureKind kind = FailureKind::kOther;
  std::uint64_t limit = 0;
  std::uint64_t actual = 0;
  std::uint64_t retry_after_ms = 0;
  // kModelLoading: "verifying", "decrypting", "warming"; how far, 0..1, and how long it may take.
  std::string loading_state = {};
  double loading_progress = 0;
};

// Receives one generation. Called on a thread of the backend, never concurrently for one request,
// in this order: at most one on_started, any number of on_token, then exactly one of on_finished
// and on_error, also after cancel() (reason kCancelled). Must return quickly: it runs where tokens
// are read. May call cancel(), nothing else.
class GenerateObserver {
 public:
  virtual ~GenerateObserver() = default;
  virtual void on_started(
      Started started) = 0;  // the prompt was accepted: no kContextLength after it
  virtual void on_token(TokenEvent event) = 0;
  virtual void on_finished(Finished finished) = 0;
  virtual void on_error(Failure failure) = 0;
};

// One running generation. Thread-safe. Dropping it cancels.
class RequestHandle {
 public:
  virtual ~RequestHandle() = default;
  // Asks the generation to end; returns at once. Harmless when it has ended.
  virtual void cancel() = 0;
};

template <typename T>
using Done = std::function<void(std::variant<T, Failure>)>;

struct TokenizeRequest {
  std::string model;
  std::string text;
  bool add_special = false;
  bool with_pieces = false;
};
struct Tokenized {
  std::vector<std::int32_t> tokens;
  std::vector<std::string> pieces;  // bytes of each token, if asked for
};

// Thread-safe. Callbacks run on a thread of the backend, or on the calling thread before the call
// returns (so no lock may be held while calling). Every callback is called exactly once, also when
// the backend shuts down.
class Backend {
 public:
  virtual ~Backend() = default;

  // All models that can be asked for; from memory, without blocking.
  virtual std::vector<ModelFacts> models() = 0;
  virtual Stats stats() = 0;
  // Empty for a backend that does not choose among others.
  virtual std::vector<RouteFacts> routes() { return {}; }

  // Loads the model if it is cold. Errors come through the observer only. Null: it was refused
  // before it began, and the observer has been told.
  virtual std::unique_ptr<RequestHandle> generate(GenerateRequest request,
                                                  std::shared_ptr<GenerateObserver> observer) = 0;

  virtual void tokenize(TokenizeRequest request, Done<Tokenized> done) = 0;
  virtual void detokenize(std::string model, std::vector<std::int32_t> tokens,
                          Done<std::string> done) = 0;
  // The prompt text that generate() would tokenise.
  virtual void render(std::string model, ChatPrompt prompt, Done<std::string> done) = 0;

  // Done when the model is ready. keep_alive: time idle until it is unloaded; absent: the
  // configured one; negative: never.
  virtual void load(std::string model, std::optional<std::chrono::milliseconds> keep_alive,
                    Done<EngineFacts> done) = 0;
  // Running generations end first with kCancelled. Unloading a cold model succeeds.
  virtual void unload(std::string model, Done<std::monostate> done) = 0;
};

}  // namespace holdfast::backend
