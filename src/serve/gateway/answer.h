// Answers of the generating routes: whole bodies and chunks of a stream, for chat and for
// completions.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/backend/backend.h"
#include "holdfast/json/json.h"
#include "request.h"

namespace holdfast::gateway {

// What one choice has produced, or what has been added to it since the last chunk.
struct ChoiceText {
  std::string text;
  // Of a whole answer one for each call, by its number; of a stream the parts that wait.
  std::deque<backend::ToolCallPart> tool_calls;
  std::size_t call_bytes = 0;              // that the parts of a stream take
  std::vector<backend::TokenInfo> tokens;  // only if log probabilities were asked for
  std::size_t text_offset = 0;             // characters before `tokens`, for completions

  bool empty() const { return text.empty() && tokens.empty() && tool_calls.empty(); }
};

// The constant part of an answer. Thread-compatible.
class AnswerFormat {
 public:
  struct Identity {
    std::string id;
    std::int64_t created = 0;
    std::string model;
    std::string fingerprint;
    std::string_view service_tier = "default";  // that was used
  };
  // `older_functions`: calls of tools are told as function_call.
  AnswerFormat(Api api, Identity identity, bool want_logprobs, bool include_usage,
               bool older_functions);

  const std::string& id() const { return identity_.id; }

  // Body of a whole answer, without choices and usage.
  json::Object body() const;
  json::Value choice(std::uint32_t index, const ChoiceText& text,
                     backend::FinishReason reason) const;

  // Frames of a stream.
  std::string first_frame(std::uint32_t index) const;  // chat: the role; completions: nothing
  void append_delta_frame(std::string& out, std::uint32_t index, const ChoiceText& delta) const;
  // Of the first part of a call without its arguments, or of more arguments.
  std::string tool_call_frame(std::uint32_t index, const backend::ToolCallPart& part) const;
  std::string finish_frame(std::uint32_t index, backend::FinishReason reason) const;
  std::string usage_frame(const json::Object& usage) const;

 private:
  std::string frame(const json::Object& choice) const;
  std::string logprobs_frame(std::uint32_t index, const ChoiceText& delta) const;
  json::Value logprobs(const ChoiceText& text) const;
  json::Object message(const ChoiceText& text) const;
  std::string_view reason_name(backend::FinishReason reason) const;

  Api api_;
  Identity identity_;
  bool want_logprobs_;
  bool include_usage_;
  bool older_functions_;
  std::string prefix_;  // of every chunk, up to the choices
  // What stands around index and text of a delta without log probabilities.
  std::string delta_open_, delta_middle_, delta_close_;
};

json::Object usage_object(const backend::Usage& usage);
// Characters, which is what clients index text by.
std::size_t count_characters(std::string_view bytes);

}  // namespace holdfast::gateway
