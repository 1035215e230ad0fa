#include "answer.h"

#include <algorithm>
#include <cmath>

#include "holdfast/base/utf8.h"

namespace holdfast::gateway {
namespace {

// What the OpenAI API gives for a probability of zero; JSON has no infinity.
constexpr double kLogprobMin = -9999.0;

json::Value logprob_value(float logprob) {
  if (std::isnan(logprob)) return nullptr;
  return std::max(static_cast<double>(logprob), kLogprobMin);
}

json::Array byte_array(std::string_view bytes) {
  json::Array out;
  out.reserve(bytes.size());
  for (const char c : bytes) out.emplace_back(static_cast<int>(static_cast<unsigned char>(c)));
  return out;
}

template <typename Token>
json::Object chat_token(const Token& token) {
  return {{"token", token.bytes},
          {"logprob", logprob_value(token.logprob)},
          {"bytes", byte_array(token.bytes)}};
}

json::Value chat_logprobs(const ChoiceText& text) {
  json::Array content;
  content.reserve(text.tokens.size());
  for (const backend::TokenInfo& token : text.tokens) {
    json::Object item = chat_token(token);
    json::Array top;
    for (const backend::TokenAlternative& other : token.top) top.emplace_back(chat_token(other));
    item.set("top_logprobs", std::move(top));
    content.emplace_back(std::move(item));
  }
  return json::Object{{"content", std::move(content)}, {"refusal", nullptr}};
}

json::Object tool_call(const backend::ToolCallPart& call) {
  return {{"id", call.id},
          {"type", "function"},
          {"function", json::Object{{"name", call.name}, {"arguments", call.arguments}}}};
}

// Keys must be text, also for a token that is part of a character.
std::string token_name(std::string_view bytes) {
  if (is_valid_utf8(bytes)) return std::string(bytes);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out = "bytes:";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

json::Value top_object(const backend::TokenInfo& token) {
  if (std::isnan(token.logprob)) return nullptr;
  json::Object out;
  for (const backend::TokenAlternative& other : token.top)
    out.set(token_name(other.bytes), logprob_value(other.logprob));
  out.set(token_name(token.bytes), logprob_value(token.logprob));
  return out;
}

json::Value completion_logprobs(const ChoiceText& text) {
  json::Array tokens, values, top, offsets;
  // A character is counted with its first byte, so a token that ends inside one is followed at the
  // same offset + 1.
  std::size_t offset = text.text_offset;
  for (const backend::TokenInfo& token : text.tokens) {
    tokens.emplace_back(token_name(token.bytes));
    values.emplace_back(logprob_value(token.logprob));
    top.emplace_back(top_object(token));
    offsets.emplace_back(static_cast<std::int64_t>(offset));
    offset += count_characters(token.bytes);
  }
  return json::Object{{"tokens", std::move(tokens)},
                      {"token_logprobs", std::move(values)},
                      {"top_logprobs", std::move(top)},
                      {"text_offset", std::move(offsets)}};
}

}  // namespace

std::size_t count_characters(std::string_view bytes) {
  return static_cast<std::size_t>(std::count_if(bytes.begin(), bytes.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

json::Object usage_object(const backend::Usage& usage) {
  return {
      {"prompt_tokens", usage.prompt_tokens},
      {"completion_tokens", usage.completion_tokens},
      {"total_tokens", static_cast<std::int64_t>(usage.prompt_tokens) + usage.completion_tokens},
      {"prompt_tokens_details", json::Object{{"cached_tokens", usage.cached_tokens}}},
      {"completion_tokens_details", json::Object{{"reasoning_tokens", usage.reasoning_tokens}}}};
}

AnswerFormat::AnswerFormat(Api api, Identity identity, bool want_logprobs, bool include_usage,
                           bool older_functions)
    : api_(api),
      identity_(std::move(identity)),
      want_logprobs_(want_logprobs),
      include_usage_(include_usage),
      older_functions_(older_functions) {
  json::Object head = body();
  if (api_ == Api::kChat) head.set("object", "chat.completion.chunk");
  prefix_ = json::write(std::move(head));
  prefix_.back() = ',';  // the closing brace
  const bool chat = api_ == Api::kChat;
  delta_open_ = "data: " + prefix_ + "\"choices\":[{\"index\":";
  delta_middle_ = chat ? ",\"delta\":{\"content\":" : ",\"text\":";
  delta_close_ = std::string(chat ? "}" : "") + ",\"logprobs\":null,\"finish_reason\":null}]" +
                 (include_usage_ ? ",\"usage\":null" : "") + "}\n\n";
}

json::Object AnswerFormat::body() const {
  return {{"id", identity_.id},
          {"object", api_ == Api::kChat ? "chat.completion" : "text_completion"},
          {"created", identity_.created},
          {"model", identity_.model},
          {"system_fingerprint", identity_.fingerprint},
          {"service_tier", identity_.service_tier}};
}

json::Value AnswerFormat::logprobs(const ChoiceText& text) const {
  if (!want_logprobs_) return nullptr;
  return api_ == Api::kChat ? chat_logprobs(text) : completion_logprobs(text);
}

std::string_view AnswerFormat::reason_name(backend::FinishReason reason) const {
  if (older_functions_ && reason == backend::FinishReason::kToolCalls) return "function_call";
  return backend::finish_reason_name(reason);
}

json::Object AnswerFormat::message(const ChoiceText& text) const {
  const bool only_calls = text.text.empty() && !text.tool_calls.empty();
  json::Object out{{"role", "assistant"},
                   {"content", only_calls ? json::Value() : json::Value(text.text)},
                   {"refusal", nullptr},
                   {"annotations", json::Array()}};
  if (text.tool_calls.empty()) return out;
  if (older_functions_) {
    const backend::ToolCallPart& call = text.tool_calls.front();
    out.set("function_call", json::Object{{"name", call.name}, {"arguments", call.arguments}});
    return out;
  }
  json::Array calls;
  for (const backend::ToolCallPart& call : text.tool_calls) calls.emplace_back(tool_call(call));
  out.set("tool_calls", std::move(calls));
  return out;
}

json::Value AnswerFormat::choice(std::uint32_t index, const ChoiceText& text,
                                 backend::FinishReason reason) const {
  json::Object out{{"index", index}};
  if (api_ == Api::kChat) {
    out.set("message", message(text));
  } else {
    out.set("text", text.text);
  }
  out.set("logprobs", logprobs(text));
  out.set("finish_reason", reason_name(reason));
  return out;
}

std::string AnswerFormat::frame(const json::Object& choice) const {
  std::string out = "data: " + prefix_ + "\"choices\":[" + json::write(choice) + "]";
  if (include_usage_) out += ",\"usage\":null";
  out += "}\n\n";
  return out;
}

std::string AnswerFormat::first_frame(std::uint32_t index) const {
  if (api_ == Api::kCompletions) return {};
  return frame({{"index", index},
                {"delta", json::Object{{"role", "assistant"}, {"content", ""}}},
                {"logprobs", nullptr},
                {"finish_reason", nullptr}});
}

// The frame of nearly every token, so it is put together from its constant parts.
void AnswerFormat::append_delta_frame(std::string& out, std::uint32_t index,
                                      const ChoiceText& delta) const {
  if (want_logprobs_) {
    out += logprobs_frame(index, delta);
    return;
  }
  out += delta_open_;
  out += std::to_string(index);
  out += delta_middle_;
  json::append_string(out, delta.text);
  out += delta_close_;
}

std::string AnswerFormat::logprobs_frame(std::uint32_t index, const ChoiceText& delta) const {
  json::Object out{{"index", index}};
  if (api_ == Api::kChat) {
    out.set("delta", json::Object{{"content", delta.text}});
  } else {
    out.set("text", delta.text);
  }
  out.set("logprobs", logprobs(delta));
  out.set("finish_reason", nullptr);
  return frame(out);
}

std::string AnswerFormat::tool_call_frame(std::uint32_t index,
                                          const backend::ToolCallPart& part) const {
  const json::Object more{{"arguments", part.arguments}};
  json::Object delta;
  if (older_functions_) {
    delta.set("function_call",
              part.name.empty() ? more : json::Object{{"name", part.name}, {"arguments", ""}});
  } else {
    json::Object call{{"index", part.call}};
    if (part.name.empty()) {
      call.set("function", more);
    } else {
      for (const json::Member& member : tool_call({0, part.id, part.name, {}}))
        call.set(member.key, member.value);
    }
    delta.set("tool_calls", json::Array{std::move(call)});
  }
  return frame({{"index", index},
                {"delta", std::move(delta)},
                {"logprobs", nullptr},
                {"finish_reason", nullptr}});
}

std::string AnswerFormat::finish_frame(std::uint32_t index, backend::FinishReason reason) const {
  json::Object out{{"index", index}};
  if (api_ == Api::kChat) {
    out.set("delta", json::Object());
  } else {
    out.set("text", "");
  }
  out.set("logprobs", nullptr);
  out.set("finish_reason", reason_name(reason));
  return frame(out);
}

std::string AnswerFormat::usage_frame(const json::Object& usage) const {
  return "data: " + prefix_ + "\"choices\":[],\"usage\":" + json::write(usage) + "}\n\n";
}

}  // namespace holdfast::gateway
