#include "python_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <vector>

#include "holdfast/base/utf8.h"
#include "runtime.h"
#include "unicode.h"

namespace holdfast::chat {

std::string float_repr(double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::scientific).ptr;
  const std::string text(buffer, end);
  const std::size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  if (exponent < -4 || exponent >= 16) return text;
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::fixed).ptr;
  std::string out(buffer, fixed);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

namespace {

// Appends to a text up to the limit of the rendering, paying as it grows.
class Builder {
 public:
  explicit Builder(Runtime& runtime) : runtime_(runtime) {}

  Status add(std::string_view bytes) {
    if (bytes_.size() + bytes.size() > runtime_.text_bytes_max()) {
      return runtime_.admit_text(bytes_.size() + bytes.size());
    }
    bytes_ += bytes;
    return ok_status();
  }
  Result<Text> finish() {
    HF_TRY(runtime_.charge_characters(bytes_.size()));
    return Text(std::move(bytes_), Origin::kData);
  }
  Runtime& runtime() { return runtime_; }

 private:
  Runtime& runtime_;
  std::string bytes_;
};

std::string hex_escape(std::uint32_t c, char letter, int digits) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "\\%c%0*x", letter, digits, c);
  return buffer;
}

}  // namespace

std::string text_repr(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const bool has_double = text.find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (c.code_point == static_cast<unsigned char>(quote) || c.code_point == '\\') {
      out += '\\';
      out += static_cast<char>(c.code_point);
    } else if (c.code_point == '\n') {
      out += "\\n";
    } else if (c.code_point == '\r') {
      out += "\\r";
    } else if (c.code_point == '\t') {
      out += "\\t";
    } else if (c.valid && is_printable(c.code_point)) {
      out.append(text, i, c.length);
    } else if (c.code_point < 0x100) {
      out += hex_escape(c.code_point, 'x', 2);
    } else if (c.code_point < 0x10000) {
      out += hex_escape(c.code_point, 'u', 4);
    } else {
      out += hex_escape(c.code_point, 'U', 8);
    }
    i += c.length;
  }
  return out + quote;
}

namespace {

Status add_repr(Builder& out, const Value& v, std::size_t depth);

Status add_items(Builder& out, const std::vector<Value>& items, std::string_view open,
                 std::string_view close, std::size_t depth) {
  HF_TRY(out.add(open));
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) HF_TRY(out.add(", "));
    HF_TRY(add_repr(out, items[i], depth));
  }
  return out.add(close);
}

Status add_sequence(Builder& out, const Sequence& s, std::size_t depth) {
  switch (s.flavour) {
    case Sequence::Flavour::kList:
      return add_items(out, s.items, "[", "]", depth);
    case Sequence::Flavour::kTuple:
    case Sequence::Flavour::kGroup:
      return add_items(out, s.items, "(", s.items.size() == 1 ? ",)" : ")", depth);
    case Sequence::Flavour::kKeys:
      return add_items(out, s.items, "dict_keys([", "])", depth);
    case Sequence::Flavour::kValues:
      return add_items(out, s.items, "dict_values([", "])", depth);
    case Sequence::Flavour::kItems:
      return add_items(out, s.items, "dict_items([", "])", depth);
    case Sequence::Flavour::kGenerator:
      break;
  }
  return out.add("<generator object>");
}

Status add_dict(Builder& out, const Dict& dict, std::size_t depth) {
  HF_TRY(out.add("{"));
  bool first = true;
  for (const Dict::Entry& e : dict.entries()) {
    if (!first) HF_TRY(out.add(", "));
    first = false;
    HF_TRY(add_repr(out, e.key, depth));
    HF_TRY(out.add(": "));
    HF_TRY(add_repr(out, e.value, depth));
  }
  return out.add("}");
}

// A namespace can hold itself, so its depth is bounded here, not by its extent.
Status add_namespace(Builder& out, const Namespace& n, std::size_t depth) {
  HF_TRY(out.add("<Namespace {"));
  for (std::size_t i = 0; i < n.attributes.size(); ++i) {
    HF_TRY(out.runtime().charge(1));
    if (i > 0) HF_TRY(out.add(", "));
    HF_TRY(out.add(text_repr(n.attributes[i].first) + ": "));
    HF_TRY(add_repr(out, n.attributes[i].second, depth));
  }
  return out.add("}>");
}

Status add_range(Builder& out, const Range& r) {
  std::string text = "range(" + std::to_string(r.start) + ", " + std::to_string(r.stop);
  if (r.step != 1) text += ", " + std::to_string(r.step);
  return out.add(text + ")");
}

Status add_repr(Builder& out, const Value& v, std::size_t depth) {
  if (depth > out.runtime().program().limits.value_depth_max) {
    return out.runtime().over_budget("values nested too deeply to be printed");
  }
  switch (v.kind()) {
    case Kind::kUndefined:
      return out.add("Undefined");
    case Kind::kNone:
      return out.add("None");
    case Kind::kBool:
      return out.add(v.as_bool() ? "True" : "False");
    case Kind::kInt:
      return out.add(std::to_string(v.as_int()));
    case Kind::kFloat:
      return out.add(float_repr(v.as_double()));
    case Kind::kText: {
      const std::string quoted = text_repr(v.as_text().bytes());
      return out.add(v.as_text().is_markup() ? "Markup(" + quoted + ")" : quoted);
    }
    case Kind::kSequence:
      return add_sequence(out, v.as_sequence(), depth + 1);
    case Kind::kDict:
      return add_dict(out, v.as_dict(), depth + 1);
    case Kind::kRange:
      return add_range(out, v.as_range());
    case Kind::kNamespace:
      return add_namespace(out, *v.as_namespace(), depth + 1);
    case Kind::kMacro:
      return out.add("<Macro " + text_repr(v.as_macro()->signature->name) + ">");
    case Kind::kLoop:
      return out.add("<LoopContext " + std::to_string(v.as_loop().index + 1) + "/" +
                     std::to_string(v.as_loop().items.size()) + ">");
    case Kind::kFunction:
      return out.add("<function " + std::string(v.as_function().name) + ">");
    case Kind::kCounter:
      return out.add(v.as_counter().is_joiner ? "<Joiner>" : "<Cycler>");
  }
  return ok_status();
}

}  // namespace

Result<Text> repr(Runtime& runtime, const Value& v) {
  HF_TRY(runtime.charge_value(v));
  Builder out(runtime);
  HF_TRY(add_repr(out, v, 0));
  return out.finish();
}

Result<Text> to_text(Runtime& runtime, const Value& v) {
  if (v.is(Kind::kText)) return v.as_text();
  if (v.is(Kind::kUndefined)) return Text();
  return repr(runtime, v);
}

namespace {

void add_json_character(std::string& out, const Utf8Char& c, bool ensure_ascii) {
  const char32_t code = c.valid ? c.code_point : 0xFFFD;
  static constexpr std::string_view kNamed = "\"\\\b\f\n\r\t";
  static constexpr std::string_view kLetters = "\"\\bfnrt";
  const std::size_t named =
      code < 0x80 ? kNamed.find(static_cast<char>(code)) : std::string_view::npos;
  if (named != std::string_view::npos) {
    out += '\\';
    out += kLetters[named];
  } else if (code < 0x20 || (ensure_ascii && code == 0x7F)) {
    out += hex_escape(code, 'u', 4);
  } else if (!ensure_ascii || code < 0x80) {
    append_utf8(out, code);
  } else if (code < 0x10000) {
    out += hex_escape(code, 'u', 4);
  } else {
    out += hex_escape(0xD800 + ((code - 0x10000) >> 10), 'u', 4);
    out += hex_escape(0xDC00 + ((code - 0x10000) & 0x3FF), 'u', 4);
  }
}

std::string json_string(std::string_view text, bool ensure_ascii) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    add_json_character(out, c, ensure_ascii);
    i += c.length;
  }
  return out + "\"";
}

std::string json_float(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v < 0 ? "-Infinity" : "Infinity";
  return float_repr(v);
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonOptions& options)
      : runtime_(runtime), options_(options), out_(runtime) {}

  Result<Text> run(const Value& v) {
    HF_TRY(write(v, 0));
    return out_.finish();
  }

 private:
  Status write(const Value& v, std::size_t level) {
    switch (v.kind()) {
      case Kind::kNone:
        return out_.add("null");
      case Kind::kBool:
        return out_.add(v.as_bool() ? "true" : "false");
      case Kind::kInt:
        return out_.add(std::to_string(v.as_int()));
      case Kind::kFloat:
        return out_.add(json_float(v.as_double()));
      case Kind::kText:
        return out_.add(json_string(v.as_text().bytes(), options_.ensure_ascii));
      case Kind::kSequence:
        if (v.as_sequence().is_indexable()) return write_list(v.as_sequence(), level);
        break;
      case Kind::kDict:
        return write_dict(v.as_dict(), level);
      default:
        break;
    }
    return runtime_.failure("a value of type " + std::string(type_name(v)) + " has no JSON form");
  }

  Status break_line(std::size_t level) {
    if (!options_.has_indent) return ok_status();
    HF_TRY(out_.add("\n"));
    for (std::size_t i = 0; i < level; ++i) HF_TRY(out_.add(options_.indent));
    return ok_status();
  }

  Status write_list(const Sequence& s, std::size_t level) {
    if (s.items.empty()) return out_.add("[]");
    HF_TRY(out_.add("["));
    for (std::size_t i = 0; i < s.items.size(); ++i) {
      if (i > 0) HF_TRY(out_.add(options_.item_separator));
      HF_TRY(break_line(level + 1));
      HF_TRY(write(s.items[i], level + 1));
    }
    HF_TRY(break_line(level));
    return out_.add("]");
  }

  Result<std::string> key_of(const Value& key) const {
    switch (key.kind()) {
      case Kind::kText:
        return key.as_text().bytes();
      case Kind::kNone:
        return std::string("null");
      case Kind::kBool:
        return std::string(key.as_bool() ? "true" : "false");
      case Kind::kInt:
        return std::to_string(key.as_int());
      case Kind::kFloat:
        return json_float(key.as_double());
      default:
        return runtime_.failure("a JSON key cannot be of type " + std::string(type_name(key)));
    }
  }

  Result<std::vector<const Dict::Entry*>> ordered(const Dict& dict) const {
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& e : dict.entries()) entries.push_back(&e);
    if (!options_.sort_keys) return entries;
    for (const Dict::Entry* e : entries) {
      if (!compare(entries.front()->key, e->key))
        return runtime_.failure("keys of unlike types cannot be sorted");
    }
    std::stable_sort(entries.begin(), entries.end(),
                     [](const Dict::Entry* a, const Dict::Entry* b) {
                       return compare(a->key, b->key) == Order::kLess;
                     });
    return entries;
  }

  Status write_dict(const Dict& dict, std::size_t level) {
    if (dict.size() == 0) return out_.add("{}");
    HF_TRY_ASSIGN(const std::vector<const Dict::Entry*> entries, ordered(dict));
    HF_TRY(out_.add("{"));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) HF_TRY(out_.add(options_.item_separator));
      HF_TRY(break_line(level + 1));
      HF_TRY_ASSIGN(const std::string key, key_of(entries[i]->key));
      HF_TRY(out_.add(json_string(key, options_.ensure_ascii)));
      HF_TRY(out_.add(options_.key_separator));
      HF_TRY(write(entries[i]->value, level + 1));
    }
    HF_TRY(break_line(level));
    return out_.add("}");
  }

  Runtime& runtime_;
  const JsonOptions& options_;
  Builder out_;
};

}  // namespace

Result<Text> to_json(Runtime& runtime, const Value& v, const JsonOptions& options) {
  HF_TRY(runtime.charge_value(v));
  return JsonWriter(runtime, options).run(v);
}

}  // namespace holdfast::chat
