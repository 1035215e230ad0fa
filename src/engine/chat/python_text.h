// How Python writes values: str(), repr() and json.dumps(), whose output templates show to models.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "value.h"

namespace holdfast::chat {

class Runtime;

// Shortest form that reads back the same, as Python prints floats: 1.0, 1e+16, 1e-05, inf, nan.
std::string float_repr(double v);
// repr() of a str.
std::string text_repr(std::string_view text);
// str(v); undefined is empty. kExhausted above the limit for one string.
Result<Text> to_text(Runtime& runtime, const Value& v);
// repr(v), all of it of origin data except literal template text inside.
Result<Text> repr(Runtime& runtime, const Value& v);

struct JsonOptions {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool has_indent = false;
  std::string indent;          // one level
  std::string item_separator;  // between members
  std::string key_separator;
};
// json.dumps(v). kInvalidArgument for values that JSON cannot say. The result counts as data.
Result<Text> to_json(Runtime& runtime, const Value& v, const JsonOptions& options);

}  // namespace holdfast::chat
