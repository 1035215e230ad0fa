#include <charconv>
#include <cmath>

#include "holdfast/base/utf8.h"
#include "holdfast/json/json.h"

namespace holdfast::json {

namespace {

void append_newline(std::string& out, const WriteOptions& options, int depth) {
  if (options.indent == 0) return;
  out += '\n';
  out.append(static_cast<std::size_t>(options.indent * depth), ' ');
}

void append_value(std::string& out, const Value& value, const WriteOptions& options, int depth);

void append_array(std::string& out, const Array& array, const WriteOptions& options, int depth) {
  out += '[';
  bool first = true;
  for (const Value& v : array) {
    if (!first) out += ',';
    first = false;
    append_newline(out, options, depth + 1);
    append_value(out, v, options, depth + 1);
  }
  if (!first) append_newline(out, options, depth);
  out += ']';
}

void append_object(std::string& out, const Object& object, const WriteOptions& options, int depth) {
  out += '{';
  bool first = true;
  for (const Member& m : object) {
    if (!first) out += ',';
    first = false;
    append_newline(out, options, depth + 1);
    append_string(out, m.key);
    out += options.indent == 0 ? ":" : ": ";
    append_value(out, m.value, options, depth + 1);
  }
  if (!first) append_newline(out, options, depth);
  out += '}';
}

void append_value(std::string& out, const Value& value, const WriteOptions& options, int depth) {
  switch (value.kind()) {
    case Kind::kNull:
      out += "null";
      break;
    case Kind::kBool:
      out += value.as_bool() ? "true" : "false";
      break;
    case Kind::kInt:
      out += std::to_string(value.as_int());
      break;
    case Kind::kDouble:
      append_number(out, value.as_double());
      break;
    case Kind::kString:
      append_string(out, value.as_string());
      break;
    case Kind::kArray:
      append_array(out, value.as_array(), options, depth);
      break;
    case Kind::kObject:
      append_object(out, value.as_object(), options, depth);
      break;
  }
}

}  // namespace

void append_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char buffer[64];
  const double magnitude = std::fabs(value);
  // Shortest digits; plain notation where a person would write it so.
  const bool plain = magnitude == 0 || (magnitude >= 1e-5 && magnitude < 1e16);
  const auto result =
      plain ? std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed)
            : std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, result.ptr);
}

void append_string(std::string& out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  if (!is_valid_utf8(text)) {
    append_string(out, sanitize_utf8(text));
    return;
  }
  out += '"';
  std::size_t from = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
    out.append(text, from, i - from);
    from = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        out += "\\u00";
        out += kDigits[c >> 4];
        out += kDigits[c & 15];
    }
  }
  out.append(text, from);
  out += '"';
}

std::string write(const Value& value, const WriteOptions& options) {
  std::string out;
  append_value(out, value, options, 0);
  return out;
}

}  // namespace holdfast::json
