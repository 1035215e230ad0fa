#include "holdfast/backend/upstream_answer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "holdfast/base/utf8.h"

namespace holdfast::backend {
namespace {

constexpr std::size_t kEventValuesMax = 1u << 16;
constexpr std::size_t kTokensPerEventMax = 4096;
constexpr std::size_t kAlternativesMax = 64;

Error not_understood(std::string detail) {
  return corrupt("the upstream's answer cannot be understood", std::move(detail));
}

const std::string* text_at(const json::Value& object, std::string_view key) {
  const json::Value* found = object.find(key);
  return found != nullptr && found->is_string() ? &found->as_string() : nullptr;
}

std::uint32_t count_at(const json::Value& object, std::string_view key) {
  const json::Value* found = object.find(key);
  if (found == nullptr || !found->is_int()) return 0;
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(found->as_int(), 0, std::numeric_limits<std::uint32_t>::max()));
}

float logprob_at(const json::Value& object) {
  const json::Value* found = object.find("logprob");
  if (found == nullptr || !found->is_number()) return std::numeric_limits<float>::quiet_NaN();
  return static_cast<float>(std::clamp(found->as_double(), -1e30, 0.0));
}

// The exact bytes where they are given: text cannot hold half a character.
std::string bytes_of(const json::Value& token) {
  const json::Value* bytes = token.find("bytes");
  std::string out;
  if (bytes != nullptr && bytes->is_array()) {
    for (const json::Value& b : bytes->as_array()) {
      if (!b.is_int() || b.as_int() < 0 || b.as_int() > 255) return {};
      out += static_cast<char>(b.as_int());
    }
    return out;
  }
  const std::string* text = text_at(token, "token");
  return text == nullptr ? out : *text;
}

std::int32_t id_of(const json::Value& token) {
  return static_cast<std::int32_t>(std::min<std::uint32_t>(count_at(token, "id"), INT32_MAX));
}

// {"content": [{"token","logprob","bytes","top_logprobs":[...]}]}
std::vector<TokenInfo> chat_logprobs(const json::Value& content) {
  std::vector<TokenInfo> out;
  for (const json::Value& token : content.as_array()) {
    if (out.size() >= kTokensPerEventMax || !token.is_object()) break;
    TokenInfo info;
    info.id = id_of(token);
    info.bytes = bytes_of(token);
    info.logprob = logprob_at(token);
    const json::Value* top = token.find("top_logprobs");
    if (top != nullptr && top->is_array()) {
      for (const json::Value& other : top->as_array()) {
        if (info.top.size() >= kAlternativesMax || !other.is_object()) break;
        info.top.push_back({id_of(other), bytes_of(other), logprob_at(other)});
      }
    }
    out.push_back(std::move(info));
  }
  return out;
}

// {"tokens": [...], "token_logprobs": [...], "top_logprobs": [{text: logprob}]}
std::vector<TokenInfo> text_logprobs(const json::Value& object) {
  std::vector<TokenInfo> out;
  const json::Value* tokens = object.find("tokens");
  const json::Value* values = object.find("token_logprobs");
  const json::Value* tops = object.find("top_logprobs");
  if (tokens == nullptr || !tokens->is_array()) return out;
  for (std::size_t i = 0; i < tokens->as_array().size() && i < kTokensPerEventMax; ++i) {
    TokenInfo info;
    if (tokens->as_array()[i].is_string()) info.bytes = tokens->as_array()[i].as_string();
    info.logprob = std::numeric_limits<float>::quiet_NaN();
    if (values != nullptr && values->is_array() && i < values->as_array().size() &&
        values->as_array()[i].is_number()) {
      info.logprob = static_cast<float>(std::clamp(values->as_array()[i].as_double(), -1e30, 0.0));
    }
    if (tops != nullptr && tops->is_array() && i < tops->as_array().size() &&
        tops->as_array()[i].is_object()) {
      for (const json::Member& member : tops->as_array()[i].as_object()) {
        if (info.top.size() >= kAlternativesMax || !member.value.is_number()) break;
        info.top.push_back(
            {0, member.key, static_cast<float>(std::clamp(member.value.as_double(), -1e30, 0.0))});
      }
      std::sort(info.top.begin(), info.top.end(),
                [](const auto& a, const auto& b) { return a.logprob > b.logprob; });
    }
    out.push_back(std::move(info));
  }
  return out;
}

std::vector<TokenInfo> tokens_of(const json::Value& choice) {
  const json::Value* logprobs = choice.find("logprobs");
  if (logprobs == nullptr || !logprobs->is_object()) return {};
  const json::Value* content = logprobs->find("content");
  if (content != nullptr && content->is_array()) return chat_logprobs(*content);
  return text_logprobs(*logprobs);
}

FinishReason reason_of(std::string_view text) {
  if (text == "length") return FinishReason::kLength;
  if (text == "content_filter") return FinishReason::kPolicy;
  return FinishReason::kStop;
}

Usage usage_of(const json::Value& usage) {
  Usage out;
  out.prompt_tokens = count_at(usage, "prompt_tokens");
  out.completion_tokens = count_at(usage, "completion_tokens");
  if (const json::Value* details = usage.find("prompt_tokens_details"); details != nullptr)
    out.cached_tokens = std::min(count_at(*details, "cached_tokens"), out.prompt_tokens);
  if (const json::Value* details = usage.find("completion_tokens_details"); details != nullptr)
    out.reasoning_tokens = std::min(count_at(*details, "reasoning_tokens"), out.completion_tokens);
  return out;
}

}  // namespace

Result<std::vector<AnswerPiece>> UpstreamAnswer::feed(std::string_view bytes) {
  std::vector<AnswerPiece> out;
  if (failed_) return not_understood("the stream failed before");
  bytes_ += bytes.size();
  Status status;
  if (bytes_ > limits_.answer_bytes_max) {
    status = exhausted("the upstream's answer is too long", "answer bytes");
  }
  while (status.ok() && !bytes.empty() && !done_) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (line_.size() + part.size() > limits_.line_bytes_max) {
      status = exhausted("the upstream's answer is too long", "line bytes");
      break;
    }
    line_ += part;
    if (end == std::string_view::npos) break;
    bytes.remove_prefix(end + 1);
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    const std::string line = std::exchange(line_, {});
    status = take_line(line, out);
  }
  if (status.ok()) return out;
  failed_ = true;
  line_ = {};
  data_ = {};
  return std::move(status).error();
}

Status UpstreamAnswer::take_line(std::string_view line, std::vector<AnswerPiece>& out) {
  if (line.empty()) {
    if (!has_data_) return ok_status();
    has_data_ = false;
    const std::string data = std::exchange(data_, {});
    return take_event(data, out);
  }
  if (line.front() == ':') return ok_status();
  const std::size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  if (field == "event" || field == "id" || field == "retry") return ok_status();
  if (field != "data" || colon == std::string_view::npos)
    return not_understood("a line that is no field of an event stream");
  std::string_view value = line.substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (has_data_) data_ += '\n';
  has_data_ = true;
  data_ += value;
  if (data_.size() > limits_.line_bytes_max)
    return exhausted("the upstream's answer is too long", "event bytes");
  return ok_status();
}

Status UpstreamAnswer::take_event(std::string_view data, std::vector<AnswerPiece>& out) {
  if (data == "[DONE]") {
    done_ = true;
    return ok_status();
  }
  json::ParseLimits limits;
  limits.bytes_max = limits_.line_bytes_max;
  limits.values_max = kEventValuesMax;
  const auto event = json::parse(data, limits);
  if (!event.ok())
    return not_understood("an event that is no JSON: " + event.error().client_message());
  if (!event->is_object()) return not_understood("an event that is no object");
  if (const json::Value* error = event->find("error"); error != nullptr && !error->is_null())
    return unavailable("the upstream reported an error in its answer");
  if (const json::Value* usage = event->find("usage"); usage != nullptr && usage->is_object())
    usage_ = usage_of(*usage);
  const json::Value* choices = event->find("choices");
  if (choices == nullptr) return not_understood("an event without choices");
  if (!choices->is_array()) return not_understood("choices that are no array");
  for (const json::Value& choice : choices->as_array()) {
    if (!choice.is_object()) return not_understood("a choice that is no object");
    // One answer was asked for.
    if (count_at(choice, "index") == 0) HF_TRY(take_choice(choice, out));
  }
  return ok_status();
}

Status UpstreamAnswer::take_choice(const json::Value& choice, std::vector<AnswerPiece>& out) {
  AnswerPiece piece;
  const json::Value* delta = choice.find("delta");
  if (delta != nullptr && delta->is_object()) {
    const std::string* thought = text_at(*delta, "reasoning_content");
    if (thought == nullptr) thought = text_at(*delta, "reasoning");
    if (thought != nullptr && !thought->empty()) {
      if (!thinking_) piece.text += "<think>";
      thinking_ = true;
      piece.text += *thought;
    }
    const std::string* content = text_at(*delta, "content");
    if (content != nullptr && !content->empty()) {
      if (thinking_) piece.text += "</think>";
      thinking_ = false;
      piece.text += *content;
    }
  } else if (const std::string* text = text_at(choice, "text"); text != nullptr) {
    piece.text = *text;
  }
  piece.tokens = tokens_of(choice);
  if (!piece.text.empty() || !piece.tokens.empty()) {
    if (finish_) return not_understood("text after the end");
    ++pieces_;
    out.push_back(std::move(piece));
  }
  if (const std::string* reason = text_at(choice, "finish_reason"); reason != nullptr)
    finish_ = reason_of(*reason);
  return ok_status();
}

}  // namespace holdfast::backend
