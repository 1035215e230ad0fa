// Rows in and rows out of the `eval` commands: JSON Lines, one answer per line, in order.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "../context.h"
#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::cli {

// Longest line of input: a megabyte of text in base64, with room.
inline constexpr std::size_t kEvalLineBytesMax = 64u << 20;

// Calls fn for each line of FILE ("-" is standard input) until it fails. A line that is no JSON
// object is passed as the parse error.
Status for_each_row(const std::string& file, const std::function<Status(Result<json::Value>)>& fn);

// Prints answers and remembers whether a row failed.
class RowPrinter {
 public:
  // `row` supplies the id that is echoed.
  void answer(const json::Value* row, json::Object fields);
  void error(const json::Value* row, const Error& error);
  // kInternal-free way to end with status 1 where a row failed: the rows have told why.
  bool failed() const { return failed_; }

 private:
  bool failed_ = false;
};

// Typed members of a row. kInvalidArgument names the member.
Result<std::vector<std::int32_t>> row_tokens(const json::Value& row, std::string_view key);
Result<std::string> row_text(const json::Value& row);  // `text` or `text_b64`
Result<bool> row_flag(const json::Value& row, std::string_view key, bool fallback);

}  // namespace holdfast::cli
