// Incremental HTTP/1.1 parsers without I/O: bytes in, messages out, limits before allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "holdfast/http/message.h"

namespace holdfast::http {

struct ParserLimits {
  std::size_t request_line_bytes_max = 8 * 1024;
  std::size_t header_fields_max = 64;
  std::size_t header_bytes_max = 32 * 1024;  // request line included
  std::size_t body_bytes_max = 8u << 20;
  // One chunk-size line with its extensions; also the last chunk with its trailer, which is read
  // and dropped.
  std::size_t chunk_header_bytes_max = 256;
};

// Parses one request. The caller keeps bytes that were not consumed and offers them again, with
// more after them. Everything by which two HTTP parsers could disagree about where a message ends
// is refused: Content-Length with Transfer-Encoding, repeated Content-Length, bare LF, folded
// lines, unknown codings, malformed chunk sizes. Thread-compatible.
class RequestParser {
 public:
  enum class State : std::uint8_t {
    kHead,  // more bytes are needed
    kBody,  // the head is complete: request() has everything but the body
    kDone,
    kFailed,  // error() says why; the connection cannot be used any further
  };

  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();
  RequestParser(RequestParser&&) noexcept;
  RequestParser& operator=(RequestParser&&) noexcept;

  // Consumes a prefix of `bytes` and returns its length. Returns at the end of the head, of the
  // message, or when more bytes are needed.
  std::size_t feed(std::string_view bytes);

  State state() const;
  Request& request();
  const HttpError& error() const;
  bool keep_alive() const;         // precondition: head complete
  bool expects_continue() const;   // precondition: head complete
  std::size_t body_bytes() const;  // received so far

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Parses one response (for the client). Interim responses (1xx) are skipped. Body bytes go to the
// callback.
class ResponseParser {
 public:
  enum class State : std::uint8_t { kHead, kBody, kDone, kFailed };
  explicit ResponseParser(bool head_request = false);
  ~ResponseParser();
  ResponseParser(ResponseParser&&) noexcept;
  ResponseParser& operator=(ResponseParser&&) noexcept;

  // As RequestParser::feed; body bytes are appended to `body`.
  std::size_t feed(std::string_view bytes, std::string& body);
  // The peer closed: completes a response without length, fails any other unfinished one.
  void feed_end();

  State state() const;
  int status() const;
  const Headers& headers() const;
  bool keep_alive() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::http
