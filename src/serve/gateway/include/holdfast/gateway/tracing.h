// Tracing: which requests are traced, and the exporter that sends their spans as OTLP/HTTP JSON.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/http/client.h"
#include "holdfast/observe/log.h"
#include "holdfast/observe/trace.h"

namespace holdfast::gateway {

struct TraceOptions {
  http::Endpoint endpoint;          // on this machine
  std::string path = "/v1/traces";  // of the endpoint, escaped
  http::Headers headers;            // sent with each batch, such as a token of the collector
  std::vector<std::pair<std::string, std::string>> resource;  // attributes, service.name first
  observe::Sampler sampler;
  std::size_t queue_spans_max = 2048;
  std::size_t batch_spans_max = 512;
  std::chrono::milliseconds delay{5000};      // a batch that is not full waits this long
  std::chrono::milliseconds timeout{10'000};  // of one attempt to send
};

// The value of a variable, or empty.
using Variables = std::function<std::string_view(std::string_view name)>;

// From the OTEL_* variables; nothing where none names an endpoint, or OTEL_SDK_DISABLED or
// OTEL_TRACES_EXPORTER says none. kInvalidArgument names the variable: a malformed value, a
// protocol other than http/json, or an endpoint on another machine.
Result<std::optional<TraceOptions>> trace_options(const Variables& variables,
                                                  std::string_view version);

// The body of an OTLP/HTTP JSON request.
std::string otlp_json(const std::vector<observe::Span>& spans,
                      const std::vector<std::pair<std::string, std::string>>& resource);

// Takes spans from any thread and sends them from its own. The logger outlives it.
class Tracing final : public observe::SpanSink {
 public:
  Tracing(TraceOptions options, const observe::Logger& logger);
  // Sends what is queued, for at most the time of one attempt, and ends the thread.
  ~Tracing() override;
  Tracing(const Tracing&) = delete;
  Tracing& operator=(const Tracing&) = delete;

  const observe::Sampler& sampler() const { return options_.sampler; }
  // Never waits: what does not fit is dropped and counted. Thread-safe.
  void offer(std::vector<observe::Span> spans) override;

  // Spans so far. Thread-safe.
  std::uint64_t sent_spans() const { return sent_; }
  std::uint64_t dropped_spans() const { return queue_.dropped_spans(); }  // the queue was full
  std::uint64_t failed_spans() const { return failed_; }  // the collector did not take them

 private:
  enum class Outcome : std::uint8_t { kTaken, kRefused, kAgain };
  void work();
  void send(http::Client& client, const std::vector<observe::Span>& spans);
  Outcome attempt(http::Client& client, const http::ClientRequest& request);

  const TraceOptions options_;
  const observe::Logger& logger_;
  observe::SpanQueue queue_;
  std::atomic<std::uint64_t> sent_{0}, failed_{0};
  std::atomic<bool> stop_{false};  // ends an attempt that is under way
  std::promise<void> ended_;
  std::thread thread_;
};

}  // namespace holdfast::gateway
