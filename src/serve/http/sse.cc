#include "holdfast/http/sse.h"

namespace holdfast::http {
namespace {
constexpr std::size_t kEventBytesMax = 16u << 20;
}

std::string sse_frame(std::string_view data, std::string_view event) {
  std::string out;
  if (!event.empty()) {
    out += "event: ";
    out += event;
    out += '\n';
  }
  while (true) {
    const std::size_t end = data.find('\n');
    out += "data: ";
    out += data.substr(0, end);
    out += '\n';
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + 1);
  }
  out += '\n';
  return out;
}

void SseReader::line(std::string_view text) {
  if (text.empty()) {
    if (has_data_) on_event_(event_, data_);
    event_.clear();
    data_.clear();
    has_data_ = false;
    return;
  }
  const std::size_t colon = text.find(':');
  if (colon == 0) return;  // comment
  const std::string_view field = text.substr(0, colon);
  std::string_view value =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (field == "event") {
    event_ = value;
  } else if (field == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  }
}

void SseReader::feed(std::string_view bytes) {
  for (const char c : bytes) {
    if (failed_) return;
    const bool crlf = after_cr_ && c == '\n';
    after_cr_ = c == '\r';
    if (crlf) continue;
    if (c == '\n' || c == '\r') {
      line(buffer_);
      buffer_.clear();
      continue;
    }
    buffer_ += c;
    failed_ = buffer_.size() + data_.size() > kEventBytesMax;
  }
}

}  // namespace holdfast::http
