// What commands print: tables and JSON on standard output; errors, notices and progress on standard
// error.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::cli {

// A table of text cells. Columns are as wide as their widest cell (in code points); the last is cut
// to the terminal.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string render(std::size_t width_max) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// Writes to standard output; a closed pipe ends the program quietly with status 0.
void print(std::string_view text);
void print_json(const json::Value& value);       // one document, indented
void print_json_line(const json::Value& value);  // one line of NDJSON, flushed
std::string to_yaml(const json::Value& value);
// A list in the format of the context: the table, YAML or JSON.
void print_list(const Context& context, const Table& table, const json::Value& document);

// Standard error.
void notice(const Context& context, std::string_view text);  // not with --quiet
void print_error(const Context& context, const Error& error);

// Asks a yes-or-no question on the terminal; --yes answers it. Without a terminal kInvalidArgument,
// when refused kCancelled.
Status confirm(const Context& context, std::string_view question);

// Text of a model on standard output as it arrives. On a terminal, control characters other than
// line breaks and tabs are replaced: what a model says must not steer the terminal. Owner: the
// command (thread-compatible).
class TextOutput {
 public:
  explicit TextOutput(const Context& context);
  void write(std::string_view text);
  // A line break unless the text ended with one; also for no text at all.
  void end_line();

 private:
  bool terminal_;
  bool at_line_start_ = false;
};
// The same replacement, for other text from models.
std::string without_controls(std::string_view text);

// "0.143".
std::string fixed(double value, int digits);
// First 12 characters, or all with --no-trunc.
std::string short_id(const Context& context, std::string_view id);
// "3 minutes ago".
std::string time_ago(std::int64_t unix_seconds);
// RFC 3339 in UTC.
std::string rfc3339(std::int64_t unix_seconds);
std::string now_rfc3339();
// "2026-12-01", UTC.
std::string today();
// Columns of the terminal on standard output, or a large number.
std::size_t terminal_width();

// A progress bar on a terminal, else one line every five seconds. Owner: the command
// (thread-compatible).
class Progress {
 public:
  Progress(const Context& context, std::string label);
  ~Progress();
  void update(std::uint64_t done_bytes, std::uint64_t total_bytes);
  // Ends the line.
  void finish();

 private:
  void draw(std::uint64_t done, std::uint64_t total);
  bool shown_;
  bool terminal_;
  bool drawn_ = false;
  std::string label_;
  std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace holdfast::cli
