// Structured logs: an event name and typed fields per line, as text, logfmt or JSON. Never prompts,
// answers or keys.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/observe/secret.h"
#include "holdfast/platform/clock.h"

namespace holdfast::observe {

enum class LogLevel : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };
enum class LogFormat : std::uint8_t { kText, kLogfmt, kJson };

// "trace", "debug", "info", "warn", "error", "off". kInvalidArgument otherwise.
Result<LogLevel> parse_log_level(std::string_view name);
std::string_view log_level_name(LogLevel level);
// "text", "logfmt", "json", or "auto": text on a terminal, logfmt elsewhere. kInvalidArgument
// otherwise.
Result<LogFormat> parse_log_format(std::string_view name, bool is_terminal);

// A line is at most this long with its newline, so that a write to a pipe or journal stays whole.
inline constexpr std::size_t kLogLineBytesMax = 8 * 1024;
// One value of a line; a longer one is cut at a character and marked with the number of bytes left
// out.
inline constexpr std::size_t kLogValueBytesMax = 2 * 1024;

// One name and value. Only these types: a Secret does not convert.
class Field {
 public:
  Field(std::string_view key, std::string_view value) : key_(key), value_(value) {}
  Field(std::string_view key, const std::string& value)
      : key_(key), value_(std::string_view(value)) {}
  Field(std::string_view key, const char* value) : key_(key), value_(std::string_view(value)) {}
  Field(std::string_view key, double value) : key_(key), value_(value) {}
  template <std::integral T>
  Field(std::string_view key, T value) : key_(key) {
    if constexpr (std::same_as<T, bool>) {
      value_ = value;
    } else if constexpr (std::signed_integral<T>) {
      value_ = static_cast<std::int64_t>(value);
    } else {
      value_ = static_cast<std::uint64_t>(value);
    }
  }
  template <typename T>
  Field(std::string_view key, const Secret<T>& value) = delete;

  std::string_view key() const { return key_; }
  using Value = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;
  const Value& value() const { return value_; }

 private:
  std::string_view key_;
  Value value_;
};

// Where lines go. Thread-safe.
class LogSink {
 public:
  LogSink() = default;
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;
  virtual ~LogSink() = default;
  virtual void write_line(std::string_view line_with_newline) = 0;
};

// A descriptor that outlives the sink, usually standard error. A line that cannot be written is
// dropped and counted.
class FdLogSink final : public LogSink {
 public:
  explicit FdLogSink(int fd) : fd_(fd) {}
  void write_line(std::string_view line) override;
  std::uint64_t lines_dropped() const { return lines_dropped_.load(); }

 private:
  const int fd_;
  std::mutex mutex_;
  std::atomic<std::uint64_t> lines_dropped_ = 0;
};

// Keeps lines for tests.
class MemoryLogSink final : public LogSink {
 public:
  void write_line(std::string_view line) override;
  std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

// Keeps the newest lines, at most `bytes_max` of them, and nothing anywhere else.
class RingLogSink final : public LogSink {
 public:
  explicit RingLogSink(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  void write_line(std::string_view line) override;
  std::string text() const;

 private:
  const std::size_t bytes_max_;
  mutable std::mutex mutex_;
  std::deque<std::string> lines_;
  std::size_t bytes_ = 0;
};

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kLogfmt;
};

// Thread-safe. Sink and clock outlive it and every logger made from it by with().
class Logger {
 public:
  Logger(LogSink& sink, const platform::Clock& clock, const LogOptions& options);
  // A logger that writes nothing.
  static Logger discard();

  // The same with a field on every line, such as the request id.
  Logger with(const Field& field) const;

  bool enabled(LogLevel level) const {
    return sink_ != nullptr && level >= level_->load(std::memory_order_relaxed);
  }
  // Also for every logger made from it by with(), and for the one that it was made from.
  void set_level(LogLevel level) { level_->store(level, std::memory_order_relaxed); }
  // `event` is a short fixed phrase or dotted name; what varies goes into fields.
  void log(LogLevel level, std::string_view event, std::initializer_list<Field> fields = {}) const;
  void debug(std::string_view event, std::initializer_list<Field> fields = {}) const {
    log(LogLevel::kDebug, event, fields);
  }
  void info(std::string_view event, std::initializer_list<Field> fields = {}) const {
    log(LogLevel::kInfo, event, fields);
  }
  void warn(std::string_view event, std::initializer_list<Field> fields = {}) const {
    log(LogLevel::kWarn, event, fields);
  }
  void error(std::string_view event, std::initializer_list<Field> fields = {}) const {
    log(LogLevel::kError, event, fields);
  }

 private:
  struct OwnedField {
    std::string key;
    std::variant<std::string, std::int64_t, std::uint64_t, double, bool> value;
  };
  LogSink* sink_ = nullptr;
  const platform::Clock* clock_ = nullptr;
  LogFormat format_ = LogFormat::kLogfmt;
  std::shared_ptr<std::atomic<LogLevel>> level_;
  std::vector<OwnedField> context_;
};

}  // namespace holdfast::observe
