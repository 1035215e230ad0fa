// The request parser must give the same answer however the bytes are cut, and never hold more than
// its limits. The response parser, the event reader and the path decoder see the same bytes.
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

constexpr std::size_t kBodyMax = 4096;

struct Outcome {
  RequestParser::State state;
  std::string method, path, body;
  std::size_t fields = 0, consumed = 0;
  bool operator==(const Outcome&) const = default;
};

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
  Outcome out{parser.state(), "", "", "", 0, 0};
  if (out.state == RequestParser::State::kDone) {
    out = {out.state, request.method, request.path, request.body, request.headers.size(), consumed};
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Outcome whole = parse(text, std::string_view::npos);
  if (!(parse(text, 1) == whole) || !(parse(text, 1 + size % 13) == whole)) abort();

  holdfast::http::ResponseParser response;
  std::string body;
  response.feed(text, body);
  response.feed_end();
  if (body.size() > size) abort();

  std::size_t event_bytes = 0;
  holdfast::http::SseReader reader(
      [&](std::string_view, std::string_view event) { event_bytes += event.size(); });
  reader.feed(text);
  if (event_bytes > size) abort();

  auto target = holdfast::http::parse_target(text);
  if (target.ok() && target->path.size() > size + 1) abort();
  return 0;
}
