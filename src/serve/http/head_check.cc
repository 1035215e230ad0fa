#include "head_check.h"

#include <algorithm>

namespace holdfast::http {
namespace {

constexpr HttpError kBadRequest{400, "invalid_request", "The request is not valid HTTP/1.1."};
constexpr HttpError kTooLarge{431, "headers_too_large",
                              "The request line or headers are too large."};
constexpr HttpError kAmbiguous{400, "invalid_request",
                               "The length of the request body is ambiguous."};

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

struct Seen {
  int content_length = 0;
  int transfer_encoding = 0;
  int host = 0;
};

std::optional<HttpError> check_field(std::string_view line, bool http11, Seen& seen) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return kBadRequest;
  const std::string_view name = line.substr(0, colon);
  // Also refuses folded lines (a leading blank) and blanks before the colon.
  if (!std::all_of(name.begin(), name.end(), is_token_char)) return kBadRequest;
  const std::string_view value = trim(line.substr(colon + 1));
  if (equal_ignoring_case(name, "content-length")) {
    ++seen.content_length;
    const bool digits =
        std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
    // 18 digits cannot overflow, and no body is that long.
    if (value.empty() || value.size() > 18 || !digits) return kAmbiguous;
  } else if (equal_ignoring_case(name, "transfer-encoding")) {
    ++seen.transfer_encoding;
    if (!http11 || !equal_ignoring_case(value, "chunked")) return kAmbiguous;
  } else if (equal_ignoring_case(name, "host")) {
    ++seen.host;
  }
  return std::nullopt;
}

}  // namespace

std::size_t HeadScanner::fail(HttpError error) {
  error_ = error;
  return 0;
}

std::size_t HeadScanner::end_line(std::string_view bytes, std::size_t line_feed) {
  const std::size_t length = line_feed - 1 - line_start_;  // without CR LF
  line_start_ = line_feed + 1;
  if (length == 0) {
    if (lines_ == 0) return fail(kBadRequest);
    return line_feed + 1;
  }
  if (lines_ == 0 && length > limits_.request_line_bytes_max) return fail(kTooLarge);
  if (lines_ > limits_.header_fields_max) return fail(kTooLarge);
  ++lines_;
  (void)bytes;
  return 0;
}

std::size_t HeadScanner::scan(std::string_view bytes) {
  for (; scanned_ < bytes.size(); ++scanned_) {
    if (scanned_ >= limits_.header_bytes_max) return fail(kTooLarge);
    const auto c = static_cast<unsigned char>(bytes[scanned_]);
    const bool after_cr = scanned_ > 0 && bytes[scanned_ - 1] == '\r';
    if (c == '\n') {
      if (!after_cr) return fail(kBadRequest);
      if (const std::size_t end = end_line(bytes, scanned_); end != 0 || error_) {
        ++scanned_;
        return end;
      }
      continue;
    }
    if (after_cr) return fail(kBadRequest);
    if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f) return fail(kBadRequest);
    if (lines_ == 0 && scanned_ - line_start_ > limits_.request_line_bytes_max)
      return fail(kTooLarge);
  }
  return 0;
}

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// " HTTP/2.0".
bool is_version(std::string_view text) {
  return text.starts_with(" HTTP/") && is_digit(text[6]) && text[7] == '.' && is_digit(text[8]);
}

}  // namespace

std::optional<HttpError> check_head(std::string_view head) {
  const std::size_t first_end = head.find("\r\n");
  const std::string_view request_line = head.substr(0, first_end);
  if (request_line.size() < 9) return kBadRequest;
  const std::string_view version = request_line.substr(request_line.size() - 9);
  if (version != " HTTP/1.1" && version != " HTTP/1.0") {
    // A version that exists, or could, is answered as such; anything else is no request line.
    if (!is_version(version)) return kBadRequest;
    return HttpError{505, "http_version_not_supported", "Only HTTP/1.0 and HTTP/1.1 are offered."};
  }
  const bool http11 = version == " HTTP/1.1";
  Seen seen;
  std::string_view rest = head.substr(first_end + 2);
  while (rest.size() > 2) {
    const std::size_t end = rest.find("\r\n");
    if (auto error = check_field(rest.substr(0, end), http11, seen)) return error;
    rest.remove_prefix(end + 2);
  }
  if (seen.content_length + seen.transfer_encoding > 1) return kAmbiguous;
  if (seen.host > 1 || (http11 && seen.host == 0)) return kBadRequest;
  return std::nullopt;
}

}  // namespace holdfast::http
