// The OTEL_* variables. Unlike other implementations this one refuses what it cannot honour:
// a trace that is lost in silence is missed on the day that it is needed.
#include <algorithm>
#include <charconv>

#include "holdfast/gateway/tracing.h"
#include "holdfast/http/address.h"

namespace holdfast::gateway {
namespace {

constexpr std::size_t kPairsMax = 64;
constexpr std::size_t kVariableBytesMax = 8 * 1024;

Error bad_variable(std::string_view name, std::string_view why) {
  return invalid_argument(std::string(name) + " " + std::string(why));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (text.size() - i < 3) return std::nullopt;
    const char* digits = text.data() + i + 1;
    const auto [end, code] = std::from_chars(digits, digits + 2, value, 16);
    if (code != std::errc() || end != digits + 2) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

bool is_header_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

// "a=b,c=d", values percent-encoded.
Result<Pairs> parse_pairs(std::string_view variable, std::string_view text) {
  Pairs out;
  if (text.size() > kVariableBytesMax) return bad_variable(variable, "is longer than 8 KiB");
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view item = trimmed(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (item.empty()) continue;
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0 || out.size() == kPairsMax)
      return bad_variable(variable, "is not a list NAME=VALUE,... of at most 64");
    auto value = percent_decoded(trimmed(item.substr(equals + 1)));
    if (!value || !is_printable(*value)) return bad_variable(variable, "has a malformed value");
    out.emplace_back(trimmed(item.substr(0, equals)), std::move(*value));
  }
  return out;
}

Result<std::uint64_t> parse_number(const Variables& variables, std::string_view name,
                                   std::uint64_t fallback, std::uint64_t max) {
  const std::string_view text = trimmed(variables(name));
  if (text.empty()) return fallback;
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value == 0 || value > max)
    return bad_variable(name, "is not a number from 1 to " + std::to_string(max));
  return value;
}

bool is_this_machine(const http::Endpoint& endpoint) {
  return !endpoint.unix_path.empty() || http::is_loopback(endpoint.host);
}

Status read_endpoint(const Variables& variables, TraceOptions& out) {
  std::string_view name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
  std::string_view url = trimmed(variables(name));
  const bool whole = !url.empty();  // else the path of traces is added
  if (!whole) url = trimmed(variables(name = "OTEL_EXPORTER_OTLP_ENDPOINT"));
  constexpr std::string_view kHint =
      "run a collector on this machine; it can forward traces with its own credentials";
  if (url.starts_with("https://"))
    return bad_variable(name, "must be http:// on this machine, or unix:/path")
        .with_hint(std::string(kHint));
  auto endpoint = http::parse_endpoint(url);
  if (!endpoint.ok()) return bad_variable(name, "is not http://HOST:PORT or unix:/path");
  if (!is_this_machine(*endpoint)) {
    return bad_variable(name, "is on another machine; traces stay on this one")
        .with_hint(std::string(kHint));
  }
  out.endpoint = std::move(*endpoint);
  if (whole && out.endpoint.unix_path.empty()) out.path = std::exchange(out.endpoint.base_path, {});
  if (out.path.empty()) out.path = "/";
  return ok_status();
}

Status read_resource(const Variables& variables, std::string_view version, TraceOptions& out) {
  HF_TRY_ASSIGN(Pairs given,
                parse_pairs("OTEL_RESOURCE_ATTRIBUTES", variables("OTEL_RESOURCE_ATTRIBUTES")));
  std::string service(trimmed(variables("OTEL_SERVICE_NAME")));
  for (const auto& [key, value] : given) {
    if (key == "service.name" && service.empty()) service = value;
  }
  out.resource = {{"service.name", service.empty() ? "holdfast" : service},
                  {"service.version", std::string(version)}};
  for (auto& [key, value] : given) {
    if (key != "service.name") out.resource.emplace_back(key, value);
  }
  return ok_status();
}

Status read_limits(const Variables& variables, TraceOptions& out) {
  HF_TRY_ASSIGN(out.queue_spans_max,
                parse_number(variables, "OTEL_BSP_MAX_QUEUE_SIZE", out.queue_spans_max, 1u << 20));
  HF_TRY_ASSIGN(out.batch_spans_max, parse_number(variables, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                                                  out.batch_spans_max, 1u << 16));
  constexpr std::uint64_t kHour = 3'600'000;
  HF_TRY_ASSIGN(const std::uint64_t delay,
                parse_number(variables, "OTEL_BSP_SCHEDULE_DELAY", 5000, kHour));
  HF_TRY_ASSIGN(const std::uint64_t timeout,
                parse_number(variables, "OTEL_EXPORTER_OTLP_TIMEOUT", 10'000, kHour));
  out.delay = std::chrono::milliseconds(delay);
  out.timeout = std::chrono::milliseconds(timeout);
  return ok_status();
}

Status read_protocol(const Variables& variables) {
  for (const std::string_view name :
       {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"}) {
    const std::string_view protocol = trimmed(variables(name));
    if (!protocol.empty() && protocol != "http/json")
      return bad_variable(name, "must be http/json: no other protocol is spoken");
  }
  return ok_status();
}

}  // namespace

Result<std::optional<TraceOptions>> trace_options(const Variables& variables,
                                                  std::string_view version) {
  const bool named = !trimmed(variables("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")).empty() ||
                     !trimmed(variables("OTEL_EXPORTER_OTLP_ENDPOINT")).empty();
  if (!named || variables("OTEL_SDK_DISABLED") == "true" ||
      variables("OTEL_TRACES_EXPORTER") == "none") {
    return std::optional<TraceOptions>();
  }
  TraceOptions out;
  HF_TRY(read_protocol(variables));
  HF_TRY(read_endpoint(variables, out));
  HF_TRY_ASSIGN(const Pairs headers,
                parse_pairs("OTEL_EXPORTER_OTLP_HEADERS", variables("OTEL_EXPORTER_OTLP_HEADERS")));
  for (const auto& [name, value] : headers) {
    if (!is_header_name(name))
      return bad_variable("OTEL_EXPORTER_OTLP_HEADERS", "names a header that cannot be");
    out.headers.set(name, value);
  }
  HF_TRY(read_resource(variables, version, out));
  HF_TRY(read_limits(variables, out));
  const std::string_view sampler = trimmed(variables("OTEL_TRACES_SAMPLER"));
  HF_TRY_ASSIGN(out.sampler,
                observe::Sampler::parse(sampler.empty() ? "parentbased_always_on" : sampler,
                                        trimmed(variables("OTEL_TRACES_SAMPLER_ARG"))));
  return std::optional<TraceOptions>(std::move(out));
}

}  // namespace holdfast::gateway
