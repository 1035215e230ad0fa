// Answers of the generating routes: whole bodies and chunks of a stream, for chat and for
// completions.
#pragma once

#include <cstdint>
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
  std::vector<backend::TokenInfo> tokens;  // only if log probabilities were asked for
  std::size_t text_offset = 0;             // characters before `tokens`, for completions
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
  AnswerFormat(Api api, Identity identity, bool want_logprobs, bool include_usage);

  const std::string& id() const { return identity_.id; }

  // Body of a whole answer, without choices and usage.
  json::Object body() const;
  json::Value choice(std::uint32_t index, const ChoiceText& text,
                     std::string_view finish_reason) const;

  // Frames of a stream.
  std::string first_frame(std::uint32_t index) const;  // chat: the role; completions: nothing
  void append_delta_frame(std::string& out, std::uint32_t index, const ChoiceText& delta) const;
  std::string finish_frame(std::uint32_t index, std::string_view finish_reason) const;
  std::string usage_frame(const json::Object& usage) const;

 private:
  std::string frame(const json::Object& choice) const;
  std::string logprobs_frame(std::uint32_t index, const ChoiceText& delta) const;
  json::Value logprobs(const ChoiceText& text) const;

  Api api_;
  Identity identity_;
  bool want_logprobs_;
  bool include_usage_;
  std::string prefix_;  // of every chunk, up to the choices
  // What stands around index and text of a delta without log probabilities.
  std::string delta_open_, delta_middle_, delta_close_;
};

json::Object usage_object(const backend::Usage& usage);
// Characters, which is what clients index text by.
std::size_t count_characters(std::string_view bytes);

}  // namespace holdfast::gateway
