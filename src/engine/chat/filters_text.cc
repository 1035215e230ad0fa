// Filters on texts.
#include <algorithm>
#include <string>

#include "filters.h"
#include "holdfast/base/utf8.h"
#include "python_format.h"
#include "python_text.h"
#include "text_ops.h"
#include "unicode.h"

namespace holdfast::chat {

namespace {

// A filter that applies str() to its subject and then an operation without arguments.
template <Text (*Operation)(const Text&)>
Result<Value> simple(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "this filter", {}));
  HF_TRY_ASSIGN(const Text text, to_text(runtime, self));
  HF_TRY(runtime.charge_characters(text.size()));
  return runtime.make_text(Operation(text));
}

Text mark_safe(const Text& text) { return text.as_markup(true); }
Text escape_again(const Text& text) { return escape_html(text.as_markup(false)); }
Text same_text(const Text& text) { return text; }

Result<Value> trim(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "trim", {"chars"}));
  HF_TRY_ASSIGN(Text text, to_text(runtime, self));
  // Arguments are those of the method.
  Arguments positional;
  if (!arguments.positional.empty()) positional.positional = arguments.positional;
  for (const auto& [name, value] : arguments.named) positional.positional.push_back(value);
  const Value subject = Value::text(std::move(text));
  HF_TRY_ASSIGN(const Value method, runtime.attribute(subject, "strip"));
  return method.as_function().call(runtime, subject, positional);
}

Result<Value> replace_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "replace", {"old", "new", "count"}, 2));
  HF_TRY_ASSIGN(const Text text, to_text(runtime, self));
  HF_TRY_ASSIGN(const Text old, to_text(runtime, *args[0]));
  HF_TRY_ASSIGN(const Text replacement, to_text(runtime, *args[1]));
  HF_TRY_ASSIGN(const std::int64_t count, integer_argument(runtime, args[2], -1));
  return replace_text(runtime, text.as_markup(false), old, replacement, count);
}

Result<Value> format_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Text text, to_text(runtime, self));
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    return runtime.failure("format takes positional or named arguments, not both");
  }
  if (arguments.named.empty()) {
    HF_TRY_ASSIGN(const Value values, runtime.make_tuple(arguments.positional));
    return format_percent(runtime, text, values);
  }
  Dict named;
  for (const auto& [name, value] : arguments.named)
    named.set(Value::text(name, Origin::kTemplate), value);
  HF_TRY_ASSIGN(const Value values, runtime.make_dict(std::move(named)));
  return format_percent(runtime, text, values);
}

Result<Text> indentation(Runtime& runtime, const Value* width) {
  if (width != nullptr && width->is(Kind::kText)) return width->as_text();
  HF_TRY_ASSIGN(const std::int64_t spaces, integer_argument(runtime, width, 4));
  HF_TRY(runtime.admit_text(static_cast<std::uint64_t>(std::max<std::int64_t>(spaces, 0))));
  return Text(std::string(static_cast<std::size_t>(std::max<std::int64_t>(spaces, 0)), ' '),
              Origin::kTemplate);
}

Result<Value> indent(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "indent", {"width", "first", "blank"}));
  HF_TRY_ASSIGN(const Text* text, text_argument(runtime, self));
  HF_TRY_ASSIGN(const Text indent_by, indentation(runtime, args[0]));
  const bool first = flag_argument(args[1], false);
  const bool blank = flag_argument(args[2], false);
  HF_TRY(runtime.charge_characters(text->size()));
  // A newline at the end counts as one empty line more, as in Jinja.
  Text source = *text;
  source.append("\n", Origin::kTemplate);
  const std::vector<Text> lines = split_lines(source, false);
  HF_TRY(runtime.charge(lines.size()));
  HF_TRY(runtime.admit_text(source.size() + lines.size() * indent_by.size()));
  Text out;
  if (first) out.append(indent_by);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out.append("\n", Origin::kTemplate);
      if (blank || !lines[i].empty()) out.append(indent_by);
    }
    out.append(lines[i]);
  }
  return runtime.make_text(out.as_markup(text->is_markup()));
}

Result<Value> center(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "center", {"width"}));
  HF_TRY_ASSIGN(const std::int64_t width, integer_argument(runtime, args[0], 80));
  HF_TRY_ASSIGN(Text text, to_text(runtime, self));
  const Value subject = Value::text(std::move(text));
  HF_TRY_ASSIGN(const Value method, runtime.attribute(subject, "center"));
  return method.as_function().call(runtime, subject, {{Value(width)}, {}});
}

Result<Value> truncate(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args,
                bind(runtime, arguments, "truncate", {"length", "killwords", "end", "leeway"}));
  HF_TRY_ASSIGN(const Text* text, text_argument(runtime, self));
  HF_TRY_ASSIGN(const std::int64_t length, integer_argument(runtime, args[0], 255));
  HF_TRY_ASSIGN(const std::int64_t leeway, integer_argument(runtime, args[3], 5));
  Text end("...", Origin::kTemplate);
  if (args[2] != nullptr) {
    HF_TRY_ASSIGN(const Text* given, text_argument(runtime, *args[2]));
    end = *given;
  }
  HF_TRY(runtime.charge_characters(text->size()));
  const auto end_length = static_cast<std::int64_t>(count_characters(end.bytes()));
  const auto have = static_cast<std::int64_t>(count_characters(text->bytes()));
  if (length < end_length || leeway < 0 || length > have) {
    if (length > have && leeway >= 0) return self;
    return runtime.failure("truncate() has a length below that of its end");
  }
  if (have - length <= leeway) return self;
  Text kept = text->slice(
      0, offset_of_character(text->bytes(), static_cast<std::size_t>(length - end_length)));
  if (!flag_argument(args[1], false)) kept = split_from_right(kept, " ", 1)[0];
  kept.append(end);
  return runtime.make_text(std::move(kept));
}

Result<Value> word_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "wordcount", {}));
  HF_TRY_ASSIGN(const Text text, to_text(runtime, self));
  HF_TRY(runtime.charge_characters(text.size()));
  std::int64_t words = 0;
  bool in_word = false;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text.bytes(), i);
    const bool is_word = is_name_part(c.code_point) || is_numeric(c.code_point);
    if (is_word && !in_word) ++words;
    in_word = is_word;
    i += c.length;
  }
  return Value(words);
}

std::string url_quote(std::string_view text, bool for_query) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto b = static_cast<unsigned char>(c);
    const bool plain = b < 0x80 && (is_alpha(b) || is_decimal(b) ||
                                    std::string_view("_.-~").find(c) != std::string_view::npos);
    if (plain || (c == '/' && !for_query)) {
      out += c;
    } else if (c == ' ' && for_query) {
      out += '+';
    } else {
      out += {'%', kHex[b >> 4], kHex[b & 15]};
    }
  }
  return out;
}

Result<Value> url_encode(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "urlencode", {}));
  if (!self.is(Kind::kDict) && !self.is(Kind::kSequence)) {
    HF_TRY_ASSIGN(const Text text, to_text(runtime, self));
    HF_TRY(runtime.admit_text(3 * text.size()));
    return runtime.make_text(Text(url_quote(text.bytes(), false), Origin::kData));
  }
  std::string out;
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  for (const Value& item : items) {
    Value key;
    Value value;
    if (self.is(Kind::kDict)) {
      key = item;
      value = *self.as_dict().find(item);
    } else {
      HF_TRY_ASSIGN(const std::vector<Value> pair, runtime.iterate(item));
      if (pair.size() != 2) return runtime.failure("urlencode needs pairs");
      key = pair[0];
      value = pair[1];
    }
    HF_TRY_ASSIGN(const Text key_text, to_text(runtime, key));
    HF_TRY_ASSIGN(const Text value_text, to_text(runtime, value));
    if (!out.empty()) out += '&';
    out += url_quote(key_text.bytes(), true) + "=" + url_quote(value_text.bytes(), true);
    HF_TRY(runtime.admit_text(out.size()));
  }
  return runtime.make_text(Text(std::move(out), Origin::kData));
}

constexpr FilterEntry kFilters[] = {
    {"trim", trim},
    {"upper", simple<to_upper>},
    {"lower", simple<to_lower>},
    {"capitalize", simple<capitalize>},
    {"title", simple<title_filter>},
    {"string", simple<same_text>},
    {"safe", simple<mark_safe>},
    {"escape", simple<escape_html>},
    {"e", simple<escape_html>},
    {"forceescape", simple<escape_again>},
    {"replace", replace_filter},
    {"format", format_filter},
    {"indent", indent},
    {"center", center},
    {"truncate", truncate},
    {"wordcount", word_count},
    {"urlencode", url_encode},
};

}  // namespace

std::span<const FilterEntry> text_filters() { return kFilters; }

}  // namespace holdfast::chat
