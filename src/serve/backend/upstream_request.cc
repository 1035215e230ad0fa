#include "upstream_request.h"

#include <algorithm>
#include <charconv>
#include <deque>

namespace holdfast::backend {
namespace {

constexpr std::size_t kErrorValuesMax = 4096;

Failure upstream_failure(Error error) { return {std::move(error), FailureKind::kUpstream}; }

void add_sampling(json::Object& body, const SamplingParams& s) {
  body.set("temperature", s.temperature);
  body.set("top_p", s.top_p);
  // Extensions are named only where they were asked for: strict services refuse what they do not
  // know.
  if (s.top_k > 0) body.set("top_k", s.top_k);
  if (s.min_p > 0) body.set("min_p", s.min_p);
  if (s.typical_p < 1) body.set("typical_p", s.typical_p);
  if (s.repeat_penalty != 1) {
    body.set("repeat_penalty", s.repeat_penalty);
    body.set("repetition_penalty", s.repeat_penalty);
    body.set("repeat_last_n", s.repeat_last_n);
  }
  if (s.presence_penalty != 0) body.set("presence_penalty", s.presence_penalty);
  if (s.frequency_penalty != 0) body.set("frequency_penalty", s.frequency_penalty);
  if (s.seed) body.set("seed", *s.seed);
  if (s.ignore_eos) body.set("ignore_eos", true);
  if (s.logit_bias.empty()) return;
  json::Object bias;
  for (const auto& [token, value] : s.logit_bias)
    bias.set(std::to_string(token), static_cast<double>(value));
  body.set("logit_bias", std::move(bias));
}

// Calls and results of the older `function_call` have no ids, which the API demands of those of
// tools: they are paired in the order in which they stand.
json::Value with_call_ids(json::Value messages) {
  if (!messages.is_array()) return messages;
  std::deque<std::string> open;  // made here and not answered yet
  std::size_t made = 0;
  for (json::Value& message : messages.as_array()) {
    if (!message.is_object()) continue;
    json::Object& fields = message.as_object();
    if (json::Value* calls = fields.find("tool_calls"); calls != nullptr && calls->is_array()) {
      for (json::Value& call : calls->as_array()) {
        if (!call.is_object() || call.find("id") != nullptr) continue;
        open.push_back("call_" + std::to_string(made++));
        call.as_object().set("id", open.back());
      }
    }
    const json::Value* role = fields.find("role");
    if (open.empty() || role == nullptr || *role != json::Value("tool") ||
        fields.contains("tool_call_id")) {
      continue;
    }
    fields.set("tool_call_id", open.front());
    open.pop_front();
  }
  return messages;
}

struct PromptFields {
  json::Object& body;
  std::string operator()(const ChatPrompt& p) const {
    body.set("messages", with_call_ids(p.messages));
    if (p.tools.is_array() && !p.tools.as_array().empty()) {
      body.set("tools", p.tools);
      if (!p.tool_choice.is_null()) body.set("tool_choice", p.tool_choice);
      if (p.parallel_tool_calls) body.set("parallel_tool_calls", *p.parallel_tool_calls);
    }
    if (!p.template_arguments.empty()) body.set("chat_template_kwargs", p.template_arguments);
    if (!p.add_generation_prompt) body.set("add_generation_prompt", false);
    return "/v1/chat/completions";
  }
  std::string operator()(const TextPrompt& p) const {
    body.set("prompt", p.text);
    return "/v1/completions";
  }
  std::string operator()(const TokenPrompt& p) const {
    json::Array tokens;
    for (const std::int32_t token : p.tokens) tokens.emplace_back(token);
    body.set("prompt", std::move(tokens));
    return "/v1/completions";
  }
};

std::uint64_t number_at(const json::Value& object, std::string_view key) {
  const json::Value* found = object.find(key);
  return found != nullptr && found->is_int() && found->as_int() > 0
             ? static_cast<std::uint64_t>(found->as_int())
             : 0;
}

// The number before `word` or after `phrase` in a sentence that clients match.
std::uint64_t number_after(std::string_view text, std::string_view phrase) {
  const std::size_t at = text.find(phrase);
  if (at == std::string_view::npos) return 0;
  std::string_view rest = text.substr(at + phrase.size());
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  std::uint64_t value = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), value);
  return value;
}

// A prompt that is too long for them is the caller's to shorten.
std::optional<Failure> context_failure(const json::Value& body) {
  const json::Value* error = body.find("error");
  if (error == nullptr || !error->is_object()) return std::nullopt;
  const json::Value* code = error->find("code");
  const json::Value* type = error->find("type");
  const json::Value* message = error->find("message");
  const std::string text =
      message != nullptr && message->is_string() ? message->as_string() : std::string();
  const bool named = (code != nullptr && *code == json::Value("context_length_exceeded")) ||
                     (type != nullptr && *type == json::Value("exceed_context_size_error"));
  if (!named && text.find("maximum context length is") == std::string::npos) return std::nullopt;
  Failure out{invalid_argument("the prompt is longer than the context"),
              FailureKind::kContextLength};
  out.limit = std::max(number_at(*error, "n_ctx"), number_after(text, "context length is"));
  out.actual = std::max({number_at(*error, "n_prompt_tokens"), number_after(text, "resulted in"),
                         number_after(text, "you requested")});
  return out;
}

}  // namespace

std::variant<TransferRequest, Failure> upstream_request(const GenerateRequest& request,
                                                        const std::string& their_model) {
  if (request.want_prompt_logprobs)
    return Failure{unsupported("this model cannot tell log probabilities of a prompt")};
  const auto* chat = std::get_if<ChatPrompt>(&request.prompt);
  json::Object body{{"model", their_model}, {"stream", true}};
  body.set("stream_options", json::Object{{"include_usage", true}});
  TransferRequest out;
  out.path = std::visit(PromptFields{body}, request.prompt);
  add_sampling(body, request.sampling);
  if (request.max_tokens) body.set("max_tokens", *request.max_tokens);
  if (!request.stop.empty()) {
    json::Array stop;
    for (const std::string& text : request.stop) stop.emplace_back(text);
    body.set("stop", std::move(stop));
  }
  if (request.want_logprobs && chat != nullptr) {
    body.set("logprobs", true);
    body.set("top_logprobs", request.top_logprobs);
  } else if (request.want_logprobs) {
    body.set("logprobs", request.top_logprobs);
  }
  if (!request.response_format.is_null()) body.set("response_format", request.response_format);
  out.body = json::write(body);
  out.stream = true;
  out.priority = request.priority;
  out.deadline = request.deadline;
  return out;
}

Failure failure_of_status(const TransferHead& head, std::string_view body) {
  const std::string status = "status " + std::to_string(head.status);
  if (head.status == 429) {
    Failure out{unavailable("the upstream limits its rate", status), FailureKind::kRateLimited};
    out.retry_after_ms = head.retry_after_ms;
    return out;
  }
  if (head.status == 502 || head.status == 503)
    return upstream_failure(unavailable("the upstream is not available", status));
  if (head.status == 400 || head.status == 413 || head.status == 422) {
    json::ParseLimits limits;
    limits.values_max = kErrorValuesMax;
    const auto parsed = json::parse(body, limits);
    if (parsed.ok()) {
      if (auto failure = context_failure(*parsed)) return std::move(*failure);
    }
    // Its words stay there: they may name what no client may know.
    return Failure{invalid_argument("the engine of this model refuses the request", status)};
  }
  return upstream_failure(internal_error("the upstream refused the request", status));
}

Failure failure_of_end(TransferEnd how) {
  switch (how) {
    case TransferEnd::kDeadline:
      return {Error(ErrorCode::kDeadline, "the deadline has passed"), FailureKind::kDeadline};
    case TransferEnd::kTimeout:
      return {Error(ErrorCode::kDeadline, "the upstream did not answer in time"),
              FailureKind::kUpstreamTimeout};
    case TransferEnd::kUntrusted:
      return upstream_failure(internal_error("the upstream cannot be trusted", "TLS"));
    case TransferEnd::kStopped:
      return upstream_failure(unavailable("the upstream is not running"));
    case TransferEnd::kUnreachable:
      return upstream_failure(unavailable("the upstream cannot be reached", "connection"));
    case TransferEnd::kComplete:
    case TransferEnd::kAborted:
    case TransferEnd::kCancelled:
      break;
  }
  HF_CHECK(how == TransferEnd::kCancelled);
  return {cancelled("cancelled")};
}

AnswerLimits answer_limits(const GenerateRequest& request) {
  AnswerLimits out;
  const auto* chat = std::get_if<ChatPrompt>(&request.prompt);
  const bool offered = chat != nullptr && chat->tools.is_array() && !chat->tools.as_array().empty();
  if (!offered) out.tool_calls_max = 0;
  out.one_tool_call = offered && chat->parallel_tool_calls == false;
  return out;
}

Failure failure_of_answer(const Error& error) { return upstream_failure(error); }

}  // namespace holdfast::backend
