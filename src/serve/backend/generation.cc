#include "generation.h"

#include <algorithm>
#include <limits>

namespace holdfast::backend {

namespace {

using Clock = std::chrono::steady_clock;

FailureKind kind_of(const wire::ErrorReply& reply) {
  switch (static_cast<wire::ErrorReason>(reply.reason)) {
    case wire::ErrorReason::kContextLength:
      return FailureKind::kContextLength;
    case wire::ErrorReason::kQueueFull:
      return FailureKind::kOverloaded;
    case wire::ErrorReason::kUnknownToken:
      return FailureKind::kUnknownToken;
    case wire::ErrorReason::kTemplate:
      return FailureKind::kTemplate;
    case wire::ErrorReason::kDoesNotFit:
      return FailureKind::kModelDoesNotFit;
    case wire::ErrorReason::kDeadline:
      return FailureKind::kDeadline;
    case wire::ErrorReason::kNone:
      break;
  }
  if (reply.code == ErrorCode::kUnavailable) return FailureKind::kEngineCrashed;
  return reply.code == ErrorCode::kCorrupt ? FailureKind::kModelCorrupt : FailureKind::kOther;
}

TokenInfo to_info(const wire::TokenDetail& detail) {
  TokenInfo info;
  info.id = detail.token;
  info.bytes = detail.piece;
  info.logprob = detail.logprob.value_or(std::numeric_limits<float>::quiet_NaN());
  for (const wire::TopLogprob& top : detail.top)
    info.top.push_back({top.token, top.piece, top.logprob});
  return info;
}

FinishReason to_reason(wire::FinishReason reason) {
  switch (reason) {
    case wire::FinishReason::kLength:
      return FinishReason::kLength;
    case wire::FinishReason::kCancelled:
      return FinishReason::kCancelled;
    default:
      return FinishReason::kStop;
  }
}

// Templates want the arguments of a call as the object itself. What is no object stays as it is.
void read_arguments(json::Value& call) {
  json::Value* function = call.is_object() ? call.as_object().find("function") : nullptr;
  json::Value* arguments = function != nullptr && function->is_object()
                               ? function->as_object().find("arguments")
                               : nullptr;
  if (arguments == nullptr || !arguments->is_string()) return;
  auto parsed = json::parse(arguments->as_string());
  if (parsed.ok() && parsed->is_object()) *arguments = std::move(parsed).value();
}

json::Value template_messages(json::Value messages) {
  if (!messages.is_array()) return messages;
  for (json::Value& message : messages.as_array()) {
    json::Value* calls = message.is_object() ? message.as_object().find("tool_calls") : nullptr;
    if (calls == nullptr || !calls->is_array()) continue;
    for (json::Value& call : calls->as_array()) read_arguments(call);
  }
  return messages;
}

struct PromptFields {
  wire::Submit& submit;
  void operator()(const ChatPrompt& p) const {
    submit.kind = wire::PromptKind::kChat;
    // A model that must not call tools is not shown any: nothing else would hold it back.
    const bool hidden = p.tool_choice == json::Value("none");
    submit.text = json::write(json::Object{{"messages", template_messages(p.messages)},
                                           {"tools", hidden ? json::Value() : p.tools},
                                           {"template_arguments", p.template_arguments},
                                           {"add_generation_prompt", p.add_generation_prompt}});
  }
  void operator()(const TextPrompt& p) const {
    submit.kind = wire::PromptKind::kText;
    submit.text = p.text;
  }
  void operator()(const TokenPrompt& p) const {
    submit.kind = wire::PromptKind::kTokens;
    submit.tokens = p.tokens;
  }
};

wire::Scheduling to_scheduling(const GenerateRequest& request) {
  wire::Scheduling to;
  to.tenant = request.caller.tenant;
  to.weight = std::clamp<std::uint32_t>(request.caller.weight, 1, wire::kWeightMax);
  to.priority = static_cast<wire::Priority>(request.priority);
  to.cache_domain = request.caller.cache_domain;
  to.keep_prompt = request.keep_prompt;
  if (request.deadline) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(*request.deadline - Clock::now());
    to.deadline_ms =
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(left.count(), 0, INT32_MAX));
  }
  return to;
}

}  // namespace

Failure to_failure(const wire::ErrorReply& reply) {
  Failure f{wire::to_error(reply), kind_of(reply), reply.limit, reply.actual, 0};
  if (f.kind == FailureKind::kOverloaded || f.kind == FailureKind::kEngineCrashed)
    f.retry_after_ms = 1000;
  return f;
}

wire::Submit to_submit(const GenerateRequest& request, std::int64_t seed) {
  wire::Submit submit;
  std::visit(PromptFields{submit}, request.prompt);
  const SamplingParams& from = request.sampling;
  wire::SamplingParams& to = submit.sampling;
  to.temperature = from.temperature;
  to.top_k = from.top_k > 0 ? static_cast<std::uint32_t>(from.top_k) : 0;
  to.top_p = from.top_p;
  to.min_p = from.min_p;
  to.typical_p = from.typical_p;
  to.repeat_penalty = from.repeat_penalty;
  to.repeat_last_n = from.repeat_last_n;
  to.presence_penalty = from.presence_penalty;
  to.frequency_penalty = from.frequency_penalty;
  for (const auto& [token, bias] : from.logit_bias) to.logit_bias.push_back({token, bias});
  to.seed = static_cast<std::uint64_t>(seed);
  to.max_tokens = request.max_tokens;
  to.stop = request.stop;
  to.ignore_eos = from.ignore_eos;
  if (request.want_logprobs) to.logprobs = request.top_logprobs;
  to.echo = request.want_prompt_logprobs;
  submit.scheduling = to_scheduling(request);
  return submit;
}

Generation::Generation(GenerateRequest request, std::int64_t seed,
                       std::shared_ptr<GenerateObserver> observer)
    : request_(std::move(request)), seed_(seed), observer_(std::move(observer)) {}

void Generation::run_on(const std::shared_ptr<EngineProcess>& engine, std::uint64_t load_ns,
                        std::function<void()> on_end) {
  load_ns_ = load_ns;
  on_end_ = std::move(on_end);
  {
    const std::lock_guard lock(mutex_);
    if (!cancelled_) engine_ = engine;
    leave_ = nullptr;
  }
  if (engine_.expired()) return finish_cancelled();
  const std::uint64_t number =
      engine->send(to_submit(request_, seed_),
                   [self = shared_from_this()](const wire::Message& m) { self->handle(m); });
  bool cancel_now = false;
  {
    const std::lock_guard lock(mutex_);
    number_ = number;
    cancel_now = cancelled_;
  }
  if (cancel_now) engine->cancel(number);
}

void Generation::fail(Failure failure) {
  // The model was unloaded: to the caller, its generation was cancelled.
  if (failure.error.code() == ErrorCode::kCancelled) return finish_cancelled();
  observer_->on_error(std::move(failure));
  end();
}

void Generation::finish_cancelled() {
  Finished finished;
  finished.reason = FinishReason::kCancelled;
  finished.timings.load_ns = load_ns_;
  finished.seed = seed_;
  observer_->on_finished(std::move(finished));
  end();
}

void Generation::cancel() {
  std::shared_ptr<EngineProcess> engine;
  std::uint64_t number = 0;
  std::function<void()> leave;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    leave = std::exchange(leave_, nullptr);
    engine = engine_.lock();
    number = number_;
  }
  if (engine && number != 0) engine->cancel(number);
  if (leave) leave();
}

void Generation::end() {
  if (on_end_) std::exchange(on_end_, nullptr)();
}

void Generation::handle_token(const wire::Token& token) {
  TokenEvent event;
  event.text = token.text;
  for (const wire::TokenDetail& detail : token.tokens) {
    if (detail.from_prompt) {
      prompt_.push_back(to_info(detail));
    } else if (!detail.end) {
      event.tokens.push_back(to_info(detail));
    }
  }
  if (!event.text.empty() || !event.tokens.empty()) observer_->on_token(std::move(event));
}

void Generation::handle(const wire::Message& message) {
  if (const auto* started = std::get_if<wire::Started>(&message)) {
    observer_->on_started({started->prompt_tokens, started->cached_tokens, std::move(prompt_)});
  } else if (const auto* token = std::get_if<wire::Token>(&message)) {
    handle_token(*token);
  } else if (const auto* finished = std::get_if<wire::Finished>(&message)) {
    observer_->on_finished(
        {.reason = to_reason(finished->reason),
         .stop_string = finished->stop_match,
         .usage = {finished->usage.prompt_tokens, finished->usage.completion_tokens,
                   finished->usage.cached_tokens, 0},
         .timings = {load_ns_, finished->timings.queue_ns, finished->timings.prefill_ns,
                     finished->timings.decode_ns},
         .seed = seed_});
    end();
  } else if (const auto* error = std::get_if<wire::ErrorReply>(&message)) {
    fail(to_failure(*error));
  } else if (is_last(message)) {
    // The answer to another question: nothing follows, and nobody may wait for more.
    fail(to_failure(wire::make_error_reply(
        0, internal_error("the engine answered with another message than was asked for"))));
  }
}

}  // namespace holdfast::backend
