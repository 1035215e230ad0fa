#include "generation_trace.h"

#include <charconv>

#include "holdfast/base/bytes.h"

namespace holdfast::gateway {
namespace {

// The header, if there is one of it: a request with several has no parent.
std::optional<observe::TraceContext> parent_of(const http::Request& request) {
  if (request.headers.count("traceparent") != 1) return std::nullopt;
  return observe::parse_traceparent(request.headers.get("traceparent"));
}

// All tracestate headers as one, which the standard says they are.
std::string state_of(const http::Request& request) {
  std::string out;
  for (const auto& [name, value] : request.headers) {
    if (!http::equal_ignoring_case(name, "tracestate")) continue;
    if (!out.empty()) out += ',';
    out += value;
  }
  return observe::clean_tracestate(out);
}

void add_host(std::string_view host, std::vector<observe::SpanAttribute>& out) {
  const std::size_t colon = host.rfind(':');
  std::int64_t port = 0;
  if (colon != std::string_view::npos && !host.ends_with(']')) {
    const std::string_view digits = host.substr(colon + 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), port);
    host = host.substr(0, colon);
  }
  if (!host.empty()) out.push_back({"server.address", std::string(host)});
  if (port > 0) out.push_back({"server.port", port});
}

void add_sampling(const GenerationSpec& spec, std::vector<observe::SpanAttribute>& out) {
  const backend::SamplingParams& sampling = spec.sampling;
  if (spec.max_tokens)
    out.push_back({"gen_ai.request.max_tokens", static_cast<std::int64_t>(*spec.max_tokens)});
  out.push_back({"gen_ai.request.temperature", sampling.temperature});
  out.push_back({"gen_ai.request.top_p", sampling.top_p});
  if (sampling.top_k > 0)
    out.push_back({"gen_ai.request.top_k", static_cast<std::int64_t>(sampling.top_k)});
  if (sampling.seed) out.push_back({"gen_ai.request.seed", *sampling.seed});
  if (!spec.stop.empty()) out.push_back({"gen_ai.request.stop_sequences", spec.stop});
}

}  // namespace

GenerationTrace::GenerationTrace(const Gateway::Impl& gateway, const http::Request& request,
                                 const GenerationSpec& spec, const backend::ModelFacts& model,
                                 std::string response_id)
    : gateway_(gateway) {
  const auto parent = parent_of(request);
  if (parent) link_ = backend::TraceLink{*parent, state_of(request)};
  if (gateway_.env.tracing == nullptr) return;
  platform::Entropy& entropy = gateway_.env.entropy;
  span_.trace_id = parent ? parent->trace_id : observe::new_trace_id(entropy);
  const bool sampled = gateway_.env.tracing->sampler().sample(parent, span_.trace_id);
  if (!link_) link_.emplace();
  link_->context.trace_id = span_.trace_id;
  link_->context.sampled = sampled;
  // Without a span of ours, what comes after us hangs from the caller's, or from one that nobody
  // records.
  if (sampled || !parent) span_.span_id = link_->context.span_id = observe::new_span_id(entropy);
  if (!sampled) return;
  if (parent) span_.parent_id = parent->span_id;
  trace_id_ = to_hex(span_.trace_id);
  span_.start_unix_ns = unix_now_ns() - request.age().count();
  describe(request, spec, model, std::move(response_id));
}

void GenerationTrace::describe(const http::Request& request, const GenerationSpec& spec,
                               const backend::ModelFacts& model, std::string response_id) {
  const std::string operation = spec.api == Api::kChat ? "chat" : "text_completion";
  span_.kind = observe::Span::Kind::kServer;
  span_.name = operation + " " + model.id;
  auto& out = span_.attributes;
  out.push_back({"gen_ai.operation.name", operation});
  out.push_back({"gen_ai.provider.name", "holdfast"});
  out.push_back({"gen_ai.request.model", spec.model.empty() ? model.id : spec.model});
  out.push_back({"gen_ai.response.model", model.id});
  out.push_back({"gen_ai.response.id", std::move(response_id)});
  add_sampling(spec, out);
  add_host(request.headers.get("host"), out);
}

std::int64_t GenerationTrace::unix_now_ns() const {
  return gateway_.env.clock.wall_time().time_since_epoch().count();
}

void GenerationTrace::launched() {
  if (!trace_id_.empty() && launched_ns_ == 0) launched_ns_ = unix_now_ns();
}

observe::Span GenerationTrace::child(std::string name, std::int64_t start_ns,
                                     std::uint64_t length_ns) const {
  observe::Span out;
  out.trace_id = span_.trace_id;
  out.span_id = observe::new_span_id(gateway_.env.entropy);
  out.parent_id = span_.span_id;
  out.name = std::move(name);
  out.start_unix_ns = start_ns;
  out.end_unix_ns = start_ns + static_cast<std::int64_t>(length_ns);
  return out;
}

void GenerationTrace::end(const TraceEnd& end) {
  if (trace_id_.empty()) return;
  span_.end_unix_ns = unix_now_ns();
  auto& attributes = span_.attributes;
  attributes.push_back(
      {"gen_ai.usage.input_tokens", static_cast<std::int64_t>(end.usage.prompt_tokens)});
  attributes.push_back(
      {"gen_ai.usage.output_tokens", static_cast<std::int64_t>(end.usage.completion_tokens)});
  if (!end.finish_reasons.empty())
    attributes.push_back({"gen_ai.response.finish_reasons", end.finish_reasons});
  if (!end.error_code.empty()) {
    attributes.push_back({"error.type", end.error_code});
    span_.failed = true;
  }
  std::vector<observe::Span> spans;
  if (end.first_run != nullptr && launched_ns_ != 0) {
    const backend::Timings& t = end.first_run->timings;
    const std::uint64_t queue_ns = t.load_ns + t.queue_ns;  // a cold model is waited for as well
    spans.push_back(child("queue", launched_ns_, queue_ns));
    spans.push_back(child("prefill", spans.back().end_unix_ns, t.prefill_ns));
    spans.push_back(child("decode", spans.back().end_unix_ns, t.decode_ns));
  }
  spans.push_back(std::move(span_));
  gateway_.env.tracing->offer(std::move(spans));
}

}  // namespace holdfast::gateway
