// Methods of str.
#include <algorithm>
#include <array>
#include <utility>

#include "holdfast/base/utf8.h"
#include "methods.h"
#include "python_format.h"
#include "python_text.h"
#include "text_ops.h"
#include "unicode.h"

namespace holdfast::chat {

namespace {

// A method that takes no arguments.
template <Text (*Operation)(const Text&)>
Result<Value> simple(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "this method", {}));
  HF_TRY(runtime.charge_characters(self.as_text().size()));
  return runtime.make_text(Operation(self.as_text()));
}

template <bool (*Predicate)(char32_t)>
Result<Value> every(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "this method", {}));
  HF_TRY(runtime.charge_characters(self.as_text().size()));
  return Value(all_characters(self.as_text().bytes(), Predicate));
}

bool is_alnum(char32_t c) { return is_alpha(c) || is_numeric(c); }

template <bool Upper>
Result<Value> only_case(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "this method", {}));
  HF_TRY(runtime.charge_characters(self.as_text().size()));
  return Value(has_only_case(self.as_text().bytes(), Upper));
}

Result<Value> text_is_title(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "istitle", {}));
  HF_TRY(runtime.charge_characters(self.as_text().size()));
  const std::string& bytes = self.as_text().bytes();
  const bool has_case = std::any_of(bytes.begin(), bytes.end(), [](char c) {
    return is_alpha(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80;
  });
  return Value(has_case && title_words(self.as_text()).bytes() == bytes);
}

Result<Value> text_is_ascii(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "isascii", {}));
  return Value(is_ascii(self.as_text().bytes()));
}

Result<Value> text_is_printable(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "isprintable", {}));
  const std::string& bytes = self.as_text().bytes();
  return Value(bytes.empty() || all_characters(bytes, is_printable));
}

Result<Value> text_is_identifier(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "isidentifier", {}));
  const std::string& bytes = self.as_text().bytes();
  return Value(all_characters(bytes, is_name_part) &&
               is_name_start(decode_utf8(bytes, 0).code_point));
}

template <Sides S>
Result<Value> text_strip(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "strip", {"chars"}));
  std::optional<std::string_view> characters;
  if (args[0] != nullptr && !args[0]->is(Kind::kNone)) {
    HF_TRY_ASSIGN(const Text* wanted, text_argument(runtime, *args[0]));
    characters = wanted->bytes();
    // Each character is looked for in this list.
    HF_TRY(runtime.charge(wanted->size() * self.as_text().size() / 64));
  }
  HF_TRY(runtime.charge_characters(self.as_text().size()));
  return runtime.make_text(strip(self.as_text(), S, characters));
}

Result<Value> make_list_of(Runtime& runtime, std::vector<Text> parts) {
  std::vector<Value> items;
  HF_TRY(runtime.charge(parts.size()));
  items.reserve(parts.size());
  for (Text& part : parts) items.push_back(Value::text(std::move(part)));
  return runtime.make_list(std::move(items));
}

template <bool FromRight>
Result<Value> text_split(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "split", {"sep", "maxsplit"}));
  HF_TRY_ASSIGN(const std::int64_t splits_max, integer_argument(runtime, args[1], -1));
  const Text& text = self.as_text();
  HF_TRY(runtime.charge_bytes(text.size()));
  if (args[0] == nullptr || args[0]->is(Kind::kNone)) {
    return make_list_of(runtime, FromRight ? split_words_from_right(text, splits_max)
                                           : split_words(text, splits_max));
  }
  HF_TRY_ASSIGN(const Text* separator, text_argument(runtime, *args[0]));
  if (separator->empty()) return runtime.failure("split() with an empty separator");
  HF_TRY(runtime.charge(count_occurrences(text.bytes(), separator->bytes())));
  return make_list_of(runtime, FromRight ? split_from_right(text, separator->bytes(), splits_max)
                                         : split(text, separator->bytes(), splits_max));
}

Result<Value> text_split_lines(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "splitlines", {"keepends"}));
  HF_TRY(runtime.charge_characters(self.as_text().size()));
  return make_list_of(runtime, split_lines(self.as_text(), flag_argument(args[0], false)));
}

template <bool FromRight>
Result<Value> text_partition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "partition", {"sep"}, 1));
  HF_TRY_ASSIGN(const Text* separator, text_argument(runtime, *args[0]));
  if (separator->empty()) return runtime.failure("partition() with an empty separator");
  const Text& text = self.as_text();
  HF_TRY(runtime.charge_bytes(text.size()));
  const std::string& bytes = text.bytes();
  const std::size_t at =
      FromRight ? bytes.rfind(separator->bytes()) : bytes.find(separator->bytes());
  std::vector<Value> parts;
  if (at == std::string::npos) {
    const Value nothing = Value::text(Text());
    parts = FromRight ? std::vector<Value>{nothing, nothing, self}
                      : std::vector<Value>{self, nothing, nothing};
  } else {
    const std::size_t end = at + separator->size();
    parts = {Value::text(text.slice(0, at)), Value::text(text.slice(at, separator->size())),
             Value::text(text.slice(end, text.size() - end))};
  }
  return runtime.make_tuple(std::move(parts));
}

Result<Value> text_replace(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "replace", {"old", "new", "count"}, 2));
  HF_TRY_ASSIGN(const Text* old, text_argument(runtime, *args[0]));
  HF_TRY_ASSIGN(const Text* replacement, text_argument(runtime, *args[1]));
  HF_TRY_ASSIGN(const std::int64_t count, integer_argument(runtime, args[2], -1));
  if (!self.as_text().is_markup())
    return replace_text(runtime, self.as_text(), *old, *replacement, count);
  return replace_text(runtime, self.as_text(), *old, escape_html(*replacement), count);
}

// A part of the text between character positions, as find(), count() and startswith() take them.
struct Window {
  std::size_t from = 0;
  std::size_t end = 0;
  bool is_valid = true;  // false: it starts behind its end, where not even empty text is found
};

Result<Window> window_of(Runtime& runtime, const Text& text, const Value* start,
                         const Value* stop) {
  HF_TRY(runtime.charge_characters(text.size()));
  Window window{0, text.size()};
  if (start == nullptr && stop == nullptr) return window;
  const auto count = static_cast<std::int64_t>(count_characters(text.bytes()));
  HF_TRY_ASSIGN(std::int64_t from, integer_argument(runtime, start, 0));
  HF_TRY_ASSIGN(std::int64_t to, integer_argument(runtime, stop, count));
  if (from < 0) from = std::max<std::int64_t>(0, from + count);
  if (to < 0) to = std::max<std::int64_t>(0, to + count);
  to = std::min(to, count);
  window.is_valid = from <= to;
  if (!window.is_valid) return window;
  window.from = offset_of_character(text.bytes(), static_cast<std::size_t>(from));
  window.end = offset_of_character(text.bytes(), static_cast<std::size_t>(to));
  return window;
}

// Character index of the first or last occurrence; -1 if there is none.
template <bool FromRight>
Result<std::int64_t> position_of(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "find", {"sub", "start", "end"}, 1));
  HF_TRY_ASSIGN(const Text* part, text_argument(runtime, *args[0]));
  const Text& text = self.as_text();
  HF_TRY_ASSIGN(const Window window, window_of(runtime, text, args[1], args[2]));
  if (!window.is_valid) return -1;
  const std::string_view view =
      std::string_view(text.bytes()).substr(window.from, window.end - window.from);
  const std::size_t at = FromRight ? view.rfind(part->bytes()) : view.find(part->bytes());
  if (at == std::string_view::npos) return -1;
  return static_cast<std::int64_t>(
      count_characters(std::string_view(text.bytes()).substr(0, window.from + at)));
}

template <bool FromRight>
Result<Value> text_find(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const std::int64_t at, position_of<FromRight>(runtime, self, arguments));
  return Value(at);
}

template <bool FromRight>
Result<Value> text_index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const std::int64_t at, position_of<FromRight>(runtime, self, arguments));
  if (at < 0) return runtime.failure("index() does not find the text");
  return Value(at);
}

Result<Value> text_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "count", {"sub", "start", "end"}, 1));
  HF_TRY_ASSIGN(const Text* part, text_argument(runtime, *args[0]));
  HF_TRY_ASSIGN(const Window window, window_of(runtime, self.as_text(), args[1], args[2]));
  if (!window.is_valid) return Value(std::int64_t{0});
  const std::string_view view =
      std::string_view(self.as_text().bytes()).substr(window.from, window.end - window.from);
  return Value(static_cast<std::int64_t>(count_occurrences(view, part->bytes())));
}

template <bool AtEnd>
Result<Value> text_has_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args,
                bind(runtime, arguments, "startswith or endswith", {"affix", "start", "end"}, 1));
  HF_TRY_ASSIGN(const Window window, window_of(runtime, self.as_text(), args[1], args[2]));
  const std::string_view view =
      std::string_view(self.as_text().bytes()).substr(window.from, window.end - window.from);
  const bool is_tuple = args[0]->is(Kind::kSequence) && args[0]->as_sequence().is_tuple();
  const std::vector<Value> affixes =
      is_tuple ? args[0]->as_sequence().items : std::vector<Value>{*args[0]};
  for (const Value& affix : affixes) {
    HF_TRY_ASSIGN(const Text* wanted, text_argument(runtime, affix));
    HF_TRY(runtime.charge_bytes(wanted->size()));
    const bool found = AtEnd ? view.ends_with(wanted->bytes()) : view.starts_with(wanted->bytes());
    if (window.is_valid && found) return Value(true);
  }
  return Value(false);
}

template <bool AtEnd>
Result<Value> text_remove_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args,
                bind(runtime, arguments, "removeprefix or removesuffix", {"affix"}, 1));
  HF_TRY_ASSIGN(const Text* affix, text_argument(runtime, *args[0]));
  const Text& text = self.as_text();
  const bool found =
      AtEnd ? text.bytes().ends_with(affix->bytes()) : text.bytes().starts_with(affix->bytes());
  if (!found) return self;
  return runtime.make_text(text.slice(AtEnd ? 0 : affix->size(), text.size() - affix->size()));
}

Result<Value> text_join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "join", {"iterable"}, 1));
  if (args[0]->is(Kind::kUndefined)) return Value::text(Text());
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(*args[0]));
  const bool markup = self.as_text().is_markup();
  Text out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    HF_TRY_ASSIGN(const Text* part, text_argument(runtime, items[i]));
    HF_TRY(runtime.admit_text(out.size() + self.as_text().size() + part->size()));
    if (i > 0) out.append(self.as_text());
    out.append(markup ? escape_html(*part) : *part);
  }
  return runtime.make_text(markup ? out.as_markup(true) : std::move(out));
}

enum class Alignment { kLeft, kRight, kCentre };

template <Alignment A>
Result<Value> text_justify(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args,
                bind(runtime, arguments, "ljust, rjust or center", {"width", "fillchar"}, 1));
  HF_TRY_ASSIGN(const std::int64_t width, integer_argument(runtime, args[0], 0));
  Text fill(" ", Origin::kTemplate);
  if (args[1] != nullptr) {
    HF_TRY_ASSIGN(const Text* given, text_argument(runtime, *args[1]));
    if (count_characters(given->bytes()) != 1)
      return runtime.failure("the fill must be one character");
    fill = *given;
  }
  const auto count = static_cast<std::int64_t>(count_characters(self.as_text().bytes()));
  if (width <= count) return self;
  HF_TRY(runtime.admit_text(static_cast<std::uint64_t>(width)));
  const auto missing = static_cast<std::size_t>(width - count);
  // The odd one goes where Python puts it.
  const std::size_t centre = missing / 2 + (missing & static_cast<std::size_t>(width) & 1);
  const std::size_t left = A == Alignment::kLeft ? 0 : A == Alignment::kRight ? missing : centre;
  return runtime.make_text(pad(self.as_text(), left, missing - left, fill));
}

Result<Value> text_zero_fill(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "zfill", {"width"}, 1));
  HF_TRY_ASSIGN(const std::int64_t width, integer_argument(runtime, args[0], 0));
  const Text& text = self.as_text();
  const auto count = static_cast<std::int64_t>(count_characters(text.bytes()));
  if (width <= count) return self;
  HF_TRY(runtime.admit_text(static_cast<std::uint64_t>(width)));
  const std::size_t sign = text.bytes().starts_with('-') || text.bytes().starts_with('+') ? 1 : 0;
  Text out = text.slice(0, sign);
  out.append(std::string(static_cast<std::size_t>(width - count), '0'), Origin::kTemplate);
  out.append(text.slice(sign, text.size() - sign));
  return runtime.make_text(std::move(out));
}

Result<Value> text_expand_tabs(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "expandtabs", {"tabsize"}));
  HF_TRY_ASSIGN(const std::int64_t size, integer_argument(runtime, args[0], 8));
  const Text& text = self.as_text();
  Text out;
  std::int64_t column = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t n = decode_utf8(text.bytes(), i).length;
    const char c = text.bytes()[i];
    if (c == '\t') {
      const std::int64_t spaces = size > 0 ? size - column % size : 0;
      HF_TRY(runtime.admit_text(out.size() + static_cast<std::uint64_t>(spaces)));
      out.append_like(std::string(static_cast<std::size_t>(spaces), ' '), text, i);
      column += spaces;
    } else {
      out.append(text.slice(i, n));
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
    i += n;
  }
  return runtime.make_text(std::move(out));
}

Result<Value> text_format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return format_braces(runtime, self.as_text(), arguments);
}

Result<Value> text_format_map(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "format_map", {"mapping"}, 1));
  if (!args[0]->is(Kind::kDict)) return runtime.failure("format_map() needs a dict");
  Arguments named;
  for (const Dict::Entry& e : args[0]->as_dict().entries()) {
    if (e.key.is(Kind::kText)) named.named.emplace_back(e.key.as_text().bytes(), e.value);
  }
  return format_braces(runtime, self.as_text(), named);
}

Result<Value> not_offered(Runtime& runtime, const Value& /*self*/, const Arguments& /*arguments*/) {
  return runtime.not_supported("this method of strings is not supported");
}

constexpr std::pair<std::string_view, NativeFunction> kMethods[] = {
    {"strip", text_strip<Sides::kBoth>},
    {"lstrip", text_strip<Sides::kLeft>},
    {"rstrip", text_strip<Sides::kRight>},
    {"split", text_split<false>},
    {"rsplit", text_split<true>},
    {"splitlines", text_split_lines},
    {"partition", text_partition<false>},
    {"rpartition", text_partition<true>},
    {"replace", text_replace},
    {"startswith", text_has_affix<false>},
    {"endswith", text_has_affix<true>},
    {"removeprefix", text_remove_affix<false>},
    {"removesuffix", text_remove_affix<true>},
    {"find", text_find<false>},
    {"rfind", text_find<true>},
    {"index", text_index<false>},
    {"rindex", text_index<true>},
    {"count", text_count},
    {"join", text_join},
    {"format", text_format},
    {"format_map", text_format_map},
    {"upper", simple<to_upper>},
    {"lower", simple<to_lower>},
    {"casefold", simple<fold_case>},
    {"capitalize", simple<capitalize>},
    {"title", simple<title_words>},
    {"swapcase", simple<swap_case>},
    {"ljust", text_justify<Alignment::kLeft>},
    {"rjust", text_justify<Alignment::kRight>},
    {"center", text_justify<Alignment::kCentre>},
    {"zfill", text_zero_fill},
    {"expandtabs", text_expand_tabs},
    {"isalpha", every<is_alpha>},
    {"isalnum", every<is_alnum>},
    {"isdecimal", every<is_decimal>},
    {"isdigit", every<is_digit>},
    {"isnumeric", every<is_numeric>},
    {"isspace", every<is_space>},
    {"isupper", only_case<true>},
    {"islower", only_case<false>},
    {"istitle", text_is_title},
    {"isascii", text_is_ascii},
    {"isprintable", text_is_printable},
    {"isidentifier", text_is_identifier},
    {"encode", not_offered},
    {"translate", not_offered},
    {"maketrans", not_offered},
};

}  // namespace

NativeFunction find_text_method(std::string_view name) {
  for (const auto& [key, function] : kMethods) {
    if (key == name) return function;
  }
  return nullptr;
}

}  // namespace holdfast::chat
