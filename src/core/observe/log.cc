#include "holdfast/observe/log.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>

#include "holdfast/base/utf8.h"

namespace holdfast::observe {
namespace {

constexpr std::string_view kLevelNames[] = {"trace", "debug", "info", "warn", "error", "off"};
// Kept free of the line's limit for the mark that fields were left out, closing characters and the
// newline.
constexpr std::size_t kLineReserveBytes = 64;

// A value shortened to kLogValueBytesMax, made valid UTF-8; `left_out` is what was cut.
std::string bounded_text(std::string_view text, std::size_t& left_out) {
  left_out = 0;
  if (text.size() > kLogValueBytesMax) {
    const std::size_t kept = complete_utf8_prefix(text.substr(0, kLogValueBytesMax));
    left_out = text.size() - kept;
    text = text.substr(0, kept);
  }
  std::string out = sanitize_utf8(text);
  if (left_out > 0) out += "...(+" + std::to_string(left_out) + " bytes)";
  return out;
}

// Quoted with JSON escapes: no value can start a line of its own or send a control sequence to a
// terminal.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080..U+009F (C2 80 .. C2 9F) are control characters to some terminals.
    const bool c1 =
        c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7f || c1) {
      const unsigned code = c1 ? static_cast<unsigned char>(text[++i]) : c;
      constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[code >> 4];
      out += kHex[code & 15];
    } else {
      out += text[i];
    }
  }
  out += '"';
}

bool needs_quotes(std::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || static_cast<unsigned char>(c) >= 0x7f) {
      return true;
    }
  }
  return false;
}

template <typename Number>
void append_number(std::string& out, Number value) {
  char text[64];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  out.append(text, error == std::errc() ? end : text);
}

class LineBuilder {
 public:
  explicit LineBuilder(LogFormat format) : format_(format) {
    if (format_ == LogFormat::kJson) line_ += '{';
  }

  template <typename Value>
  void add(std::string_view key, const Value& value) {
    if (full_) return;
    std::string field;
    if (!empty_) field += format_ == LogFormat::kJson ? ',' : ' ';
    if (format_ == LogFormat::kJson) {
      append_quoted(field, key);
      field += ':';
    } else {
      field.append(key);
      field += '=';
    }
    append_value(field, value);
    if (line_.size() + field.size() > kLogLineBytesMax - kLineReserveBytes) {
      full_ = true;
      return;
    }
    line_ += field;
    empty_ = false;
  }

  // Text format only: what stands before the fields.
  void add_plain(std::string_view text) {
    line_.append(text);
    empty_ = false;
  }

  std::string finish() && {
    if (full_) line_ += format_ == LogFormat::kJson ? ",\"truncated\":true" : " truncated=true";
    if (format_ == LogFormat::kJson) line_ += '}';
    line_ += '\n';
    return std::move(line_);
  }

 private:
  template <typename Value>
  void append_value(std::string& out, const Value& value) {
    if constexpr (std::is_convertible_v<Value, std::string_view>) {
      std::size_t left_out = 0;
      const std::string text = bounded_text(value, left_out);
      if (format_ == LogFormat::kJson || needs_quotes(text)) {
        append_quoted(out, text);
      } else {
        out += text;
      }
    } else if constexpr (std::is_same_v<Value, bool>) {
      out += value ? "true" : "false";
    } else if constexpr (std::is_same_v<Value, double>) {
      if (std::isfinite(value)) {
        append_number(out, value);
      } else {
        out += format_ == LogFormat::kJson ? "null" : std::isnan(value) ? "nan" : "inf";
      }
    } else {
      append_number(out, value);
    }
  }

  const LogFormat format_;
  std::string line_;
  bool empty_ = true;
  bool full_ = false;
};

std::string text_prefix(std::string_view time, LogLevel level, std::string_view event) {
  // "2026-03-01T12:00:00.123Z" -> "12:00:00.123": a person at a terminal knows the day.
  std::string out(time.substr(11, 12));
  std::string name(log_level_name(level));
  name.resize(5, ' ');
  out += ' ';
  for (const char c : name) out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  std::string quoted;
  append_quoted(quoted, event.substr(0, kLogValueBytesMax));
  return out + ' ' + quoted.substr(1, quoted.size() - 2);
}

}  // namespace

void wipe_memory(void* data, std::size_t bytes) {
  if (bytes != 0) ::explicit_bzero(data, bytes);
}

Result<LogLevel> parse_log_level(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kLevelNames); ++i) {
    if (kLevelNames[i] == name) return static_cast<LogLevel>(i);
  }
  return invalid_argument("unknown log level '" + sanitize_utf8(name) + "'",
                          "one of trace, debug, info, warn, error, off");
}

std::string_view log_level_name(LogLevel level) {
  return kLevelNames[static_cast<std::size_t>(level)];
}

Result<LogFormat> parse_log_format(std::string_view name, bool is_terminal) {
  if (name == "text" || (name == "auto" && is_terminal)) return LogFormat::kText;
  if (name == "logfmt" || name == "auto") return LogFormat::kLogfmt;
  if (name == "json") return LogFormat::kJson;
  return invalid_argument("unknown log format '" + sanitize_utf8(name) + "'",
                          "one of auto, text, logfmt, json");
}

void FdLogSink::write_line(std::string_view line) {
  const std::lock_guard lock(mutex_);
  while (!line.empty()) {
    const ssize_t n = ::write(fd_, line.data(), line.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      ++lines_dropped_;
      return;
    }
    line.remove_prefix(static_cast<std::size_t>(n));
  }
}

void MemoryLogSink::write_line(std::string_view line) {
  const std::lock_guard lock(mutex_);
  text_.append(line);
}

std::string MemoryLogSink::text() const {
  const std::lock_guard lock(mutex_);
  return text_;
}

void RingLogSink::write_line(std::string_view line) {
  const std::lock_guard lock(mutex_);
  lines_.emplace_back(line);
  bytes_ += line.size();
  while (bytes_ > bytes_max_) {
    bytes_ -= lines_.front().size();
    lines_.pop_front();
  }
}

std::string RingLogSink::text() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const std::string& line : lines_) out += line;
  return out;
}

Logger::Logger(LogSink& sink, const platform::Clock& clock, const LogOptions& options)
    : sink_(&sink),
      clock_(&clock),
      format_(options.format),
      level_(std::make_shared<std::atomic<LogLevel>>(options.level)) {}

Logger Logger::discard() {
  static MemoryLogSink unused;
  Logger logger(unused, platform::system_clock(), {LogLevel::kOff, LogFormat::kLogfmt});
  logger.sink_ = nullptr;
  return logger;
}

Logger Logger::with(const Field& field) const {
  Logger copy = *this;
  OwnedField owned;
  owned.key = field.key();
  std::visit(
      [&](const auto& v) {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, std::string_view>) {
          owned.value = std::string(v);
        } else {
          owned.value = v;
        }
      },
      field.value());
  copy.context_.push_back(std::move(owned));
  return copy;
}

void Logger::log(LogLevel level, std::string_view event,
                 std::initializer_list<Field> fields) const {
  if (!enabled(level)) return;
  const std::string time = platform::format_rfc3339_ms(clock_->wall_time());
  LineBuilder line(format_);
  if (format_ == LogFormat::kText) {
    line.add_plain(text_prefix(time, level, event));
  } else {
    line.add("ts", std::string_view(time));
    line.add("level", log_level_name(level));
    line.add("event", event);
  }
  for (const OwnedField& f : context_) {
    std::visit([&](const auto& v) { line.add(f.key, v); }, f.value);
  }
  for (const Field& f : fields) {
    std::visit([&](const auto& v) { line.add(f.key(), v); }, f.value());
  }
  sink_->write_line(std::move(line).finish());
}

}  // namespace holdfast::observe
