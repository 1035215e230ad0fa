#include "upstream_span.h"

#include "holdfast/platform/clock.h"

namespace holdfast::backend {
namespace {

using Clock = std::chrono::steady_clock;

void add_peer(const TransferHead& head, const std::string& unix_path,
              std::vector<observe::SpanAttribute>& out) {
  if (!unix_path.empty()) return out.push_back({"server.address", unix_path});
  const auto address = parse_upstream_url(head.root);
  if (!address.ok()) return;
  out.push_back({"server.address", address->host});
  out.push_back({"server.port", static_cast<std::int64_t>(address->port)});
}

void add_answer(const UpstreamAnswer& answer, std::vector<observe::SpanAttribute>& out) {
  if (!answer.model().empty()) out.push_back({"gen_ai.response.model", answer.model()});
  if (answer.usage()) {
    const Usage& usage = *answer.usage();
    out.push_back({"gen_ai.usage.input_tokens", static_cast<std::int64_t>(usage.prompt_tokens)});
    out.push_back(
        {"gen_ai.usage.output_tokens", static_cast<std::int64_t>(usage.completion_tokens)});
  }
  if (!answer.finish()) return;
  const std::vector<std::string> reasons = {std::string(finish_reason_name(*answer.finish()))};
  out.push_back({"gen_ai.response.finish_reasons", reasons});
}

}  // namespace

UpstreamSpan::UpstreamSpan(const GenerateRequest& request, std::string their_model,
                           UpstreamTracing tracing)
    : tracing_(tracing),
      link_(request.trace),
      model_(std::move(their_model)),
      chat_(std::holds_alternative<ChatPrompt>(request.prompt)) {
  if (link_ && link_->context.sampled && tracing_.sink != nullptr)
    span_id_ = observe::new_span_id(*tracing_.entropy);
}

std::vector<std::pair<std::string, std::string>> UpstreamSpan::headers() const {
  if (!link_) return {};
  observe::TraceContext context = link_->context;
  if (span_id_) context.span_id = *span_id_;
  std::vector<std::pair<std::string, std::string>> out;
  out.emplace_back("traceparent", observe::format_traceparent(context));
  if (!link_->state.empty()) out.emplace_back("tracestate", link_->state);
  return out;
}

void UpstreamSpan::end(const TransferHead& head, const std::string& unix_path,
                       const UpstreamAnswer& answer, std::string error) {
  if (!span_id_ || head.root.empty()) return;
  observe::Span span;
  span.trace_id = link_->context.trace_id;
  span.span_id = *span_id_;
  span.parent_id = link_->context.span_id;
  span.kind = observe::Span::Kind::kClient;
  const std::string operation = chat_ ? "chat" : "text_completion";
  span.name = operation + " " + model_;
  span.end_unix_ns = platform::system_clock().wall_time().time_since_epoch().count();
  const auto took = Clock::now() - head.sent;
  span.start_unix_ns = span.end_unix_ns - std::chrono::nanoseconds(took).count();
  auto& attributes = span.attributes;
  attributes.push_back({"gen_ai.operation.name", operation});
  // The API that is spoken: who answers behind it is not known.
  attributes.push_back({"gen_ai.provider.name", "openai"});
  attributes.push_back({"gen_ai.request.model", model_});
  add_peer(head, unix_path, attributes);
  add_answer(answer, attributes);
  if (!error.empty()) {
    attributes.push_back({"error.type", std::move(error)});
    span.failed = true;
  }
  std::vector<observe::Span> spans;
  spans.push_back(std::move(span));
  tracing_.sink->offer(std::move(spans));
}

std::string error_type(const TransferHead& head, const Failure& failure) {
  if (head.status != 0 && head.status != 200) return std::to_string(head.status);
  switch (failure.kind) {
    case FailureKind::kUpstreamTimeout:
      return "upstream_timeout";
    case FailureKind::kDeadline:
      return "deadline_exceeded";
    default:
      return "upstream_error";
  }
}

}  // namespace holdfast::backend
