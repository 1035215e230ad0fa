// Traces: spans, the W3C traceparent header, sampling, and the bounded queue between those who make
// spans and the one who sends them.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/platform/entropy.h"

namespace holdfast::observe {

using TraceId = std::array<std::byte, 16>;
using SpanId = std::array<std::byte, 8>;

// New ids, never all zeros whatever the source of randomness gives: they join spans and grant
// nothing.
TraceId new_trace_id(platform::Entropy& entropy);
SpanId new_span_id(platform::Entropy& entropy);

// Where a request stands in a trace. Ids are never all zeros.
struct TraceContext {
  TraceId trace_id{};
  SpanId span_id{};
  bool sampled = false;
};

// W3C Trace Context, level 1: nothing if any rule is broken. Versions after 00 are read as far as
// version 00 goes, as the standard demands; version ff is none.
std::optional<TraceContext> parse_traceparent(std::string_view header);
// In version 00.
std::string format_traceparent(const TraceContext& context);

// A tracestate header that may be sent on: whole members from the beginning, at most 32 and 512
// bytes, as the standard asks to keep. Empty if there is none or it holds other than printable
// ASCII.
std::string clean_tracestate(std::string_view header);

// Which requests are traced: OTEL_TRACES_SAMPLER.
struct Sampler {
  enum class Kind : std::uint8_t { kOn, kOff, kRatio };
  Kind kind = Kind::kOn;
  double ratio = 1;          // of kRatio, 0..1, by trace id: all services decide the same
  bool parent_based = true;  // a request that brings a decision keeps it

  // `name` as in the OpenTelemetry specification, such as "parentbased_traceidratio";
  // kInvalidArgument otherwise, or if the argument of a ratio is not a number from 0 to 1 (empty:
  // 1).
  static Result<Sampler> parse(std::string_view name, std::string_view argument);
  bool sample(const std::optional<TraceContext>& parent, const TraceId& trace_id) const;
};

struct SpanAttribute {
  using Value = std::variant<std::string, std::int64_t, double, std::vector<std::string>>;
  std::string key;
  Value value;
};

struct Span {
  enum class Kind : std::uint8_t { kInternal, kServer, kClient };
  TraceId trace_id{};
  SpanId span_id{};
  std::optional<SpanId> parent_id;
  std::string name;
  Kind kind = Kind::kInternal;
  std::int64_t start_unix_ns = 0;
  std::int64_t end_unix_ns = 0;
  std::vector<SpanAttribute> attributes;
  bool failed = false;
};

// Takes finished spans. Thread-safe; never waits.
class SpanSink {
 public:
  virtual ~SpanSink() = default;
  virtual void offer(std::vector<Span> spans) = 0;
};

// A queue that forgets rather than blocks. Thread-safe; owned by whoever sends the spans.
class SpanQueue {
 public:
  explicit SpanQueue(std::size_t spans_max) : spans_max_(spans_max) {}

  // All or none: false, and counted, where they do not fit. Never waits for the reader.
  bool offer(std::vector<Span> spans);
  // Waits until `wanted` spans are there, the time is over or close() was called; takes at most
  // `wanted`.
  std::vector<Span> take(std::size_t wanted, std::chrono::milliseconds wait);
  // From now on take() does not wait and offer() refuses.
  void close();
  bool closed() const;
  // Waits until close() or the time is over; whether it is closed.
  bool wait_closed(std::chrono::milliseconds wait);
  std::uint64_t dropped_spans() const;

 private:
  const std::size_t spans_max_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Span> spans_;
  std::size_t wanted_ = 1;  // how many the reader waits for
  std::uint64_t dropped_spans_ = 0;
  bool closed_ = false;
};

}  // namespace holdfast::observe
