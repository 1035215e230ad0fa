// What a request head must be before a parser sees it: one reading only, within the limits.
#pragma once

#include <optional>
#include <string_view>

#include "holdfast/http/parser.h"

namespace holdfast::http {

// Finds the end of a head in a growing buffer without reading bytes twice. Thread-compatible.
class HeadScanner {
 public:
  explicit HeadScanner(const ParserLimits& limits) : limits_(limits) {}

  // Offset just after the empty line; 0 while it has not arrived. error() when it can no longer be
  // valid.
  std::size_t scan(std::string_view bytes);
  const std::optional<HttpError>& error() const { return error_; }

 private:
  std::size_t fail(HttpError error);
  std::size_t end_line(std::string_view bytes, std::size_t line_feed);

  const ParserLimits& limits_;
  std::size_t scanned_ = 0;
  std::size_t line_start_ = 0;
  std::size_t lines_ = 0;
  std::optional<HttpError> error_;
};

// Checks each field of a complete head (request line included).
std::optional<HttpError> check_head(std::string_view head);

}  // namespace holdfast::http
