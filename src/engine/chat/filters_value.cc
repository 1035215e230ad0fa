// Filters on numbers and on values of any type, and the look-up of all filters.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "filters.h"
#include "operators.h"
#include "python_text.h"
#include "text_ops.h"

namespace holdfast::chat {

namespace {

Result<Value> default_value(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args,
                bind(runtime, arguments, "default", {"default_value", "boolean"}));
  const bool replaced =
      self.is(Kind::kUndefined) || (flag_argument(args[1], false) && !is_true(self));
  if (!replaced) return self;
  return args[0] != nullptr ? *args[0] : Value::text(Text());
}

Result<Value> attribute_of(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "attr", {"name"}, 1));
  HF_TRY_ASSIGN(const Text name, to_text(runtime, *args[0]));
  // Attributes only: the members of a dict are none.
  if (self.is(Kind::kDict))
    return runtime.attribute(Value(DictPtr(std::make_shared<Dict>())), name.bytes());
  return runtime.attribute(self, name.bytes());
}

Result<Value> absolute(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "abs", {}));
  if (!self.is_number()) return runtime.failure("abs needs a number");
  if (self.is(Kind::kFloat)) return Value(std::fabs(self.as_double()));
  return self.as_int() < 0 ? negate(runtime, self) : Result<Value>(Value(self.as_int()));
}

// Digits of Python's int() and float(): white space around, single underscores between digits.
std::optional<std::string> clean_number(const Text& text) {
  std::string s = strip(text, Sides::kBoth, std::nullopt).bytes();
  for (std::size_t i = 0; i < s.size(); ++i) {
    const bool between = i > 0 && i + 1 < s.size() &&
                         std::isalnum(static_cast<unsigned char>(s[i - 1])) != 0 &&
                         std::isalnum(static_cast<unsigned char>(s[i + 1])) != 0;
    if (s[i] == '_' && !between) return std::nullopt;
  }
  std::erase(s, '_');
  return s;
}

std::optional<std::int64_t> parse_integer(const Text& text, int base) {
  std::optional<std::string> s = clean_number(text);
  if (!s || s->empty()) return std::nullopt;
  const bool negative = s->front() == '-';
  if (negative || s->front() == '+') s->erase(0, 1);
  const auto prefix = [&](char lower) {
    return s->size() > 2 && (*s)[0] == '0' && ((*s)[1] | 0x20) == lower;
  };
  if ((base == 16 && prefix('x')) || (base == 8 && prefix('o')) || (base == 2 && prefix('b')))
    s->erase(0, 2);
  if (s->empty() || s->front() == '-' || s->front() == '+') return std::nullopt;
  if (negative) s->insert(0, 1, '-');
  std::int64_t v = 0;
  const auto [end, error] = std::from_chars(s->data(), s->data() + s->size(), v, base);
  if (error != std::errc() || end != s->data() + s->size()) return std::nullopt;
  return v;
}

std::optional<double> parse_float(const Text& text) {
  std::optional<std::string> s = clean_number(text);
  if (!s || s->empty()) return std::nullopt;
  bool negative = false;
  if (s->front() == '+' || s->front() == '-') {
    negative = s->front() == '-';
    s->erase(0, 1);
  }
  std::transform(s->begin(), s->end(), s->begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  double v = 0;
  if (*s == "inf" || *s == "infinity") {
    v = HUGE_VAL;
  } else if (*s == "nan") {
    v = std::nan("");
  } else {
    if (s->empty() ||
        (std::isdigit(static_cast<unsigned char>(s->front())) == 0 && s->front() != '.'))
      return std::nullopt;
    const auto [end, error] = std::from_chars(s->data(), s->data() + s->size(), v);
    if (end != s->data() + s->size()) return std::nullopt;
    if (error == std::errc::result_out_of_range)
      v = std::strtod(s->c_str(), nullptr);
    else if (error != std::errc())
      return std::nullopt;
  }
  return negative ? -v : v;
}

Result<Value> float_to_integer(Runtime& runtime, double v) {
  if (!std::isfinite(v)) return runtime.failure("an integer cannot be made of infinity or nan");
  if (std::fabs(v) >= 9223372036854775808.0)
    return runtime.over_budget("an integer beyond 64 bits");
  return Value(static_cast<std::int64_t>(v));
}

Result<Value> to_integer(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "int", {"default", "base"}));
  HF_TRY_ASSIGN(const std::int64_t base, integer_argument(runtime, args[1], 10));
  const Value fallback = args[0] != nullptr ? *args[0] : Value(std::int64_t{0});
  if (self.is(Kind::kUndefined)) return runtime.failure("int of an undefined value");
  if (self.is_integral()) return Value(self.as_int());
  if (self.is(Kind::kFloat)) {
    if (std::isnan(self.as_double())) return fallback;
    return float_to_integer(runtime, self.as_double());
  }
  if (!self.is(Kind::kText)) return fallback;
  if (base < 2 || base > 36) return runtime.failure("int() has a base between 2 and 36");
  HF_TRY(runtime.charge_bytes(self.as_text().size()));
  if (const auto v = parse_integer(self.as_text(), static_cast<int>(base))) return Value(*v);
  const std::optional<double> as_float = parse_float(self.as_text());
  if (!as_float || !std::isfinite(*as_float)) return fallback;
  return float_to_integer(runtime, *as_float);
}

Result<Value> to_float(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "float", {"default"}));
  const Value fallback = args[0] != nullptr ? *args[0] : Value(0.0);
  if (self.is(Kind::kUndefined)) return runtime.failure("float of an undefined value");
  if (self.is_number()) return Value(self.as_double());
  if (!self.is(Kind::kText)) return fallback;
  HF_TRY(runtime.charge_bytes(self.as_text().size()));
  const std::optional<double> v = parse_float(self.as_text());
  return v ? Value(*v) : fallback;
}

// Python's round(): half to even on the exact decimal value, which is what printf does.
double round_decimal(double v, std::int64_t digits) {
  if (!std::isfinite(v) || digits > 320) return v;
  if (digits >= 0) {
    char buffer[800];
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), v);
    return std::strtod(buffer, nullptr);
  }
  if (digits < -308) return std::copysign(0.0, v);
  const double scale = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(v / scale) * scale;
}

std::int64_t round_integer(std::int64_t v, std::int64_t digits) {
  std::int64_t scale = 1;
  for (std::int64_t i = digits; i < 0; ++i) {
    if (scale > 100'000'000'000'000'000) return 0;
    scale *= 10;
  }
  const std::int64_t rest = v % scale;
  const std::int64_t down = v - rest;
  const std::int64_t magnitude = rest < 0 ? -rest : rest;
  const bool away = 2 * magnitude > scale || (2 * magnitude == scale && down / scale % 2 != 0);
  return away ? down + (v < 0 ? -scale : scale) : down;
}

Result<Value> round(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "round", {"precision", "method"}));
  HF_TRY_ASSIGN(const std::int64_t digits, integer_argument(runtime, args[0], 0));
  if (!self.is_number()) return runtime.failure("round needs a number");
  std::string method = "common";
  if (args[1] != nullptr) {
    HF_TRY_ASSIGN(const Text* given, text_argument(runtime, *args[1]));
    method = given->bytes();
  }
  if (method == "common") {
    if (!self.is_integral()) return Value(round_decimal(self.as_double(), digits));
    return Value(digits >= 0 ? self.as_int() : round_integer(self.as_int(), digits));
  }
  if (method != "ceil" && method != "floor") return runtime.failure("round has no such method");
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = self.as_double() * scale;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

// The indent of json.dumps: so many spaces, or the text itself.
Status read_indent(Runtime& runtime, const Value* v, JsonOptions& options) {
  if (v == nullptr || v->is(Kind::kNone)) return ok_status();
  options.has_indent = true;
  if (v->is(Kind::kText)) {
    options.indent = v->as_text().bytes();
    return ok_status();
  }
  HF_TRY_ASSIGN(const std::int64_t spaces, integer_argument(runtime, v, 0));
  HF_TRY(runtime.admit_text(static_cast<std::uint64_t>(std::max<std::int64_t>(spaces, 0))));
  options.indent.assign(static_cast<std::size_t>(std::max<std::int64_t>(spaces, 0)), ' ');
  return ok_status();
}

// As transformers defines it: no HTML escaping, which Jinja's own has.
Result<Value> to_json_filter(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "tojson",
                                       {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonOptions options;
  options.ensure_ascii = flag_argument(args[0], false);
  options.sort_keys = flag_argument(args[3], false);
  HF_TRY(read_indent(runtime, args[1], options));
  options.item_separator = options.has_indent ? "," : ", ";
  options.key_separator = ": ";
  if (args[2] != nullptr && !args[2]->is(Kind::kNone)) {
    HF_TRY_ASSIGN(const std::vector<Value> pair, runtime.iterate(*args[2]));
    if (pair.size() != 2) return runtime.failure("the separators of tojson are a pair");
    HF_TRY_ASSIGN(const Text* item, text_argument(runtime, pair[0]));
    HF_TRY_ASSIGN(const Text* key, text_argument(runtime, pair[1]));
    options.item_separator = item->bytes();
    options.key_separator = key->bytes();
  }
  HF_TRY_ASSIGN(Text text, to_json(runtime, self, options));
  return runtime.make_text(std::move(text));
}

constexpr FilterEntry kFilters[] = {
    {"default", default_value}, {"d", default_value},       {"attr", attribute_of},
    {"abs", absolute},          {"int", to_integer},        {"float", to_float},
    {"round", round},           {"tojson", to_json_filter},
};

}  // namespace

std::span<const FilterEntry> value_filters() { return kFilters; }

const FilterEntry* find_filter(std::string_view name) {
  for (const auto& table : {text_filters(), sequence_filters(), value_filters()}) {
    const auto found = std::find_if(table.begin(), table.end(),
                                    [&](const FilterEntry& e) { return e.name == name; });
    if (found != table.end()) return &*found;
  }
  return nullptr;
}

}  // namespace holdfast::chat
