// The parsers of requests and responses must give the same answer however the bytes are cut, and
// never hold more than their limits. The event reader and the path decoder see the same bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "holdfast/http/parser.h"
#include "holdfast/http/sse.h"
#include "holdfast/http/target.h"

namespace {

using holdfast::http::ParserLimits;
using holdfast::http::RequestParser;
using holdfast::http::ResponseParser;

constexpr std::size_t kBodyMax = 4096;

struct Outcome {
  RequestParser::State state;
  std::string method, path, body;
  std::size_t fields = 0, consumed = 0;
  bool keep_alive = false, expects_continue = false;
  bool operator==(const Outcome&) const = default;
};

// The statuses that this layer documents for what it cannot read.
bool is_refusal(int status) {
  return status == 400 || status == 413 || status == 431 || status == 505;
}

Outcome parse(std::string_view text, std::size_t step) {
  ParserLimits limits;
  limits.request_line_bytes_max = 256;
  limits.header_fields_max = 8;
  limits.header_bytes_max = 1024;
  limits.body_bytes_max = kBodyMax;
  RequestParser parser(limits);
  std::string buffer;
  std::size_t at = 0, consumed = 0;
  while (parser.state() != RequestParser::State::kDone &&
         parser.state() != RequestParser::State::kFailed) {
    const std::size_t used = parser.feed(buffer);
    if (used > buffer.size()) abort();
    buffer.erase(0, used);
    consumed += used;
    if (used > 0) continue;
    if (at == text.size()) break;
    if (parser.state() == RequestParser::State::kFailed ||
        parser.state() == RequestParser::State::kDone)
      break;
    const std::string_view more = text.substr(at, step);
    buffer += more;
    at += more.size();
  }
  auto& request = parser.request();
  if (request.body.size() > kBodyMax || request.headers.size() > 9) abort();
  if (parser.body_bytes() > kBodyMax) abort();
  Outcome out{parser.state(), "", "", ""};
  if (out.state == RequestParser::State::kFailed && !is_refusal(parser.error().status)) abort();
  if (out.state == RequestParser::State::kDone) {
    out = {out.state,           request.method,           request.path,
           request.body,        request.headers.size(),   consumed,
           parser.keep_alive(), parser.expects_continue()};
    if (parser.body_bytes() != request.body.size()) abort();
  }
  return out;
}

struct Answer {
  ResponseParser::State state{};
  int status = 0;
  std::size_t fields = 0;
  std::string body;
  bool keep_alive = false;
  bool operator==(const Answer&) const = default;
};

Answer parse_response(std::string_view text, std::size_t step) {
  ResponseParser parser;
  Answer failed;
  failed.state = ResponseParser::State::kFailed;
  std::string buffer, body;
  for (std::size_t at = 0; at < text.size(); at += std::min(step, text.size() - at)) {
    buffer += text.substr(at, step);
    while (const std::size_t used = parser.feed(buffer, body)) {
      if (used > buffer.size()) abort();
      buffer.erase(0, used);
    }
  }
  parser.feed_end();
  if (body.size() > text.size()) abort();
  if (parser.state() == ResponseParser::State::kFailed) return failed;
  return {parser.state(), parser.status(), parser.headers().size(), body, parser.keep_alive()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Outcome whole = parse(text, std::string_view::npos);
  if (!(parse(text, 1) == whole) || !(parse(text, 1 + size % 13) == whole)) abort();

  if (!(parse_response(text, std::string_view::npos) == parse_response(text, 1 + size % 7)))
    abort();

  std::size_t event_bytes = 0;
  holdfast::http::SseReader reader(
      [&](std::string_view, std::string_view event) { event_bytes += event.size(); });
  reader.feed(text);
  if (event_bytes > size) abort();

  auto target = holdfast::http::parse_target(text);
  if (target.ok() && target->path.size() > size + 1) abort();
  return 0;
}
