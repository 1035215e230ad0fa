#include "wire_sink.h"

#include <algorithm>

namespace holdfast::enginehost {

namespace {

wire::ErrorReason reason_of(runtime::FailureKind kind) {
  switch (kind) {
    case runtime::FailureKind::kContextLength:
      return wire::ErrorReason::kContextLength;
    case runtime::FailureKind::kQueueFull:
      return wire::ErrorReason::kQueueFull;
    case runtime::FailureKind::kUnknownToken:
      return wire::ErrorReason::kUnknownToken;
    case runtime::FailureKind::kTemplate:
      return wire::ErrorReason::kTemplate;
    case runtime::FailureKind::kDeadline:
      return wire::ErrorReason::kDeadline;
    case runtime::FailureKind::kOther:
      break;
  }
  return wire::ErrorReason::kNone;
}

wire::FinishReason to_wire(runtime::FinishReason reason) {
  switch (reason) {
    case runtime::FinishReason::kLength:
      return wire::FinishReason::kLength;
    case runtime::FinishReason::kCancelled:
      return wire::FinishReason::kCancelled;
    case runtime::FinishReason::kStop:
      break;
  }
  return wire::FinishReason::kStop;
}

}  // namespace

wire::ErrorReply to_reply(runtime::RequestId id, const runtime::Failure& failure) {
  wire::ErrorReply reply = wire::make_error_reply(id, failure.error);
  reply.reason = static_cast<std::uint8_t>(reason_of(failure.kind));
  reply.limit = failure.limit;
  reply.actual = failure.actual;
  return reply;
}

void WireSink::send(const wire::Message& message) {
  if (!broken_ && !channel_.send(message).ok()) broken_ = true;
}

wire::TokenDetail WireSink::detail(runtime::RequestId id, runtime::TokenOutput token,
                                   bool from_prompt) const {
  wire::TokenDetail d;
  d.token = token.id;
  d.from_prompt = from_prompt;
  d.end = token.end;
  d.piece = std::move(token.bytes);
  const auto it = wants_.find(id);
  if (it == wants_.end()) return d;
  if (it->second.margins) d.margin = token.margin;
  if (it->second.logprobs || from_prompt) {
    d.logprob = token.logprob;
    for (runtime::TokenAlternative& a : token.top)
      d.top.push_back({a.id, a.logprob, std::move(a.bytes)});
  }
  return d;
}

void WireSink::on_started(runtime::RequestId id, runtime::StartedOutput started) {
  for (std::size_t i = 0; i < started.prompt.size(); i += wire::kTokensPerMessageMax) {
    wire::Token message{id, {}, {}};
    const std::size_t end = std::min(started.prompt.size(), i + wire::kTokensPerMessageMax);
    for (std::size_t j = i; j < end; ++j)
      message.tokens.push_back(detail(id, std::move(started.prompt[j]), true));
    send(message);
  }
  send(wire::Started{id, started.prompt_tokens, started.cached_tokens});
}

void WireSink::on_token(runtime::RequestId id, runtime::TokenOutput token, std::string text) {
  wire::Token message{id, {}, std::move(text)};
  message.tokens.push_back(detail(id, std::move(token), false));
  send(message);
}

void WireSink::on_finished(runtime::RequestId id, runtime::FinishedOutput f) {
  wants_.erase(id);
  send(wire::Finished{id,
                      to_wire(f.reason),
                      std::move(f.stop_string),
                      {f.prompt_tokens, f.completion_tokens, f.cached_tokens},
                      {f.queue_ns, f.prefill_ns, f.decode_ns}});
}

void WireSink::on_rows(runtime::RequestId id, std::uint32_t first_row, std::uint32_t width,
                       std::span<const float> values) {
  const Wants& wants = wants_.at(id);
  for (std::size_t row = 0; row * width < values.size(); ++row) {
    const std::span<const float> one = values.subspan(row * width, width);
    for (std::size_t column = 0; column < width; column += wire::kRowFloatsMax) {
      const std::size_t n = std::min<std::size_t>(wire::kRowFloatsMax, width - column);
      const auto part = one.subspan(column, n);
      send(wire::Rows{id, wants.positions[first_row + row], width,
                      static_cast<std::uint32_t>(column),
                      std::vector<float>(part.begin(), part.end())});
    }
  }
}

void WireSink::on_score(runtime::RequestId id, double nll, std::uint32_t count) {
  wants_.erase(id);
  send(wire::Scores{id, nll, count});
  send(wire::Finished{id, wire::FinishReason::kStop, {}, {}, {}});
}

void WireSink::on_failed(runtime::RequestId id, runtime::Failure failure) {
  wants_.erase(id);
  send(to_reply(id, failure));
}

}  // namespace holdfast::enginehost
