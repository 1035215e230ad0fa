#include "holdfast/observe/trace.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <span>

#include "holdfast/base/bytes.h"

namespace holdfast::observe {
namespace {

constexpr std::size_t kTraceStateMembersMax = 32;
constexpr std::size_t kTraceStateBytesMax = 512;

// Lower-case digits only: the standard forbids the others.
std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  return std::nullopt;
}

bool take_hex(std::string_view& text, std::span<std::byte> out) {
  if (text.size() < out.size() * 2) return false;
  for (std::byte& b : out) {
    const auto high = hex_digit(text[0]);
    const auto low = hex_digit(text[1]);
    if (!high || !low) return false;
    b = static_cast<std::byte>(*high << 4 | *low);
    text.remove_prefix(2);
  }
  return true;
}

bool take_dash(std::string_view& text) {
  if (text.empty() || text[0] != '-') return false;
  text.remove_prefix(1);
  return true;
}

bool is_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

template <typename Id>
Id new_id(platform::Entropy& entropy) {
  Id out{};
  ignore_error(entropy.fill(out), "the id joins spans and grants nothing");
  if (is_zero(out)) out.back() = std::byte{1};
  return out;
}

}  // namespace

TraceId new_trace_id(platform::Entropy& entropy) { return new_id<TraceId>(entropy); }
SpanId new_span_id(platform::Entropy& entropy) { return new_id<SpanId>(entropy); }

std::optional<TraceContext> parse_traceparent(std::string_view header) {
  std::array<std::byte, 1> version{};
  std::array<std::byte, 1> flags{};
  TraceContext out;
  if (!take_hex(header, version) || version[0] == std::byte{0xff} || !take_dash(header) ||
      !take_hex(header, out.trace_id) || is_zero(out.trace_id) || !take_dash(header) ||
      !take_hex(header, out.span_id) || is_zero(out.span_id) || !take_dash(header) ||
      !take_hex(header, flags)) {
    return std::nullopt;
  }
  // Version 00 ends here; a later one may go on after another dash.
  if (!header.empty() && (version[0] == std::byte{0} || header[0] != '-')) return std::nullopt;
  out.sampled = (flags[0] & std::byte{1}) != std::byte{0};
  return out;
}

std::string format_traceparent(const TraceContext& context) {
  return "00-" + to_hex(context.trace_id) + "-" + to_hex(context.span_id) +
         (context.sampled ? "-01" : "-00");
}

std::string clean_tracestate(std::string_view header) {
  const bool printable =
      std::ranges::all_of(header, [](char c) { return c == '\t' || (c >= ' ' && c < 0x7f); });
  if (!printable) return {};
  std::string out;
  std::size_t members = 0;
  while (!header.empty() && members < kTraceStateMembersMax) {
    const std::size_t comma = header.find(',');
    std::string_view member = header.substr(0, comma);
    header.remove_prefix(comma == std::string_view::npos ? header.size() : comma + 1);
    while (member.starts_with(' ') || member.starts_with('\t')) member.remove_prefix(1);
    while (member.ends_with(' ') || member.ends_with('\t')) member.remove_suffix(1);
    if (member.empty()) continue;
    if (out.size() + member.size() + 1 > kTraceStateBytesMax) break;
    if (!out.empty()) out += ',';
    out += member;
    ++members;
  }
  return out;
}

Result<Sampler> Sampler::parse(std::string_view name, std::string_view argument) {
  constexpr std::string_view kParent = "parentbased_";
  Sampler out;
  out.parent_based = name.starts_with(kParent);
  const std::string_view root = out.parent_based ? name.substr(kParent.size()) : name;
  if (root == "always_on") {
    out.kind = Kind::kOn;
  } else if (root == "always_off") {
    out.kind = Kind::kOff;
  } else if (root == "traceidratio") {
    out.kind = Kind::kRatio;
    if (argument.empty()) return out;
    const auto [end, code] =
        std::from_chars(argument.data(), argument.data() + argument.size(), out.ratio);
    if (code != std::errc() || end != argument.data() + argument.size() ||
        !(out.ratio >= 0 && out.ratio <= 1)) {
      return invalid_argument("OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1");
    }
  } else {
    return invalid_argument("OTEL_TRACES_SAMPLER '" + std::string(name) + "' is not known")
        .with_hint(
            "one of always_on, always_off, traceidratio, and these with parentbased_ before");
  }
  return out;
}

bool Sampler::sample(const std::optional<TraceContext>& parent, const TraceId& trace_id) const {
  if (parent_based && parent) return parent->sampled;
  if (kind != Kind::kRatio) return kind == Kind::kOn;
  if (ratio >= 1) return true;
  // The random part of a trace id is its end (W3C level 2). 63 bits, as other implementations take.
  const std::uint64_t random = load_be<std::uint64_t>(trace_id.data() + 8) >> 1;
  return static_cast<double>(random) < std::ldexp(ratio, 63);
}

bool SpanQueue::offer(std::vector<Span> spans) {
  const std::lock_guard lock(mutex_);
  if (closed_ || spans.size() > spans_max_ - spans_.size()) {
    dropped_spans_ += spans.size();
    return false;
  }
  std::ranges::move(spans, std::back_inserter(spans_));
  if (spans_.size() >= wanted_) changed_.notify_all();
  return true;
}

std::vector<Span> SpanQueue::take(std::size_t wanted, std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  wanted_ = std::min(wanted, spans_max_);
  changed_.wait_for(lock, wait, [this] { return closed_ || spans_.size() >= wanted_; });
  const auto end = spans_.begin() + static_cast<std::ptrdiff_t>(std::min(wanted, spans_.size()));
  std::vector<Span> out(std::make_move_iterator(spans_.begin()), std::make_move_iterator(end));
  spans_.erase(spans_.begin(), end);
  return out;
}

void SpanQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

bool SpanQueue::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

bool SpanQueue::wait_closed(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, wait, [this] { return closed_; });
}

std::uint64_t SpanQueue::dropped_spans() const {
  const std::lock_guard lock(mutex_);
  return dropped_spans_;
}

}  // namespace holdfast::observe
