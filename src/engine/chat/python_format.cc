#include "python_format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "holdfast/base/utf8.h"
#include "python_text.h"
#include "text_ops.h"
#include "unicode.h"

namespace holdfast::chat {

namespace {

// printf is given no more digits than this; doubles have at most 308 before and about 750 after the
// point.
constexpr std::int64_t kPrecisionMax = 400;

// How one value is to be written, in either language of formats.
struct Spec {
  std::string fill = " ";
  char align = 0;  // '<' '>' '^' '=' or 0 for the default of the type
  char sign = '-';
  bool alternate = false;
  bool group = false;  // thousands with commas
  std::int64_t width = 0;
  std::int64_t precision = -1;
  char type = 0;
};

bool is_digit_at(std::string_view s, std::size_t i) {
  return i < s.size() && s[i] >= '0' && s[i] <= '9';
}

Result<std::int64_t> read_number(Runtime& runtime, std::string_view s, std::size_t& i) {
  std::int64_t n = 0;
  while (is_digit_at(s, i)) {
    n = n * 10 + (s[i++] - '0');
    if (n > 1'000'000'000)
      return runtime.over_budget("a width or precision in a format is too large");
  }
  return n;
}

std::string with_commas(std::string digits) {
  const std::size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (std::size_t i = end; i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

// The digits of an integer's magnitude.
std::string magnitude(std::int64_t v, char type) {
  const std::uint64_t m = v < 0 ? 0 - static_cast<std::uint64_t>(v) : static_cast<std::uint64_t>(v);
  if (type == 'b') {
    std::string bits;
    for (std::uint64_t rest = m; rest > 0 || bits.empty(); rest >>= 1)
      bits.insert(0, 1, rest & 1 ? '1' : '0');
    return bits;
  }
  char buffer[32];
  const char* form = type == 'x' ? "%llx" : type == 'X' ? "%llX" : type == 'o' ? "%llo" : "%llu";
  std::snprintf(buffer, sizeof buffer, form, static_cast<unsigned long long>(m));
  return buffer;
}

std::string float_digits(double magnitude_of, const Spec& spec) {
  if (std::isinf(magnitude_of))
    return std::isupper(static_cast<unsigned char>(spec.type)) != 0 ? "INF" : "inf";
  if (std::isnan(magnitude_of))
    return std::isupper(static_cast<unsigned char>(spec.type)) != 0 ? "NAN" : "nan";
  const bool is_percent = spec.type == '%';
  const char type = is_percent ? 'f' : spec.type;
  const int precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
  char form[16];
  std::snprintf(form, sizeof form, "%%%s.*%c", spec.alternate ? "#" : "", type);
  char buffer[1200];
  std::snprintf(buffer, sizeof buffer, form, precision,
                is_percent ? magnitude_of * 100 : magnitude_of);
  return std::string(buffer) + (is_percent ? "%" : "");
}

// A value written without its fill; `sign` is kept apart for "=" alignment.
struct Written {
  std::string sign;
  Text body;
};

std::string sign_of(bool negative, const Spec& spec) {
  if (negative) return "-";
  return spec.sign == '-' ? "" : std::string(1, spec.sign);
}

Result<Written> write_integer(Runtime& runtime, std::int64_t v, const Spec& spec) {
  if (spec.type == 'c') {
    if (v < 0 || v > 0x10FFFF) return runtime.failure("no character has this number");
    std::string character;
    append_utf8(character, static_cast<char32_t>(v));
    return Written{"", Text(std::move(character), Origin::kData)};
  }
  std::string digits = magnitude(v, spec.type);
  if (spec.group) digits = with_commas(std::move(digits));
  std::string sign = sign_of(v < 0, spec);
  if (spec.alternate && spec.type != 'd' && spec.type != 0) sign += std::string("0") + spec.type;
  return Written{std::move(sign), Text(std::move(digits), Origin::kData)};
}

Result<Written> write_float(Runtime& runtime, double v, const Spec& spec) {
  if (spec.precision > kPrecisionMax)
    return runtime.over_budget("a precision in a format is too large");
  std::string digits;
  if (spec.type != 0) {
    digits = float_digits(std::fabs(v), spec);
  } else if (spec.precision < 0) {
    digits = float_repr(std::fabs(v));
  } else {
    Spec general = spec;
    general.type = 'g';
    digits = float_digits(std::fabs(v), general);
    if (digits.find_first_of(".en") == std::string::npos) digits += ".0";
  }
  if (spec.group) digits = with_commas(std::move(digits));
  return Written{sign_of(std::signbit(v), spec), Text(std::move(digits), Origin::kData)};
}

// Fills up to the width.
Result<Text> align(Runtime& runtime, const Written& written, const Spec& spec, char default_align) {
  Text body;
  const char how = spec.align != 0 ? spec.align : default_align;
  const std::size_t have = count_characters(written.body.bytes()) + written.sign.size();
  const std::size_t missing =
      static_cast<std::size_t>(spec.width) > have ? static_cast<std::size_t>(spec.width) - have : 0;
  HF_TRY(
      runtime.admit_text(written.body.size() + written.sign.size() + missing * spec.fill.size()));
  const Text fill(spec.fill, Origin::kData);
  const std::size_t left = how == '<' ? 0 : how == '^' ? missing / 2 : missing;
  if (how == '=') {
    body.append(written.sign, Origin::kData);
    body.append(pad(written.body, missing, 0, fill));
    return body;
  }
  Text signed_body(written.sign, Origin::kData);
  signed_body.append(written.body);
  return pad(signed_body, left, missing - left, fill);
}

Result<Text> write_number(Runtime& runtime, const Value& v, const Spec& spec) {
  const bool as_integer =
      v.is_integral() &&
      std::string_view("dxXobcn").find(spec.type == 0 ? 'd' : spec.type) != std::string_view::npos;
  if (as_integer) {
    HF_TRY_ASSIGN(const Written written, write_integer(runtime, v.as_int(), spec));
    return align(runtime, written, spec, '>');
  }
  if (std::string_view("eEfFgG%").find(spec.type) == std::string_view::npos && spec.type != 0) {
    return runtime.failure("a format does not fit the type " + std::string(type_name(v)));
  }
  HF_TRY_ASSIGN(const Written written, write_float(runtime, v.as_double(), spec));
  return align(runtime, written, spec, '>');
}

Result<Text> write_text(Runtime& runtime, Text text, const Spec& spec) {
  if (spec.precision >= 0) {
    text =
        text.slice(0, offset_of_character(text.bytes(), static_cast<std::size_t>(spec.precision)));
  }
  return align(runtime, {"", std::move(text)}, spec, '<');
}

// --- "%s" % value ---

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Text& format, const Value& values)
      : runtime_(runtime), format_(format), values_(values) {
    if (values.is(Kind::kSequence) && values.as_sequence().is_tuple()) {
      arguments_ = values.as_sequence().items;
      is_tuple_ = true;
    } else {
      arguments_ = {values};
    }
  }

  Result<Value> run() {
    const std::string& s = format_.bytes();
    std::size_t from = 0;
    for (std::size_t at = s.find('%'); at != std::string::npos; at = s.find('%', from)) {
      out_.append(format_.slice(from, at - from));
      from = at + 1;
      HF_TRY(convert(s, from));
      HF_TRY(runtime_.admit_text(out_.size()));
    }
    out_.append(format_.slice(from, s.size() - from));
    // A single dict or list that no conversion used is not an error in Python.
    const bool may_be_unused =
        !is_tuple_ && (values_.is(Kind::kDict) || values_.is(Kind::kSequence));
    if (next_ < arguments_.size() && !may_be_unused) {
      return runtime_.failure("not all values of % are used by the format");
    }
    return runtime_.make_text(format_.is_markup() ? out_.as_markup(true) : std::move(out_));
  }

 private:
  Result<Value> take() {
    if (next_ >= arguments_.size()) return runtime_.failure("the format of % needs more values");
    return arguments_[next_++];
  }

  Result<std::int64_t> number_or_star(std::string_view s, std::size_t& i) {
    if (i >= s.size() || s[i] != '*') return read_number(runtime_, s, i);
    ++i;
    HF_TRY_ASSIGN(const Value v, take());
    HF_TRY_ASSIGN(const std::int64_t n, integer_argument(runtime_, &v, 0));
    if (n < 0 || n > 1'000'000'000)
      return runtime_.over_budget("a width or precision in a format is too large");
    return n;
  }

  Result<Value> keyed(std::string_view s, std::size_t& i) {
    const std::size_t close = s.find(')', i);
    if (close == std::string_view::npos) return runtime_.failure("a key in a format is not closed");
    if (!values_.is(Kind::kDict)) return runtime_.failure("the format of % needs a dict");
    const Value* found = values_.as_dict().find(s.substr(i + 1, close - i - 1));
    if (found == nullptr) return runtime_.failure("a key of the format of % is missing");
    i = close + 1;
    next_ = arguments_.size();
    return *found;
  }

  Status convert(std::string_view s, std::size_t& i) {
    std::optional<Value> value;
    if (i < s.size() && s[i] == '(') {
      HF_TRY_ASSIGN(value, keyed(s, i));
    }
    Spec spec;
    bool zero = false;
    for (; i < s.size() && std::string_view("-+ #0").find(s[i]) != std::string_view::npos; ++i) {
      if (s[i] == '-') spec.align = '<';
      if (s[i] == '+') spec.sign = '+';
      if (s[i] == ' ' && spec.sign != '+') spec.sign = ' ';
      if (s[i] == '#') spec.alternate = true;
      if (s[i] == '0') zero = true;
    }
    HF_TRY_ASSIGN(spec.width, number_or_star(s, i));
    if (i < s.size() && s[i] == '.') {
      ++i;
      HF_TRY_ASSIGN(spec.precision, number_or_star(s, i));
    }
    while (i < s.size() && std::string_view("hlL").find(s[i]) != std::string_view::npos) ++i;
    if (i >= s.size()) return runtime_.failure("a format of % ends too early");
    const char type = s[i++];
    if (type == '%') {
      out_.append("%", format_.origin_at(i - 1));
      return ok_status();
    }
    if (!value) {
      HF_TRY_ASSIGN(value, take());
    }
    return write(*value, type, zero, spec);
  }

  Status write(const Value& v, char type, bool zero, Spec& spec) {
    const bool is_text =
        type == 's' || type == 'r' || type == 'a' || (type == 'c' && v.is(Kind::kText));
    if (is_text) {
      HF_TRY_ASSIGN(Text text,
                    type == 'r' || type == 'a' ? repr(runtime_, v) : to_text(runtime_, v));
      if (format_.is_markup()) text = escape_html(text);
      if (spec.align == 0) spec.align = '>';
      HF_TRY_ASSIGN(const Text written, write_text(runtime_, std::move(text), spec));
      out_.append(written);
      return ok_status();
    }
    if (std::string_view("diuoxXeEfFgGc").find(type) == std::string_view::npos) {
      return runtime_.failure("a format of % has an unknown conversion");
    }
    if (!v.is_number()) return runtime_.failure("a format of % needs a number");
    if (zero && spec.align == 0) {
      spec.fill = "0";
      spec.align = '=';
    }
    const bool decimal = type == 'd' || type == 'i' || type == 'u';
    spec.type = decimal ? 'd' : type;
    Value number = v;
    if (decimal && v.is(Kind::kFloat)) {
      if (!(std::fabs(v.as_double()) < 9e18)) return runtime_.failure("a number is too large");
      number = Value(static_cast<std::int64_t>(v.as_double()));
    }
    HF_TRY_ASSIGN(const Text written, decimal&& spec.precision >= 0
                                          ? write_padded(number.as_int(), spec)
                                          : write_number(runtime_, number, spec));
    out_.append(written);
    return ok_status();
  }

  // "%.3d": at least so many digits.
  Result<Text> write_padded(std::int64_t v, const Spec& spec) {
    HF_TRY_ASSIGN(Written written, write_integer(runtime_, v, spec));
    HF_TRY(runtime_.admit_text(static_cast<std::uint64_t>(spec.precision)));
    const auto digits = static_cast<std::int64_t>(written.body.size());
    if (digits < spec.precision) {
      written.body = pad(written.body, static_cast<std::size_t>(spec.precision - digits), 0,
                         Text("0", Origin::kData));
    }
    return align(runtime_, written, spec, '>');
  }

  Runtime& runtime_;
  const Text& format_;
  const Value& values_;
  std::vector<Value> arguments_;
  bool is_tuple_ = false;
  std::size_t next_ = 0;
  Text out_;
};

// --- "{}".format(value) ---

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments, bool markup)
      : runtime_(runtime), arguments_(arguments), markup_(markup) {}

  // `depth` 1 inside the specification of a field.
  Result<Text> run(const Text& format, int depth) {
    Text out;
    const std::string& s = format.bytes();
    std::size_t from = 0;
    while (from < s.size()) {
      const std::size_t at = std::min(s.find_first_of("{}", from), s.size());
      out.append(format.slice(from, at - from));
      if (at == s.size()) break;
      if (at + 1 < s.size() && s[at + 1] == s[at]) {
        out.append(format.slice(at, 1));
        from = at + 2;
        continue;
      }
      if (s[at] == '}') return runtime_.failure("a single '}' in a format");
      const std::size_t close = closing(s, at);
      if (close == std::string::npos) return runtime_.failure("a field in a format is not closed");
      HF_TRY_ASSIGN(const Text field, write_field(format.slice(at + 1, close - at - 1), depth));
      HF_TRY(runtime_.admit_text(out.size() + field.size()));
      out.append(field);
      from = close + 1;
    }
    return out;
  }

 private:
  static std::size_t closing(std::string_view s, std::size_t open) {
    int level = 0;
    for (std::size_t i = open; i < s.size(); ++i) {
      if (s[i] == '{') ++level;
      if (s[i] == '}' && --level == 0) return i;
    }
    return std::string_view::npos;
  }

  Result<Text> write_field(const Text& field, int depth) {
    if (depth > 1) return runtime_.failure("fields in a format are nested too deeply");
    const std::string& s = field.bytes();
    std::size_t name_end = 0;
    for (int brackets = 0; name_end < s.size(); ++name_end) {
      if (s[name_end] == '[') ++brackets;
      if (s[name_end] == ']') --brackets;
      if (brackets == 0 && (s[name_end] == '!' || s[name_end] == ':')) break;
    }
    HF_TRY_ASSIGN(Value value, look_up(std::string_view(s).substr(0, name_end)));
    std::size_t i = name_end;
    if (i < s.size() && s[i] == '!') {
      HF_TRY_ASSIGN(value, conversion(value, i + 1 < s.size() ? s[i + 1] : '\0'));
      i += 2;
      if (i < s.size() && s[i] != ':')
        return runtime_.failure("a conversion in a format is not well-formed");
    }
    Text specification;
    if (i < s.size()) {
      HF_TRY_ASSIGN(specification, run(field.slice(i + 1, s.size() - i - 1), depth + 1));
    }
    return write(value, specification.bytes());
  }

  Result<Value> conversion(const Value& v, char how) {
    if (how != 's' && how != 'r' && how != 'a')
      return runtime_.failure("an unknown conversion in a format");
    HF_TRY_ASSIGN(Text text, how == 's' ? to_text(runtime_, v) : repr(runtime_, v));
    return runtime_.make_text(std::move(text));
  }

  Result<Value> argument(std::string_view name) {
    const bool is_number =
        std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (is_number) {
      if (name.size() > 9) return runtime_.failure("the format needs more values");
      const std::size_t index =
          name.empty() ? next_++ : static_cast<std::size_t>(std::stoi(std::string(name)));
      if (index >= arguments_.positional.size())
        return runtime_.failure("the format needs more values");
      return arguments_.positional[index];
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    return runtime_.failure("a name in the format is missing");
  }

  Result<Value> look_up(std::string_view path) {
    const std::size_t end = std::min(path.find_first_of(".["), path.size());
    HF_TRY_ASSIGN(Value value, argument(path.substr(0, end)));
    for (std::size_t i = end; i < path.size();) {
      if (path[i] == '.') {
        const std::size_t stop = std::min(path.find_first_of(".[", i + 1), path.size());
        HF_TRY_ASSIGN(value, runtime_.attribute(value, path.substr(i + 1, stop - i - 1)));
        i = stop;
        continue;
      }
      const std::size_t close = path.find(']', i);
      if (path[i] != '[' || close == std::string_view::npos) {
        return runtime_.failure("a field in a format is not well-formed");
      }
      HF_TRY_ASSIGN(value, runtime_.path(value, Value::text(path.substr(i + 1, close - i - 1),
                                                            Origin::kData)));
      i = close + 1;
    }
    return value;
  }

  Result<Spec> parse(std::string_view s) {
    Spec spec;
    std::size_t i = 0;
    const auto is_align = [&s](std::size_t at) {
      return at < s.size() && std::string_view("<>^=").find(s[at]) != std::string_view::npos;
    };
    const std::size_t first = s.empty() ? 0 : decode_utf8(s, 0).length;
    if (is_align(first)) {
      spec.fill = std::string(s.substr(0, first));
      spec.align = s[first];
      i = first + 1;
    } else if (is_align(0)) {
      spec.align = s[i++];
    }
    if (i < s.size() && (s[i] == '+' || s[i] == '-' || s[i] == ' ')) spec.sign = s[i++];
    if (i < s.size() && s[i] == '#') spec.alternate = ++i > 0;
    if (i < s.size() && s[i] == '0') {
      ++i;
      if (spec.align == 0) {
        spec.align = '=';
        spec.fill = "0";
      }
    }
    HF_TRY_ASSIGN(spec.width, read_number(runtime_, s, i));
    if (i < s.size() && s[i] == ',') spec.group = ++i > 0;
    if (i < s.size() && s[i] == '.') {
      ++i;
      HF_TRY_ASSIGN(spec.precision, read_number(runtime_, s, i));
    }
    if (i < s.size()) spec.type = s[i++];
    if (i < s.size()) return runtime_.failure("a format specification is not well-formed");
    return spec;
  }

  Result<Text> write(const Value& v, std::string_view specification) {
    const bool is_plain_number = v.is(Kind::kInt) || v.is(Kind::kFloat);
    if (specification.empty() || (!is_plain_number && !v.is(Kind::kBool))) {
      HF_TRY_ASSIGN(Text text, to_text(runtime_, v));
      if (markup_) text = escape_html(text);
      if (specification.empty()) return text;
      if (!v.is(Kind::kText)) {
        return runtime_.failure("a format specification does not fit the type " +
                                std::string(type_name(v)));
      }
      HF_TRY_ASSIGN(Spec spec, parse(specification));
      if ((spec.type != 0 && spec.type != 's') || spec.align == '=') {
        // Zero fill of a text is at its right, as Python does it.
        if (spec.align != '=' || spec.fill != "0")
          return runtime_.failure("a format specification does not fit a string");
        spec.align = '<';
      }
      return write_text(runtime_, std::move(text), spec);
    }
    HF_TRY_ASSIGN(const Spec spec, parse(specification));
    return write_number(runtime_, v, spec);
  }

  Runtime& runtime_;
  const Arguments& arguments_;
  bool markup_;
  std::size_t next_ = 0;
};

}  // namespace

Result<Value> format_percent(Runtime& runtime, const Text& format, const Value& values) {
  HF_TRY(runtime.charge_bytes(format.size()));
  return PercentFormatter(runtime, format, values).run();
}

Result<Value> format_braces(Runtime& runtime, const Text& format, const Arguments& arguments) {
  HF_TRY(runtime.charge_bytes(format.size()));
  HF_TRY_ASSIGN(Text out, BraceFormatter(runtime, arguments, format.is_markup()).run(format, 0));
  return runtime.make_text(format.is_markup() ? out.as_markup(true) : std::move(out));
}

Result<Value> replace_text(Runtime& runtime, const Text& text, const Text& old,
                           const Text& replacement, std::int64_t count) {
  HF_TRY(runtime.charge_bytes(text.size()));
  std::uint64_t times = count_occurrences(text.bytes(), old.bytes());
  if (count >= 0) times = std::min(times, static_cast<std::uint64_t>(count));
  HF_TRY(runtime.admit_text(text.size() + times * replacement.size()));
  HF_TRY(runtime.charge(times));
  return runtime.make_text(replace(text, old.bytes(), replacement, count));
}

}  // namespace holdfast::chat
