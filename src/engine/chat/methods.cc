#include "methods.h"

#include <algorithm>
#include <array>
#include <utility>

#include "evaluator.h"

namespace holdfast::chat {

namespace {

using Entry = std::pair<std::string_view, NativeFunction>;

Result<Value> dict_get(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "get", {"key", "default"}, 1));
  HF_TRY(runtime.charge_value(*args[0]));
  if (!hash_key(*args[0])) return runtime.failure("get() needs a key that can be hashed");
  if (const Value* found = self.as_dict().find(*args[0])) return *found;
  return args[1] != nullptr ? *args[1] : Value(None{});
}

Result<Value> dict_view(Runtime& runtime, const Value& self, const Arguments& arguments,
                        Sequence::Flavour flavour) {
  HF_TRY(bind(runtime, arguments, "the view of a dict", {}));
  std::vector<Value> items;
  for (const Dict::Entry& e : self.as_dict().entries()) {
    if (flavour == Sequence::Flavour::kKeys) {
      items.push_back(e.key);
    } else if (flavour == Sequence::Flavour::kValues) {
      items.push_back(e.value);
    } else {
      HF_TRY_ASSIGN(Value pair, runtime.make_tuple({e.key, e.value}));
      items.push_back(std::move(pair));
    }
  }
  return runtime.make_sequence(std::move(items), flavour);
}

Result<Value> dict_keys(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return dict_view(runtime, self, arguments, Sequence::Flavour::kKeys);
}
Result<Value> dict_values(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return dict_view(runtime, self, arguments, Sequence::Flavour::kValues);
}
Result<Value> dict_items(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return dict_view(runtime, self, arguments, Sequence::Flavour::kItems);
}
// Nothing can change a dict or list here, so a copy is the thing itself.
Result<Value> copy_of(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "copy", {}));
  return self;
}

Result<Value> sequence_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "count", {"value"}, 1));
  HF_TRY(runtime.charge_value(self));
  const std::vector<Value>& items = self.as_sequence().items;
  return Value(std::int64_t{std::count_if(items.begin(), items.end(),
                                          [&](const Value& v) { return equals(v, *args[0]); })});
}

Result<Value> sequence_index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "index", {"value"}, 1));
  HF_TRY(runtime.charge_value(self));
  const std::vector<Value>& items = self.as_sequence().items;
  const auto found =
      std::find_if(items.begin(), items.end(), [&](const Value& v) { return equals(v, *args[0]); });
  if (found == items.end()) return runtime.failure("index() does not find the value");
  return Value(std::int64_t{found - items.begin()});
}

Result<Value> cycler_next(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "next", {}));
  Counter& cycler = self.as_counter();
  const Value current = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return current;
}

Result<Value> cycler_reset(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "reset", {}));
  self.as_counter().position = 0;
  return Value(None{});
}

Result<Value> loop_cycle(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::size_t n = arguments.positional.size();
  if (n == 0 || !arguments.named.empty()) return runtime.failure("cycle() needs values");
  return arguments.positional[self.as_loop().index % n];
}

Result<Value> loop_changed(Runtime& runtime, const Value& self, const Arguments& arguments) {
  Loop& loop = self.as_loop();
  // An object that outlives its loop must not come to hold itself.
  if (loop.is_over) return runtime.failure("changed() is called after the loop");
  if (!arguments.named.empty()) return runtime.failure("changed() has no named parameters");
  for (const Value& v : arguments.positional) HF_TRY(runtime.charge_value(v));
  const std::vector<Value>& now = arguments.positional;
  const bool same = loop.has_changed && loop.last_changed.size() == now.size() &&
                    std::equal(now.begin(), now.end(), loop.last_changed.begin(), equals);
  loop.last_changed = now;
  loop.has_changed = true;
  return Value(!same);
}

template <std::size_t N>
NativeFunction find_in(const std::array<Entry, N>& table, std::string_view name) {
  for (const auto& [key, function] : table) {
    if (key == name) return function;
  }
  return nullptr;
}

constexpr std::array<Entry, 5> kDictMethods = {{{"get", dict_get},
                                                {"items", dict_items},
                                                {"keys", dict_keys},
                                                {"values", dict_values},
                                                {"copy", copy_of}}};
constexpr std::array<Entry, 3> kListMethods = {
    {{"count", sequence_count}, {"index", sequence_index}, {"copy", copy_of}}};
constexpr std::array<Entry, 2> kCyclerMethods = {{{"next", cycler_next}, {"reset", cycler_reset}}};

}  // namespace

bool is_dict_attribute(std::string_view name) {
  static constexpr std::array<std::string_view, 11> kNames = {
      "clear", "copy",    "fromkeys",   "get",    "items", "keys",
      "pop",   "popitem", "setdefault", "update", "values"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

NativeFunction find_method(const Value& object, std::string_view name) {
  if (name.starts_with('_')) return nullptr;
  switch (object.kind()) {
    case Kind::kText:
      return find_text_method(name);
    case Kind::kDict:
      return find_in(kDictMethods, name);
    case Kind::kSequence: {
      const Sequence& s = object.as_sequence();
      if (!s.is_indexable() || (s.is_tuple() && name == "copy")) return nullptr;
      return find_in(kListMethods, name);
    }
    case Kind::kCounter:
      return object.as_counter().is_joiner ? nullptr : find_in(kCyclerMethods, name);
    default:
      return nullptr;
  }
}

Result<Value> loop_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  const Loop& loop = value.as_loop();
  const auto count = static_cast<std::int64_t>(loop.items.size());
  const auto index = static_cast<std::int64_t>(loop.index);
  if (name == "index") return Value(index + 1);
  if (name == "index0") return Value(index);
  if (name == "first") return Value(index == 0);
  if (name == "last") return Value(index + 1 == count);
  if (name == "length") return Value(count);
  if (name == "revindex") return Value(count - index);
  if (name == "revindex0") return Value(count - index - 1);
  if (name == "depth") return Value(static_cast<std::int64_t>(loop.depth));
  if (name == "depth0") return Value(static_cast<std::int64_t>(loop.depth) - 1);
  if (name == "previtem") return index == 0 ? Value() : loop.items[loop.index - 1];
  if (name == "nextitem") return index + 1 == count ? Value() : loop.items[loop.index + 1];
  if (name == "cycle") return runtime.make_method("cycle", loop_cycle, value);
  if (name == "changed") return runtime.make_method("changed", loop_changed, value);
  return Value();
}

}  // namespace holdfast::chat
