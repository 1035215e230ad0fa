#include "runtime.h"

#include <algorithm>

#include "evaluator.h"
#include "holdfast/base/utf8.h"
#include "lexer.h"
#include "methods.h"
#include "python_text.h"
#include "unicode.h"

namespace holdfast::chat {

namespace {
// output within four times the input and one MiB.
constexpr std::uint64_t kOutputPerInputByte = 4;
}  // namespace

Runtime::Runtime(const Program& program, std::uint64_t input_bytes, const RenderTime& now)
    : program_(program),
      now_(now),
      steps_left_(program.limits.steps_max + input_bytes),
      steps_max_(steps_left_),
      text_bytes_max_(program.limits.output_bytes_max + kOutputPerInputByte * input_bytes) {}

// Namespaces may refer to each other in circles, so they are emptied while all of them still exist.
Runtime::~Runtime() {
  for (Namespace& n : namespaces_) n.attributes.clear();
}

Error Runtime::failure(std::string_view what) const { return syntax_error(line_, what); }

Error Runtime::over_budget(std::string_view what) const {
  return exhausted("chat template, line " + std::to_string(line_) + ": " + std::string(what));
}

Error Runtime::not_supported(std::string_view what) const {
  return unsupported("chat template, line " + std::to_string(line_) + ": " + std::string(what));
}

Status Runtime::charge(std::uint64_t steps) {
  if (steps > steps_left_) {
    steps_left_ = 0;
    return over_budget("more than " + std::to_string(steps_max_) + " steps");
  }
  steps_left_ -= steps;
  return ok_status();
}

Status Runtime::admit_text(std::uint64_t bytes) {
  if (bytes > text_bytes_max_) {
    return over_budget("a text of more than " + std::to_string(text_bytes_max_) + " bytes");
  }
  return charge_bytes(bytes);
}

Status Runtime::check_extent(const Extent& extent) {
  if (extent.depth > program_.limits.value_depth_max) {
    return over_budget("values nested more than " +
                       std::to_string(program_.limits.value_depth_max) + " deep");
  }
  if (extent.weight > steps_max_) return over_budget("a value is too large");
  return ok_status();
}

Result<Value> Runtime::make_text(Text text) {
  HF_TRY(admit_text(text.size()));
  return Value::text(std::move(text));
}

Result<Value> Runtime::make_sequence(std::vector<Value> items, Sequence::Flavour flavour) {
  auto sequence = std::make_shared<Sequence>();
  sequence->extent = extent_around(items);
  sequence->items = std::move(items);
  sequence->flavour = flavour;
  HF_TRY(check_extent(sequence->extent));
  HF_TRY(charge(1 + sequence->items.size()));
  return Value(std::move(sequence));
}

Result<Value> Runtime::make_list(std::vector<Value> items) {
  return make_sequence(std::move(items), Sequence::Flavour::kList);
}

Result<Value> Runtime::make_tuple(std::vector<Value> items) {
  return make_sequence(std::move(items), Sequence::Flavour::kTuple);
}

Result<Value> Runtime::make_dict(Dict dict) {
  HF_TRY(check_extent(dict.extent()));
  HF_TRY(charge(1 + dict.size()));
  return Value(DictPtr(std::make_shared<Dict>(std::move(dict))));
}

Result<Value> Runtime::make_method(std::string_view name, NativeFunction call, const Value& self) {
  Value value(std::make_shared<const Function>(Function{name, call, self}));
  HF_TRY(check_extent(extent_of(value)));
  return value;
}

Namespace* Runtime::new_namespace() { return &namespaces_.emplace_back(); }
Macro* Runtime::new_macro(Macro macro) { return &macros_.emplace_back(std::move(macro)); }

Result<std::vector<Value>> Runtime::characters(const Text& text) {
  HF_TRY(charge(1 + text.size()));
  std::vector<Value> out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t n = decode_utf8(text.bytes(), i).length;
    out.push_back(Value::text(text.slice(i, n).as_markup(false)));
    i += n;
  }
  return out;
}

namespace {
std::vector<Value> numbers_of(const Range& range) {
  std::vector<Value> out;
  const std::int64_t n = range.size();
  for (std::int64_t i = 0; i < n; ++i) out.emplace_back(range.start + i * range.step);
  return out;
}

std::vector<Value> keys_of(const Dict& dict) {
  std::vector<Value> out;
  for (const Dict::Entry& e : dict.entries()) out.push_back(e.key);
  return out;
}
}  // namespace

Result<std::vector<Value>> Runtime::iterate(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined:
      return std::vector<Value>();
    case Kind::kText:
      return characters(v.as_text());
    case Kind::kSequence: {
      Sequence& s = v.as_sequence();
      HF_TRY(charge(1 + s.items.size() - s.position));
      const auto from = s.items.begin() + static_cast<std::ptrdiff_t>(s.position);
      if (s.is_generator()) s.position = s.items.size();
      return std::vector<Value>(from, s.items.end());
    }
    case Kind::kDict:
      HF_TRY(charge(1 + v.as_dict().size()));
      return keys_of(v.as_dict());
    case Kind::kRange:
      HF_TRY(charge(1 + static_cast<std::uint64_t>(v.as_range().size())));
      return numbers_of(v.as_range());
    default:
      return failure("a value of type " + std::string(type_name(v)) + " cannot be iterated over");
  }
}

Result<Value> Runtime::method(const Value& object, std::string_view name) {
  // Names with an underscore in front are private in the sandbox, and those that change an object
  // do not exist in it.
  const NativeFunction call = find_method(object, name);
  if (call == nullptr) return Value();
  return make_method(name, call, object);
}

Result<Value> Runtime::attribute(const Value& object, std::string_view name) {
  HF_TRY(charge(1));
  switch (object.kind()) {
    case Kind::kUndefined:
      return failure("'" + std::string(name) + "' is read from an undefined value");
    case Kind::kNamespace: {
      HF_TRY(charge(object.as_namespace()->attributes.size() / 8));
      const Value* found = object.as_namespace()->find(name);
      return found != nullptr ? *found : Value();
    }
    case Kind::kLoop:
      return loop_attribute(*this, object, name);
    case Kind::kCounter: {
      const Counter& counter = object.as_counter();
      if (name == "current" && !counter.is_joiner) return counter.items[counter.position];
      return method(object, name);
    }
    case Kind::kMacro:
      return name == "name" ? make_text(Text(object.as_macro()->signature->name, Origin::kData))
                            : Result<Value>(Value());
    case Kind::kSequence:
      if (object.as_sequence().flavour == Sequence::Flavour::kGroup) {
        if (name == "grouper") return object.as_sequence().items[0];
        if (name == "list") return object.as_sequence().items[1];
      }
      return method(object, name);
    case Kind::kDict: {
      if (is_dict_attribute(name)) return method(object, name);
      const Value* found = object.as_dict().find(name);
      return found != nullptr ? *found : Value();
    }
    default:
      return method(object, name);
  }
}

Result<Value> Runtime::element(const Value& object, std::int64_t index) {
  const auto at = [&index](std::int64_t n) {
    if (index < 0) index += n;
    return index >= 0 && index < n;
  };
  if (object.is(Kind::kText)) {
    const Text& text = object.as_text();
    HF_TRY(charge_characters(text.size()));
    if (!at(static_cast<std::int64_t>(count_characters(text.bytes())))) return Value();
    const std::size_t from = offset_of_character(text.bytes(), static_cast<std::size_t>(index));
    return make_text(text.slice(from, decode_utf8(text.bytes(), from).length));
  }
  if (object.is(Kind::kRange)) {
    const Range& range = object.as_range();
    return at(range.size()) ? Value(range.start + index * range.step) : Value();
  }
  if (object.is(Kind::kSequence) && object.as_sequence().is_indexable()) {
    const std::vector<Value>& items = object.as_sequence().items;
    return at(static_cast<std::int64_t>(items.size())) ? items[static_cast<std::size_t>(index)]
                                                       : Value();
  }
  return Value();
}

Result<Value> Runtime::item(const Value& object, const Value& key) {
  HF_TRY(charge(1));
  if (object.is(Kind::kUndefined)) return failure("an element is read from an undefined value");
  if (object.is(Kind::kDict)) {
    HF_TRY(charge_value(key));
    if (const Value* found = object.as_dict().find(key)) return *found;
  } else if (key.is_integral()) {
    return element(object, key.as_int());
  }
  if (!key.is(Kind::kText)) return Value();
  if (object.is(Kind::kDict)) return method(object, key.as_text().bytes());
  return attribute(object, key.as_text().bytes());
}

Result<Value> Runtime::path(const Value& object, const Value& path, const Value* fallback) {
  const auto step = [&](const Value& from, const Value& key) -> Result<Value> {
    HF_TRY_ASSIGN(Value found, item(from, key));
    return found.is(Kind::kUndefined) && fallback != nullptr ? *fallback : found;
  };
  if (!path.is(Kind::kText)) return step(object, path);
  const std::string& text = path.as_text().bytes();
  Value current = object;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t dot = std::min(text.find('.', from), text.size());
    const std::string_view part = std::string_view(text).substr(from, dot - from);
    const bool is_index =
        !part.empty() && part.size() < 10 &&
        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    const Value key = is_index ? Value(std::int64_t{std::stoi(std::string(part))})
                               : Value::text(part, Origin::kData);
    HF_TRY_ASSIGN(current, step(current, key));
    from = dot + 1;
  }
  return current;
}

Result<Bound> bind(const Runtime& runtime, const Arguments& arguments, std::string_view function,
                   std::initializer_list<std::string_view> parameters, std::size_t required) {
  const std::string name(function);
  if (arguments.positional.size() > parameters.size()) {
    return runtime.failure(name + "() takes at most " + std::to_string(parameters.size()) +
                           " arguments");
  }
  Bound bound;
  for (std::size_t i = 0; i < arguments.positional.size(); ++i)
    bound.set(i, &arguments.positional[i]);
  for (const auto& [key, value] : arguments.named) {
    const auto at = std::find(parameters.begin(), parameters.end(), key);
    if (at == parameters.end()) return runtime.failure(name + "() has no parameter '" + key + "'");
    const auto i = static_cast<std::size_t>(at - parameters.begin());
    if (bound[i] != nullptr) return runtime.failure(name + "() got '" + key + "' twice");
    bound.set(i, &value);
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (bound[i] == nullptr) {
      return runtime.failure(name + "() needs the argument '" + std::string(parameters.begin()[i]) +
                             "'");
    }
  }
  return bound;
}

Result<std::int64_t> integer_argument(const Runtime& runtime, const Value* v,
                                      std::int64_t fallback) {
  if (v == nullptr || v->is(Kind::kNone)) return fallback;
  if (!v->is_integral()) {
    return runtime.failure("an integer is needed, not " + std::string(type_name(*v)));
  }
  return v->as_int();
}

Result<const Text*> text_argument(const Runtime& runtime, const Value& v) {
  if (!v.is(Kind::kText)) {
    return runtime.failure("a string is needed, not " + std::string(type_name(v)));
  }
  return &v.as_text();
}

bool flag_argument(const Value* v, bool fallback) { return v == nullptr ? fallback : is_true(*v); }

}  // namespace holdfast::chat
