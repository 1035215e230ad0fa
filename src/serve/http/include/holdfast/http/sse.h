// Server-sent events: writing frames, and reading them back (WHATWG HTML, section 9.2).
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace holdfast::http {

// "data: <line>\n\n" per line of data, with an event name if there is one.
std::string sse_frame(std::string_view data, std::string_view event = {});
inline constexpr std::string_view kSsePing = ": ping\n\n";

// Thread-compatible. Events longer than 16 MiB end the stream with failed().
class SseReader {
 public:
  using OnEvent = std::function<void(std::string_view event, std::string_view data)>;
  explicit SseReader(OnEvent on_event) : on_event_(std::move(on_event)) {}
  void feed(std::string_view bytes);
  bool failed() const { return failed_; }

 private:
  void line(std::string_view text);
  OnEvent on_event_;
  std::string buffer_, event_, data_;
  bool has_data_ = false, failed_ = false, after_cr_ = false;
};

}  // namespace holdfast::http
