#include "globals.h"

#include <limits>
#include <utility>

#include "python_text.h"
#include "strftime.h"

namespace holdfast::chat {

namespace {

// As in Jinja's sandbox.
constexpr std::int64_t kRangeItemsMax = 100'000;

Result<Value> make_range(Runtime& runtime, const Value& /*self*/, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "range", {"start", "stop", "step"}, 1));
  const auto integer = [&](const Value& v) -> Result<std::int64_t> {
    if (!v.is_integral())
      return runtime.failure("range() needs integers, not " + std::string(type_name(v)));
    // Far from the ends of 64 bits, so that sums cannot overflow; no longer range is allowed
    // anyway.
    constexpr std::int64_t kFar = std::numeric_limits<std::int64_t>::max() / 4;
    if (v.as_int() > kFar || v.as_int() < -kFar)
      return runtime.over_budget("a bound of range() is too large");
    return v.as_int();
  };
  Range range;
  HF_TRY_ASSIGN(range.start, integer(*args[0]));
  if (args[1] == nullptr) {
    std::swap(range.start, range.stop);
  } else {
    HF_TRY_ASSIGN(range.stop, integer(*args[1]));
  }
  if (args[2] != nullptr) {
    HF_TRY_ASSIGN(range.step, integer(*args[2]));
  }
  if (range.step == 0) return runtime.failure("the step of range() is zero");
  if (range.size() > kRangeItemsMax) {
    return runtime.over_budget("a range of more than " + std::to_string(kRangeItemsMax) + " items");
  }
  return Value(std::make_shared<const Range>(range));
}

// Entries of a dict, or pairs.
Status add_entries(Runtime& runtime, const Value& source, Dict& dict) {
  if (source.is(Kind::kDict)) {
    HF_TRY(runtime.charge_value(source));
    for (const Dict::Entry& e : source.as_dict().entries()) dict.set(e.key, e.value);
    return ok_status();
  }
  HF_TRY_ASSIGN(const std::vector<Value> pairs, runtime.iterate(source));
  for (const Value& pair : pairs) {
    HF_TRY_ASSIGN(const std::vector<Value> parts, runtime.iterate(pair));
    if (parts.size() != 2) return runtime.failure("dict() needs pairs");
    HF_TRY(runtime.charge_value(parts[0]));
    if (!dict.set(parts[0], parts[1])) return runtime.failure("a key of dict() cannot be hashed");
  }
  return ok_status();
}

Result<Dict> dict_from(Runtime& runtime, const Arguments& arguments) {
  Dict dict;
  if (arguments.positional.size() > 1) return runtime.failure("dict() takes at most one argument");
  if (!arguments.positional.empty()) HF_TRY(add_entries(runtime, arguments.positional[0], dict));
  for (const auto& [name, value] : arguments.named)
    dict.set(Value::text(name, Origin::kTemplate), value);
  return dict;
}

Result<Value> make_dict(Runtime& runtime, const Value& /*self*/, const Arguments& arguments) {
  HF_TRY_ASSIGN(Dict dict, dict_from(runtime, arguments));
  return runtime.make_dict(std::move(dict));
}

Result<Value> make_namespace(Runtime& runtime, const Value& /*self*/, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Dict dict, dict_from(runtime, arguments));
  Namespace* created = runtime.new_namespace();
  for (const Dict::Entry& e : dict.entries()) {
    HF_TRY_ASSIGN(const Text* name, text_argument(runtime, e.key));
    created->set(name->bytes(), e.value);
  }
  HF_TRY(runtime.charge(1 + dict.size()));
  return Value(created);
}

Result<Value> make_counter(Runtime& runtime, Counter counter) {
  counter.extent = extent_around(counter.items);
  HF_TRY(runtime.check_extent(counter.extent));
  HF_TRY(runtime.charge(1 + counter.items.size()));
  return Value(std::make_shared<Counter>(std::move(counter)));
}

Result<Value> make_cycler(Runtime& runtime, const Value& /*self*/, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty())
    return runtime.failure("cycler() needs values");
  Counter counter;
  counter.items = arguments.positional;
  return make_counter(runtime, std::move(counter));
}

Result<Value> make_joiner(Runtime& runtime, const Value& /*self*/, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "joiner", {"sep"}));
  Counter counter;
  counter.is_joiner = true;
  counter.items = {args[0] != nullptr ? *args[0] : Value::text(", ", Origin::kTemplate)};
  return make_counter(runtime, std::move(counter));
}

Result<Value> raise_exception(Runtime& runtime, const Value& /*self*/, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "raise_exception", {"message"}, 1));
  HF_TRY_ASSIGN(const Text message, to_text(runtime, *args[0]));
  return invalid_argument(message.bytes(),
                          std::string(raised_mark()) + std::to_string(runtime.line()));
}

Result<Value> strftime_now(Runtime& runtime, const Value& /*self*/, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "strftime_now", {"format"}, 1));
  HF_TRY_ASSIGN(const Text* format, text_argument(runtime, *args[0]));
  // No conversion makes more than 25 bytes of its two.
  HF_TRY(runtime.admit_text(format->size() * 13));
  return runtime.make_text(Text(format_time(runtime.now(), format->bytes()), Origin::kData));
}

constexpr std::pair<std::string_view, NativeFunction> kGlobals[] = {
    {"range", make_range},          {"dict", make_dict},     {"namespace", make_namespace},
    {"cycler", make_cycler},        {"joiner", make_joiner}, {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

std::string_view raised_mark() { return "raised by raise_exception in line "; }

Result<Value> call_joiner(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "the joiner", {}));
  Counter& joiner = self.as_counter();
  return joiner.position++ == 0 ? Value::text(Text()) : joiner.items[0];
}

NativeFunction find_global(std::string_view name) {
  for (const auto& [key, function] : kGlobals) {
    if (key == name) return function;
  }
  return nullptr;
}

}  // namespace holdfast::chat
