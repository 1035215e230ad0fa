#include "operators.h"

#include <algorithm>
#include <cmath>

#include "holdfast/base/checked.h"
#include "python_format.h"
#include "text_ops.h"
#include "unicode.h"

namespace holdfast::chat {

namespace {

std::string_view operator_name(Operator op) {
  static constexpr std::string_view kNames[] = {"==", "!=", "<", "<=", ">",  ">=", "in", "not in",
                                                "+",  "-",  "*", "/",  "//", "%",  "**"};
  return kNames[static_cast<std::size_t>(op)];
}

Error no_operation(const Runtime& runtime, Operator op, const Value& a, const Value& b) {
  return runtime.failure("'" + std::string(operator_name(op)) + "' does not work on " +
                         std::string(type_name(a)) + " and " + std::string(type_name(b)));
}

Result<Value> checked(const Runtime& runtime, std::optional<std::int64_t> v) {
  if (!v) return runtime.over_budget("an integer beyond 64 bits");
  return Value(*v);
}

std::optional<std::int64_t> checked_sub(std::int64_t a, std::int64_t b) {
  std::int64_t r = 0;
  if (__builtin_sub_overflow(a, b, &r)) return std::nullopt;
  return r;
}

// Rounds towards minus infinity, as Python does.
std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  const std::int64_t q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

Result<Value> integer_power(const Runtime& runtime, std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return runtime.failure("zero to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  if (base == 0 || base == 1) return Value(exponent == 0 ? 1 : base);
  if (base == -1) return Value(std::int64_t{exponent % 2 == 0 ? 1 : -1});
  std::optional<std::int64_t> result = 1;
  // Any other base passes 64 bits within 64 steps.
  for (std::int64_t i = 0; i < exponent && result; ++i) result = checked_mul(*result, base);
  return checked(runtime, result);
}

Result<Value> integer_arithmetic(const Runtime& runtime, Operator op, std::int64_t a,
                                 std::int64_t b) {
  switch (op) {
    case Operator::kAdd:
      return checked(runtime, checked_add(a, b));
    case Operator::kSubtract:
      return checked(runtime, checked_sub(a, b));
    case Operator::kMultiply:
      return checked(runtime, checked_mul(a, b));
    case Operator::kPower:
      return integer_power(runtime, a, b);
    default:
      break;
  }
  if (b == 0) return runtime.failure("division by zero");
  if (op == Operator::kDivide) return Value(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1)
    return op == Operator::kModulo ? Value(std::int64_t{0}) : checked(runtime, checked_sub(0, a));
  const std::int64_t quotient = floor_divide(a, b);
  return Value(op == Operator::kFloorDivide ? quotient : a - quotient * b);
}

Result<Value> float_arithmetic(const Runtime& runtime, Operator op, double a, double b) {
  switch (op) {
    case Operator::kAdd:
      return Value(a + b);
    case Operator::kSubtract:
      return Value(a - b);
    case Operator::kMultiply:
      return Value(a * b);
    case Operator::kPower: {
      const double result = std::pow(a, b);
      if (!std::isfinite(result) && std::isfinite(a) && std::isfinite(b)) {
        return runtime.failure("the result of a power is no number");
      }
      return Value(result);
    }
    default:
      break;
  }
  if (b == 0) return runtime.failure("division by zero");
  if (op == Operator::kDivide) return Value(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == Operator::kModulo) return Value(rest == 0 ? std::copysign(0.0, b) : rest);
  return Value(std::floor((a - rest) / b + 0.5));
}

// Python's Markup escapes what is added to it on either side.
Result<Value> add_texts(Runtime& runtime, const Text& a, const Text& b) {
  HF_TRY(runtime.admit_text(a.size() + b.size()));
  if (!a.is_markup() && !b.is_markup()) {
    Text sum = a;
    sum.append(b);
    return Value::text(std::move(sum));
  }
  Text sum = escape_html(a);
  sum.append(escape_html(b));
  return runtime.make_text(sum.as_markup(true));
}

Result<Value> repeat_items(Runtime& runtime, const Sequence& s, std::int64_t times) {
  const std::uint64_t n = times > 0 ? static_cast<std::uint64_t>(times) : 0;
  const auto total = checked_mul<std::uint64_t>(n, s.items.size() + 1);
  if (!total) return runtime.over_budget("a list is too long");
  HF_TRY(runtime.charge(*total));
  std::vector<Value> items;
  for (std::uint64_t i = 0; i < n; ++i) items.insert(items.end(), s.items.begin(), s.items.end());
  return runtime.make_sequence(std::move(items), s.flavour);
}

Result<Value> repeat_value(Runtime& runtime, const Value& v, std::int64_t times) {
  if (v.is(Kind::kSequence)) return repeat_items(runtime, v.as_sequence(), times);
  const std::uint64_t n = times > 0 ? static_cast<std::uint64_t>(times) : 0;
  const auto total = checked_mul<std::uint64_t>(n, v.as_text().size());
  if (!total) return runtime.over_budget("a text is too long");
  HF_TRY(runtime.admit_text(*total));
  if (v.as_text().empty()) return v;
  HF_TRY(runtime.charge(n / 16));
  return Value::text(repeat(v.as_text(), times));
}

bool is_repeatable(const Value& v) {
  return v.is(Kind::kText) || (v.is(Kind::kSequence) && v.as_sequence().is_indexable());
}

Result<Value> add_sequences(Runtime& runtime, const Value& a, const Value& b) {
  const Sequence& x = a.as_sequence();
  const Sequence& y = b.as_sequence();
  const bool fit = (x.is_list() && y.is_list()) || (x.is_tuple() && y.is_tuple());
  if (!fit) return no_operation(runtime, Operator::kAdd, a, b);
  HF_TRY(runtime.charge(x.items.size() + y.items.size()));
  std::vector<Value> items = x.items;
  items.insert(items.end(), y.items.begin(), y.items.end());
  return runtime.make_sequence(std::move(items),
                               x.is_list() ? Sequence::Flavour::kList : Sequence::Flavour::kTuple);
}

}  // namespace

Result<Value> arithmetic(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral())
    return integer_arithmetic(runtime, op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number())
    return float_arithmetic(runtime, op, a.as_double(), b.as_double());
  if (op == Operator::kAdd && a.is(Kind::kText) && b.is(Kind::kText))
    return add_texts(runtime, a.as_text(), b.as_text());
  if (op == Operator::kAdd && a.is(Kind::kSequence) && b.is(Kind::kSequence))
    return add_sequences(runtime, a, b);
  if (op == Operator::kMultiply && is_repeatable(a) && b.is_integral())
    return repeat_value(runtime, a, b.as_int());
  if (op == Operator::kMultiply && is_repeatable(b) && a.is_integral())
    return repeat_value(runtime, b, a.as_int());
  if (op == Operator::kModulo && a.is(Kind::kText)) return format_percent(runtime, a.as_text(), b);
  return no_operation(runtime, op, a, b);
}

namespace {

Result<bool> contains(Runtime& runtime, const Value& container, const Value& v) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kText:
      if (!v.is(Kind::kText)) return no_operation(runtime, Operator::kIn, v, container);
      HF_TRY(runtime.charge_bytes(container.as_text().size()));
      return container.as_text().bytes().find(v.as_text().bytes()) != std::string::npos;
    case Kind::kDict:
      HF_TRY(runtime.charge_value(v));
      if (!hash_key(v)) return no_operation(runtime, Operator::kIn, v, container);
      return container.as_dict().find(v) != nullptr;
    case Kind::kRange: {
      if (!v.is_number()) return false;
      const Range& r = container.as_range();
      const double d = v.as_double();
      if (d != std::floor(d) || std::fabs(d) > 9e15) return false;
      const auto n = static_cast<std::int64_t>(d);
      const bool inside = r.step > 0 ? n >= r.start && n < r.stop : n <= r.start && n > r.stop;
      return inside && (n - r.start) % r.step == 0;
    }
    case Kind::kSequence: {
      HF_TRY(runtime.charge_value(container));
      HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(container));
      return std::any_of(items.begin(), items.end(),
                         [&v](const Value& item) { return equals(item, v); });
    }
    default:
      return no_operation(runtime, Operator::kIn, v, container);
  }
}

Result<bool> ordered(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  const std::optional<Order> order = compare(a, b);
  if (!order) return no_operation(runtime, op, a, b);
  switch (op) {
    case Operator::kLess:
      return *order == Order::kLess;
    case Operator::kLessEqual:
      return *order == Order::kLess || *order == Order::kEqual;
    case Operator::kGreater:
      return *order == Order::kGreater;
    default:
      return *order == Order::kGreater || *order == Order::kEqual;
  }
}

}  // namespace

Result<bool> compare_values(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  if (op == Operator::kIn) return contains(runtime, b, a);
  if (op == Operator::kNotIn) {
    HF_TRY_ASSIGN(const bool found, contains(runtime, b, a));
    return !found;
  }
  HF_TRY(runtime.charge(std::min(extent_of(a).weight, extent_of(b).weight)));
  if (op == Operator::kEqual) return equals(a, b);
  if (op == Operator::kNotEqual) return !equals(a, b);
  return ordered(runtime, op, a, b);
}

namespace {

// One bound of a slice, brought into the range that its direction allows.
Result<std::int64_t> slice_bound(const Runtime& runtime, const Value* v, std::int64_t count,
                                 std::int64_t step, std::int64_t fallback) {
  if (v == nullptr || v->is(Kind::kNone)) return fallback;
  if (!v->is_integral()) return runtime.failure("a bound of a slice must be an integer");
  std::int64_t i = v->as_int();
  if (i < 0) i = i < -count ? -1 : i + count;
  const std::int64_t low = step > 0 ? 0 : -1;
  const std::int64_t high = step > 0 ? count : count - 1;
  return std::clamp(i, low, high);
}

}  // namespace

Result<Value> slice(Runtime& runtime, const Value& object, const Value* start, const Value* stop,
                    const Value* step) {
  if (object.is(Kind::kUndefined)) return runtime.failure("a slice of an undefined value");
  const bool is_text = object.is(Kind::kText);
  const bool is_items = object.is(Kind::kSequence) && object.as_sequence().is_indexable();
  // Jinja answers undefined where a value has no elements.
  if (!is_text && !is_items && !object.is(Kind::kRange)) return Value();
  HF_TRY_ASSIGN(std::int64_t stride, integer_argument(runtime, step, 1));
  if (stride == 0) return runtime.failure("the step of a slice is zero");
  std::vector<Value> numbers;
  if (object.is(Kind::kRange)) {
    HF_TRY_ASSIGN(numbers, runtime.iterate(object));
  }
  const std::vector<Value>& source = is_items ? object.as_sequence().items : numbers;
  const auto count = static_cast<std::int64_t>(is_text ? count_characters(object.as_text().bytes())
                                                       : source.size());
  stride = std::clamp(stride, -count - 1, count + 1);
  HF_TRY_ASSIGN(const std::int64_t from,
                slice_bound(runtime, start, count, stride, stride > 0 ? 0 : count - 1));
  HF_TRY_ASSIGN(const std::int64_t to,
                slice_bound(runtime, stop, count, stride, stride > 0 ? count : -1));
  if (is_text) {
    HF_TRY(runtime.charge_characters(object.as_text().size()));
    if (stride != 1) HF_TRY(runtime.charge(object.as_text().size()));
    return runtime.make_text(slice_characters(object.as_text(), from, to, stride));
  }
  std::vector<Value> out;
  for (std::int64_t i = from; stride > 0 ? i < to : i > to; i += stride) {
    out.push_back(source[static_cast<std::size_t>(i)]);
  }
  const bool is_tuple = is_items && object.as_sequence().is_tuple();
  return is_tuple ? runtime.make_tuple(std::move(out)) : runtime.make_list(std::move(out));
}

Result<Value> negate(Runtime& runtime, const Value& v) {
  if (v.is(Kind::kFloat)) return Value(-v.as_double());
  if (v.is_integral()) return checked(runtime, checked_sub(0, v.as_int()));
  return runtime.failure("'-' does not work on " + std::string(type_name(v)));
}

Result<Value> positive(Runtime& runtime, const Value& v) {
  if (v.is(Kind::kFloat)) return v;
  if (v.is_integral()) return Value(v.as_int());
  return runtime.failure("'+' does not work on " + std::string(type_name(v)));
}

}  // namespace holdfast::chat
