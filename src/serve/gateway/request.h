// Bodies of generation requests, parsed once into validated values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api_error.h"
#include "fields.h"
#include "holdfast/backend/backend.h"
#include "holdfast/json/json.h"

namespace holdfast::gateway {

enum class Api : std::uint8_t { kChat, kCompletions };

// One request of a client: every prompt of it is answered `n` times.
struct GenerationSpec {
  Api api = Api::kChat;
  std::string model;  // as the client wrote it; empty: the default
  std::vector<backend::Prompt> prompts;
  std::uint32_t n = 1;
  std::uint32_t best_of = 1;  // >= n: that many are made, the n likeliest given back
  bool stream = false;
  bool include_usage = false;
  bool echo = false;
  bool want_logprobs = false;
  std::uint32_t top_logprobs = 0;
  backend::SamplingParams sampling;
  std::optional<std::uint32_t> max_tokens;
  std::vector<std::string> stop;
  json::Value response_format;   // as GenerateRequest has it
  bool older_functions = false;  // `functions`, so the answer has `function_call`
  std::optional<std::chrono::milliseconds> keep_alive;
  std::string service_tier;   // as asked for
  std::int64_t priority = 0;  // above 0: may be served later than others
  // prompt_cache_key and cache_salt in one form; empty: neither.
  std::string cache_salt;
  bool wait_for_load = true;  // false: 503 while the model loads

  const char* prompt_param() const { return api == Api::kChat ? "messages" : "prompt"; }
};

struct RequestLimits {
  std::uint32_t n_max = 8;
};

template <typename T>
using Parsed = std::variant<T, ApiError>;

// An object, read with the limits of the API. `body` may be empty only if `allow_empty`.
Parsed<json::Object> parse_body(std::string_view body, std::size_t bytes_max,
                                bool allow_empty = false);

Parsed<GenerationSpec> parse_chat(const json::Object& body, const RequestLimits& limits);
Parsed<GenerationSpec> parse_completion(const json::Object& body, const RequestLimits& limits);
// Messages, tools and template arguments of a chat: also for /apply-template.
std::optional<backend::ChatPrompt> parse_chat_prompt(Fields& fields);
// Why a model whose answers cannot be held to anything cannot serve this; nothing where it can.
std::optional<ApiError> needs_constraint(const GenerationSpec& spec);
// "5m", "300s", or seconds; negative: for ever.
std::optional<std::chrono::milliseconds> parse_keep_alive(Fields& fields);
// Refuses fields by which a client could steer where a request goes or with which credential.
void refuse_routing_fields(const json::Object& body, Fields& fields);
std::optional<std::vector<std::int32_t>> parse_tokens(const json::Value& value);

}  // namespace holdfast::gateway
