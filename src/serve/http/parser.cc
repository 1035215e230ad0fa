// The only translation unit that sees Boost.Beast: its parser is driven without any I/O.
#include "holdfast/http/parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <limits>

#include "head_check.h"
#include "holdfast/base/check.h"
#include "holdfast/http/target.h"

namespace holdfast::http {
namespace {

namespace beast = boost::beast::http;
using beast_error = boost::beast::error_code;
using beast_view = boost::beast::string_view;

std::string_view view(beast_view text) { return {text.data(), text.size()}; }

// Beast's callbacks, collected into our own values.
template <bool kIsRequest>
class Collector final : public beast::basic_parser<kIsRequest> {
 public:
  std::string method, target;
  int version = 11, status = 0;
  Headers headers;
  std::string* body = nullptr;
  std::uint64_t body_bytes = 0;
  std::size_t body_bytes_max = std::numeric_limits<std::size_t>::max();
  bool too_large = false;
  bool chunk_header = false;  // one was read

 private:
  void on_request_impl(beast::verb, beast_view name, beast_view text, int v,
                       beast_error&) override {
    method = view(name);
    target = view(text);
    version = v;
  }
  void on_response_impl(int code, beast_view, int v, beast_error&) override {
    status = code;
    version = v;
  }
  void on_field_impl(beast::field, beast_view name, beast_view value, beast_error&) override {
    if (head_done_) return;  // a trailer: read and dropped
    headers.add(std::string(view(name)), std::string(view(value)));
  }
  void on_header_impl(beast_error&) override { head_done_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, beast_error&) override {}
  std::size_t append(beast_view text, beast_error& error) {
    body_bytes += text.size();
    if (body_bytes > body_bytes_max) {
      too_large = true;
      error = beast::error::body_limit;
      return 0;
    }
    body->append(text.data(), text.size());
    return text.size();
  }
  std::size_t on_body_impl(beast_view text, beast_error& error) override {
    return append(text, error);
  }
  void on_chunk_header_impl(std::uint64_t size, beast_view, beast_error& error) override {
    chunk_header = true;
    // Compared before a byte of the chunk is taken; the sum cannot overflow because both terms are
    // checked.
    if (size > body_bytes_max || body_bytes + size > body_bytes_max) {
      too_large = true;
      error = beast::error::body_limit;
    }
  }
  std::size_t on_chunk_body_impl(std::uint64_t, beast_view text, beast_error& error) override {
    return append(text, error);
  }
  void on_finish_impl(beast_error&) override {}

  bool head_done_ = false;
};

constexpr HttpError kBadRequest{400, "invalid_request", "The request is not valid HTTP/1.1."};
constexpr HttpError kLongChunk{400, "invalid_request", "A chunk header is too long."};
constexpr HttpError kBodyTooLarge{413, "request_too_large", "The request body is too large."};

}  // namespace

struct RequestParser::Impl {
  explicit Impl(const ParserLimits& l) : limits(l), scanner(limits) {
    parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes_max + 16));
    parser.body_limit(boost::none);  // ours is checked in the collector, with our own error
    parser.body_bytes_max = limits.body_bytes_max;
    parser.body = &request.body;
  }

  ParserLimits limits;
  HeadScanner scanner;
  Collector<true> parser;
  Request request;
  HttpError failure;
  State state = State::kHead;

  std::size_t fail(HttpError e) {
    failure = e;
    state = State::kFailed;
    return 0;
  }
  std::size_t feed_head(std::string_view bytes);
  std::size_t feed_body(std::string_view bytes);
  bool finish_head();
};

bool RequestParser::Impl::finish_head() {
  request.method = std::move(parser.method);
  request.target = std::move(parser.target);
  request.version_minor = parser.version % 10;
  request.headers = std::move(parser.headers);
  auto target = parse_target(request.target);
  if (!target.ok()) {
    fail(kBadRequest);
    return false;
  }
  request.path = std::move(target->path);
  request.query = std::move(target->query);
  // RFC 9112 section 3.2.2: the authority of an absolute target replaces Host.
  if (!target->authority.empty()) request.headers.set("Host", std::move(target->authority));
  if (const auto length = parser.content_length(); length && *length > limits.body_bytes_max) {
    fail(kBodyTooLarge);
    return false;
  }
  return true;
}

std::size_t RequestParser::Impl::feed_head(std::string_view bytes) {
  // RFC 9112 section 2.2: empty lines before a request are ignored; two are enough for any real
  // client.
  std::size_t skipped = 0;
  while (skipped < 4 && bytes.substr(skipped, 2) == "\r\n") skipped += 2;
  if (skipped > 0) return skipped;
  if (bytes == "\r") return 0;  // an empty line or a bad start: the next byte tells
  const std::size_t end = scanner.scan(bytes);
  if (scanner.error()) return fail(*scanner.error());
  if (end == 0) return 0;
  const std::string_view head = bytes.substr(0, end);
  if (const auto problem = check_head(head)) return fail(*problem);
  std::size_t used = 0;
  beast_error error;
  // Without eager(), put() stops after the start line and after the fields.
  while (used < end && !parser.is_header_done()) {
    const std::size_t n = parser.put({head.data() + used, end - used}, error);
    used += n;
    if (error || n == 0) break;
  }
  if (error || !parser.is_header_done() || used != end) return fail(kBadRequest);
  if (!finish_head()) return 0;
  state = parser.is_done() ? State::kDone : State::kBody;
  return end;
}

std::size_t RequestParser::Impl::feed_body(std::string_view bytes) {
  if (bytes.empty()) return 0;
  // Beast asserts that a last chunk which is the first one comes back with at least the bytes that
  // can complete it: 0 CR LF CR LF. After another chunk a CR LF stands before it.
  // However the bytes are cut: what is refused must not depend on it.
  if (parser.chunked() && parser.body_bytes == 0 && bytes.size() < 5 && bytes.front() == '0')
    return 0;
  // What is not consumed, or is consumed as a chunk header, is at most a header or the last chunk
  // with its trailer. 4: the CR LF pairs around it.
  const std::size_t header_max = limits.chunk_header_bytes_max + 4;
  std::size_t used = 0;
  while (used < bytes.size() && !parser.is_done()) {
    beast_error error;
    parser.chunk_header = false;
    const std::size_t n = parser.put({bytes.data() + used, bytes.size() - used}, error);
    used += n;
    const bool needs_more = error == beast::error::need_more;
    if (parser.too_large) return fail(kBodyTooLarge);
    if (parser.chunk_header && n > header_max) return fail(kLongChunk);
    if (needs_more) break;
    if (error) return fail(kBadRequest);
  }
  if (!parser.is_done()) return bytes.size() - used > header_max ? fail(kLongChunk) : used;
  state = State::kDone;
  return used;
}

RequestParser::RequestParser(const ParserLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;
RequestParser& RequestParser::operator=(RequestParser&&) noexcept = default;

std::size_t RequestParser::feed(std::string_view bytes) {
  if (impl_->state == State::kHead) return impl_->feed_head(bytes);
  if (impl_->state == State::kBody) return impl_->feed_body(bytes);
  return 0;
}

RequestParser::State RequestParser::state() const { return impl_->state; }
Request& RequestParser::request() { return impl_->request; }
const HttpError& RequestParser::error() const { return impl_->failure; }
std::size_t RequestParser::body_bytes() const {
  return static_cast<std::size_t>(impl_->parser.body_bytes);
}

bool RequestParser::keep_alive() const {
  // HTTP/1.0 clients get one answer per connection.
  return impl_->request.version_minor == 1 && impl_->parser.keep_alive();
}

bool RequestParser::expects_continue() const {
  return impl_->request.version_minor == 1 &&
         equal_ignoring_case(impl_->request.headers.get("expect"), "100-continue");
}

struct ResponseParser::Impl {
  explicit Impl(bool head) : head_request(head) { restart(); }

  bool head_request;
  std::unique_ptr<Collector<false>> parser;
  Headers headers;
  int status = 0;
  State state = State::kHead;
  bool needs_more = false;

  void restart() {
    parser = std::make_unique<Collector<false>>();
    parser->header_limit(64 * 1024);
    parser->body_limit(boost::none);
    if (head_request) parser->skip(true);
  }
  void finish_head() {
    if (parser->status / 100 == 1) {
      restart();
      return;
    }
    status = parser->status;
    headers = std::move(parser->headers);
    state = parser->is_done() ? State::kDone : State::kBody;
  }
};

ResponseParser::ResponseParser(bool head_request) : impl_(std::make_unique<Impl>(head_request)) {}
ResponseParser::~ResponseParser() = default;
ResponseParser::ResponseParser(ResponseParser&&) noexcept = default;
ResponseParser& ResponseParser::operator=(ResponseParser&&) noexcept = default;

std::size_t ResponseParser::feed(std::string_view bytes, std::string& body) {
  const bool first_chunk = impl_->needs_more && impl_->parser->body_bytes == 0;
  if (first_chunk && !bytes.empty() && bytes.size() < 5 && bytes.front() == '0')
    return 0;  // as in RequestParser
  std::size_t used = 0;
  while (used < bytes.size() && (state() == State::kHead || state() == State::kBody)) {
    beast_error error;
    impl_->parser->body = &body;
    const std::size_t n = impl_->parser->put({bytes.data() + used, bytes.size() - used}, error);
    used += n;
    impl_->needs_more = state() == State::kBody && error == beast::error::need_more;
    if (error && error != beast::error::need_more) {
      impl_->state = State::kFailed;
    } else if (state() == State::kHead && impl_->parser->is_header_done()) {
      impl_->finish_head();
      continue;
    } else if (state() == State::kBody && impl_->parser->is_done()) {
      impl_->state = State::kDone;
    }
    if (error) break;
  }
  return used;
}

void ResponseParser::feed_end() {
  if (state() != State::kBody) {
    if (state() == State::kHead) impl_->state = State::kFailed;
    return;
  }
  beast_error error;
  impl_->parser->put_eof(error);
  impl_->state = error ? State::kFailed : State::kDone;
}

ResponseParser::State ResponseParser::state() const { return impl_->state; }
int ResponseParser::status() const { return impl_->status; }
const Headers& ResponseParser::headers() const { return impl_->headers; }
bool ResponseParser::keep_alive() const {
  return impl_->parser->is_header_done() && impl_->parser->keep_alive();
}

}  // namespace holdfast::http
