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
// Longer than any that is in use: a UUID with a prefix; a function's name has 64 characters.
constexpr std::size_t kCallIdBytesMax = 256;
constexpr std::size_t kFunctionNameBytesMax = 256;
constexpr std::size_t kModelNameBytesMax = 256;

Error not_understood(std::string detail) {
  return corrupt("the upstream's answer cannot be understood", std::move(detail));
}

const std::string* text_at(const json::Value& object, std::string_view key) {
  const json::Value* found = object.find(key);
  return found != nullptr && found->is_string() ? &found->as_string() : nullptr;
}

// Empty where there is no text.
std::string_view view_at(const json::Value& object, std::string_view key) {
  const std::string* text = text_at(object, key);
  return text == nullptr ? std::string_view() : std::string_view(*text);
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
  if (text == "content_filter") return FinishReason::kContentFilter;
  // Whether tools are called is known from the calls: some peers say "stop" after them, or
  // "tool_calls" without any.
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
  if (const std::string_view name = view_at(*event, "model");
      model_.empty() && name.size() <= kModelNameBytesMax)
    model_ = name;
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
      end_thought(piece.text);
      piece.text += *content;
    }
    const json::Value* calls = delta->find("tool_calls");
    if (calls != nullptr && !calls->is_null()) HF_TRY(take_tool_calls(*calls, piece.tool_calls));
    if (!piece.tool_calls.empty()) end_thought(piece.text);
  } else if (const std::string* text = text_at(choice, "text"); text != nullptr) {
    piece.text = *text;
  }
  piece.tokens = tokens_of(choice);
  if (!piece.text.empty() || !piece.tokens.empty() || !piece.tool_calls.empty()) {
    if (finish_) return not_understood("text after the end");
    ++pieces_;
    out.push_back(std::move(piece));
  }
  if (const std::string* reason = text_at(choice, "finish_reason"); reason != nullptr)
    finish_ = reason_of(*reason);
  // A call that was begun is given to the client, so the end must say so; one that the limit of
  // tokens cut is cut.
  if (finish_ == FinishReason::kStop && !calls_.empty()) finish_ = FinishReason::kToolCalls;
  return ok_status();
}

void UpstreamAnswer::end_thought(std::string& text) {
  if (thinking_) text += "</think>";
  thinking_ = false;
}

Status UpstreamAnswer::take_tool_calls(const json::Value& calls, std::vector<ToolCallPart>& out) {
  if (!calls.is_array()) return not_understood("tool calls that are no array");
  for (const json::Value& call : calls.as_array()) HF_TRY(take_tool_call(call, out));
  return ok_status();
}

Status UpstreamAnswer::take_tool_call(const json::Value& call, std::vector<ToolCallPart>& out) {
  if (!call.is_object()) return not_understood("a tool call that is no object");
  if (limits_.tool_calls_max == 0) return not_understood("a tool call where no tools were offered");
  const json::Value* number = call.find("index");
  std::optional<std::uint32_t> index;
  if (number != nullptr && !number->is_null()) {
    if (!number->is_int() || number->as_int() < 0 || number->as_int() >= limits_.tool_calls_max)
      return not_understood("a tool call with an index out of range");
    index = static_cast<std::uint32_t>(number->as_int());
  }
  const json::Value* type = call.find("type");
  if (type != nullptr && !type->is_null() && *type != json::Value("function"))
    return not_understood("a call of something that is no function");
  std::optional<std::size_t> known = call_of(index, call);
  if (!known) {
    HF_TRY(begin_call(index, call, out));
    known = calls_.size() - 1;
  }
  const json::Value* function = call.find("function");
  if (function == nullptr || function->is_null()) return ok_status();
  return add_arguments(*known, *function, out);
}

// Which of the calls that began the delta goes on with; none: it begins one. A name with another id
// under a known index is a new call of a peer that counts them all as 0. An id alone is none: some
// peers make up a new one for every delta.
std::optional<std::size_t> UpstreamAnswer::call_of(std::optional<std::uint32_t> index,
                                                   const json::Value& call) const {
  const std::string_view id = view_at(call, "id");
  const json::Value* function = call.find("function");
  const bool named = function != nullptr && !view_at(*function, "name").empty();
  for (std::size_t i = calls_.size(); i-- > 0;) {
    if (index && calls_[i].index != index) continue;
    // Without an index only the same id can mean the same call.
    const bool same_id = id.empty() ? index.has_value() : id == calls_[i].id;
    return named && !same_id ? std::nullopt : std::optional(i);
  }
  return std::nullopt;
}

Status UpstreamAnswer::begin_call(std::optional<std::uint32_t> index, const json::Value& call,
                                  std::vector<ToolCallPart>& out) {
  if (calls_.size() >= limits_.tool_calls_max)
    return exhausted("the upstream's answer is too long", "tool calls");
  const std::string_view id = view_at(call, "id");
  const json::Value* function = call.find("function");
  const std::string_view name =
      function == nullptr ? std::string_view() : view_at(*function, "name");
  if (name.empty()) return not_understood("a tool call without a name");
  if (id.size() > kCallIdBytesMax || name.size() > kFunctionNameBytesMax)
    return exhausted("the upstream's answer is too long", "id or name of a tool call");
  calls_.push_back({index, std::string(id)});
  if (limits_.one_tool_call && calls_.size() > 1) return ok_status();
  ToolCallPart part;
  part.call = static_cast<std::uint32_t>(calls_.size() - 1);
  part.id = id;
  part.name = name;
  out.push_back(std::move(part));
  return ok_status();
}

Status UpstreamAnswer::add_arguments(std::size_t call, const json::Value& function,
                                     std::vector<ToolCallPart>& out) {
  const json::Value* arguments = function.find("arguments");
  if (arguments == nullptr || arguments->is_null()) return ok_status();
  if (!arguments->is_string()) return not_understood("arguments that are no string");
  const std::string& text = arguments->as_string();
  argument_bytes_ += text.size();
  if (argument_bytes_ > limits_.argument_bytes_max)
    return exhausted("the upstream's answer is too long", "arguments of tool calls");
  if (text.empty() || (limits_.one_tool_call && call > 0)) return ok_status();
  const auto number = static_cast<std::uint32_t>(call);
  if (out.empty() || out.back().call != number) out.push_back({number, {}, {}, {}});
  out.back().arguments += text;
  return ok_status();
}

}  // namespace holdfast::backend
