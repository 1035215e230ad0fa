#include "holdfast/gateway/tracing.h"

#include "holdfast/base/bytes.h"
#include "holdfast/json/json.h"

namespace holdfast::gateway {
namespace {

// A collector that is away for longer loses the batch: newer spans say more.
constexpr int kAttemptsMax = 3;
constexpr auto kFirstPause = std::chrono::milliseconds(500);
// How long the end of the server waits for the last spans.
constexpr auto kFlushTime = std::chrono::milliseconds(2000);
// A collector answers with a few bytes.
constexpr std::size_t kAnswerBytesMax = 64 * 1024;

json::Value attribute_value(const observe::SpanAttribute::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value))
    return json::Object{{"stringValue", *text}};
  // 64-bit integers are strings in the JSON form of protobuf.
  if (const auto* number = std::get_if<std::int64_t>(&value))
    return json::Object{{"intValue", std::to_string(*number)}};
  if (const auto* number = std::get_if<double>(&value))
    return json::Object{{"doubleValue", *number}};
  json::Array values;
  for (const std::string& text : std::get<std::vector<std::string>>(value))
    values.push_back(json::Object{{"stringValue", text}});
  return json::Object{{"arrayValue", json::Object{{"values", std::move(values)}}}};
}

json::Value attribute(const std::string& key, const observe::SpanAttribute::Value& value) {
  return json::Object{{"key", key}, {"value", attribute_value(value)}};
}

// SpanKind and StatusCode of the OpenTelemetry protocol.
int kind_number(observe::Span::Kind kind) {
  switch (kind) {
    case observe::Span::Kind::kServer:
      return 2;
    case observe::Span::Kind::kClient:
      return 3;
    case observe::Span::Kind::kInternal:
      break;
  }
  return 1;
}
constexpr int kStatusError = 2;

json::Value span_object(const observe::Span& span) {
  json::Object out{{"traceId", to_hex(span.trace_id)}, {"spanId", to_hex(span.span_id)}};
  if (span.parent_id) out.set("parentSpanId", to_hex(*span.parent_id));
  out.set("name", span.name);
  out.set("kind", kind_number(span.kind));
  out.set("startTimeUnixNano", std::to_string(span.start_unix_ns));
  out.set("endTimeUnixNano", std::to_string(span.end_unix_ns));
  json::Array attributes;
  for (const auto& [key, value] : span.attributes) attributes.push_back(attribute(key, value));
  out.set("attributes", std::move(attributes));
  if (span.failed) out.set("status", json::Object{{"code", kStatusError}});
  return out;
}

}  // namespace

std::string otlp_json(const std::vector<observe::Span>& spans,
                      const std::vector<std::pair<std::string, std::string>>& resource) {
  json::Array attributes;
  for (const auto& [key, value] : resource) attributes.push_back(attribute(key, value));
  json::Array objects;
  for (const observe::Span& span : spans) objects.push_back(span_object(span));
  json::Object scope{{"scope", json::Object{{"name", "holdfast"}}}, {"spans", std::move(objects)}};
  json::Object of_resource{{"resource", json::Object{{"attributes", std::move(attributes)}}},
                           {"scopeSpans", json::Array{std::move(scope)}}};
  return json::write(json::Object{{"resourceSpans", json::Array{std::move(of_resource)}}});
}

Tracing::Tracing(TraceOptions options, const observe::Logger& logger)
    : options_(std::move(options)),
      logger_(logger),
      queue_(options_.queue_spans_max),
      thread_([this] { work(); }) {}

Tracing::~Tracing() {
  queue_.close();
  if (ended_.get_future().wait_for(kFlushTime) != std::future_status::ready) stop_ = true;
  thread_.join();
}

void Tracing::offer(std::vector<observe::Span> spans) { queue_.offer(std::move(spans)); }

void Tracing::work() {
  http::ClientOptions o;
  o.connect_timeout = o.idle_timeout = options_.timeout;
  o.body_bytes_max = kAnswerBytesMax;
  o.stop = &stop_;
  http::Client client(options_.endpoint, o);
  while (true) {
    const auto spans = queue_.take(options_.batch_spans_max, options_.delay);
    if (!spans.empty()) {
      send(client, spans);
    } else if (queue_.closed()) {
      break;
    }
  }
  ended_.set_value();
}

void Tracing::send(http::Client& client, const std::vector<observe::Span>& spans) {
  http::ClientRequest request{"POST", options_.path, options_.headers,
                              otlp_json(spans, options_.resource)};
  request.headers.set("Content-Type", "application/json");
  auto pause = kFirstPause;
  for (int i = 0; i < kAttemptsMax && !stop_; ++i) {
    const Outcome outcome = attempt(client, request);
    if (outcome == Outcome::kTaken) {
      sent_ += spans.size();
      return;
    }
    if (outcome == Outcome::kRefused || i + 1 == kAttemptsMax || queue_.wait_closed(pause)) break;
    pause *= 2;
  }
  failed_ += spans.size();
}

Tracing::Outcome Tracing::attempt(http::Client& client, const http::ClientRequest& request) {
  const auto answer = client.request(request);
  if (!answer.ok()) {
    logger_.warn("trace.not_sent", {{"why", answer.error().to_string()}});
    return Outcome::kAgain;
  }
  if (answer->status >= 200 && answer->status < 300) return Outcome::kTaken;
  logger_.warn("trace.not_sent", {{"status", answer->status}});
  // The codes that the protocol declares worth another attempt.
  const int status = answer->status;
  return status == 429 || status == 502 || status == 503 || status == 504 ? Outcome::kAgain
                                                                          : Outcome::kRefused;
}

}  // namespace holdfast::gateway
