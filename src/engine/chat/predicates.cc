#include "predicates.h"

#include "filters.h"
#include "operators.h"
#include "python_text.h"
#include "text_ops.h"

namespace holdfast::chat {

namespace {

// Tests that look at the subject alone. The names of their arguments do not matter: there are none.
template <bool (*Predicate)(const Value&)>
Result<bool> plain(Runtime& runtime, const Value& subject, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "this test", {}));
  return Predicate(subject);
}

bool is_defined(const Value& v) { return !v.is(Kind::kUndefined); }
bool is_undefined(const Value& v) { return v.is(Kind::kUndefined); }
bool is_none(const Value& v) { return v.is(Kind::kNone); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_the_true(const Value& v) { return v.is(Kind::kBool) && v.as_bool(); }
bool is_the_false(const Value& v) { return v.is(Kind::kBool) && !v.as_bool(); }
bool is_integer(const Value& v) { return v.is(Kind::kInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is(Kind::kText); }
bool is_mapping(const Value& v) { return v.is(Kind::kDict); }
bool is_callable(const Value& v) { return v.is_callable(); }
bool is_escaped(const Value& v) { return v.is(Kind::kText) && v.as_text().is_markup(); }

bool is_iterable(const Value& v) {
  return v.is(Kind::kUndefined) || v.is(Kind::kText) || v.is(Kind::kSequence) ||
         v.is(Kind::kDict) || v.is(Kind::kRange) || v.is(Kind::kLoop);
}

// What has both a length and indices in Python; undefined has both by accident.
bool is_sequence(const Value& v) {
  if (v.is(Kind::kSequence)) return v.as_sequence().is_indexable();
  return v.is(Kind::kUndefined) || v.is(Kind::kText) || v.is(Kind::kDict) || v.is(Kind::kRange);
}

template <bool Upper>
Result<bool> only_case(Runtime& runtime, const Value& subject, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "this test", {}));
  HF_TRY_ASSIGN(const Text text, to_text(runtime, subject));
  HF_TRY(runtime.charge_characters(text.size()));
  return has_only_case(text.bytes(), Upper);
}

Result<bool> remainder_is(Runtime& runtime, const Value& subject, std::int64_t divisor,
                          std::int64_t wanted) {
  HF_TRY_ASSIGN(const Value rest, arithmetic(runtime, Operator::kModulo, subject, Value(divisor)));
  return equals(rest, Value(wanted));
}

Result<bool> odd(Runtime& runtime, const Value& subject, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "odd", {}));
  return remainder_is(runtime, subject, 2, 1);
}
Result<bool> even(Runtime& runtime, const Value& subject, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "even", {}));
  return remainder_is(runtime, subject, 2, 0);
}
Result<bool> divisible_by(Runtime& runtime, const Value& subject, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "divisibleby", {"num"}, 1));
  HF_TRY_ASSIGN(const Value rest, arithmetic(runtime, Operator::kModulo, subject, *args[0]));
  return equals(rest, Value(std::int64_t{0}));
}

template <Operator Op>
Result<bool> comparison(Runtime& runtime, const Value& subject, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "this test", {"other"}, 1));
  return compare_values(runtime, Op, subject, *args[0]);
}

Result<bool> same_as(Runtime& runtime, const Value& subject, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "sameas", {"other"}, 1));
  return subject.same_as(*args[0]);
}

template <bool (*Known)(std::string_view)>
Result<bool> is_known(Runtime& runtime, const Value& subject, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "this test", {}));
  return subject.is(Kind::kText) && Known(subject.as_text().bytes());
}
bool is_filter(std::string_view name) { return find_filter(name) != nullptr; }
bool is_test(std::string_view name) { return find_test(name) != nullptr; }

constexpr TestEntry kTests[] = {
    {"defined", plain<is_defined>},
    {"undefined", plain<is_undefined>},
    {"none", plain<is_none>},
    {"boolean", plain<is_boolean>},
    {"true", plain<is_the_true>},
    {"false", plain<is_the_false>},
    {"integer", plain<is_integer>},
    {"float", plain<is_float>},
    {"number", plain<is_number>},
    {"string", plain<is_string>},
    {"mapping", plain<is_mapping>},
    {"iterable", plain<is_iterable>},
    {"sequence", plain<is_sequence>},
    {"callable", plain<is_callable>},
    {"escaped", plain<is_escaped>},
    {"lower", only_case<false>},
    {"upper", only_case<true>},
    {"odd", odd},
    {"even", even},
    {"divisibleby", divisible_by},
    {"sameas", same_as},
    {"filter", is_known<is_filter>},
    {"test", is_known<is_test>},
    {"in", comparison<Operator::kIn>},
    {"eq", comparison<Operator::kEqual>},
    {"==", comparison<Operator::kEqual>},
    {"equalto", comparison<Operator::kEqual>},
    {"ne", comparison<Operator::kNotEqual>},
    {"!=", comparison<Operator::kNotEqual>},
    {"lt", comparison<Operator::kLess>},
    {"<", comparison<Operator::kLess>},
    {"lessthan", comparison<Operator::kLess>},
    {"le", comparison<Operator::kLessEqual>},
    {"<=", comparison<Operator::kLessEqual>},
    {"gt", comparison<Operator::kGreater>},
    {">", comparison<Operator::kGreater>},
    {"greaterthan", comparison<Operator::kGreater>},
    {"ge", comparison<Operator::kGreaterEqual>},
    {">=", comparison<Operator::kGreaterEqual>},
};

}  // namespace

const TestEntry* find_test(std::string_view name) {
  for (const TestEntry& entry : kTests) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace holdfast::chat
