// Filters on lists, dicts and whatever else has items.
#include <algorithm>
#include <optional>
#include <set>

#include "filters.h"
#include "holdfast/base/utf8.h"
#include "operators.h"
#include "predicates.h"
#include "python_text.h"
#include "text_ops.h"
#include "unicode.h"

namespace holdfast::chat {

namespace {

Result<Value> length(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "length", {}));
  switch (self.kind()) {
    case Kind::kUndefined:
      return Value(std::int64_t{0});
    case Kind::kText:
      HF_TRY(runtime.charge_characters(self.as_text().size()));
      return Value(static_cast<std::int64_t>(count_characters(self.as_text().bytes())));
    case Kind::kSequence:
      if (self.as_sequence().is_generator()) break;
      return Value(static_cast<std::int64_t>(self.as_sequence().items.size()));
    case Kind::kDict:
      return Value(static_cast<std::int64_t>(self.as_dict().size()));
    case Kind::kRange:
      return Value(self.as_range().size());
    case Kind::kLoop:
      return Value(static_cast<std::int64_t>(self.as_loop().items.size()));
    default:
      break;
  }
  return runtime.failure("a value of type " + std::string(type_name(self)) + " has no length");
}

Result<Value> first(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "first", {}));
  if (self.is(Kind::kText)) {
    const Text& text = self.as_text();
    if (text.empty()) return Value();
    return Value::text(text.slice(0, decode_utf8(text.bytes(), 0).length));
  }
  if (self.is(Kind::kSequence)) {
    Sequence& s = self.as_sequence();
    if (s.position >= s.items.size()) return Value();
    return s.items[s.is_generator() ? s.position++ : 0];
  }
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  return items.empty() ? Value() : items.front();
}

Result<Value> last(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "last", {}));
  if (self.is(Kind::kSequence) && self.as_sequence().is_generator()) {
    return runtime.failure("a generator has no last item");
  }
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  return items.empty() ? Value() : items.back();
}

Result<Value> to_list(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "list", {}));
  HF_TRY_ASSIGN(std::vector<Value> items, runtime.iterate(self));
  return runtime.make_list(std::move(items));
}

Result<Value> generator(Runtime& runtime, std::vector<Value> items) {
  return runtime.make_sequence(std::move(items), Sequence::Flavour::kGenerator);
}

Result<Value> join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "join", {"d", "attribute"}));
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  Text separator;
  if (args[0] != nullptr) {
    HF_TRY_ASSIGN(separator, to_text(runtime, *args[0]));
  }
  Text out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (args[1] != nullptr && !args[1]->is(Kind::kNone)) {
      HF_TRY_ASSIGN(item, runtime.path(item, *args[1]));
    }
    HF_TRY_ASSIGN(const Text text, to_text(runtime, item));
    if (out.size() + separator.size() + text.size() > runtime.text_bytes_max()) {
      HF_TRY(runtime.admit_text(out.size() + separator.size() + text.size()));
    }
    if (i > 0) out.append(separator);
    out.append(text);
  }
  return runtime.make_text(std::move(out));
}

Result<Value> items_of(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "items", {}));
  if (self.is(Kind::kUndefined)) return generator(runtime, {});
  if (!self.is(Kind::kDict)) return runtime.failure("only a mapping has items");
  std::vector<Value> pairs;
  for (const Dict::Entry& e : self.as_dict().entries()) {
    HF_TRY_ASSIGN(Value pair, runtime.make_tuple({e.key, e.value}));
    pairs.push_back(std::move(pair));
  }
  return generator(runtime, std::move(pairs));
}

// What sort, unique, min, max and groupby compare: the item or an attribute of it, texts in lower
// case unless `case_sensitive`.
class Keys {
 public:
  Keys(Runtime& runtime, const Value* attribute, bool case_sensitive)
      : runtime_(runtime), case_sensitive_(case_sensitive) {
    if (attribute != nullptr && !attribute->is(Kind::kNone)) attribute_ = *attribute;
  }
  void set_fallback(const Value* fallback) {
    if (fallback != nullptr && !fallback->is(Kind::kNone)) fallback_ = *fallback;
  }

  Result<Value> raw(const Value& item) const {
    if (!attribute_) return item;
    return runtime_.path(item, *attribute_, fallback_ ? &*fallback_ : nullptr);
  }
  Result<Value> folded(Value key) const {
    if (case_sensitive_ || !key.is(Kind::kText)) return key;
    HF_TRY(runtime_.charge_characters(key.as_text().size()));
    return Value::text(to_lower(key.as_text()));
  }
  Result<Value> operator()(const Value& item) const {
    HF_TRY_ASSIGN(Value key, raw(item));
    return folded(std::move(key));
  }

 private:
  Runtime& runtime_;
  bool case_sensitive_;
  std::optional<Value> attribute_;
  std::optional<Value> fallback_;
};

struct Keyed {
  Value key;
  Value item;
};

// Stable; kInvalidArgument if the keys have no order among each other. The order of Python's sort
// on comparable keys does not depend on the algorithm, so a failed comparison may be noted and the
// sort finished.
Status sort_by_key(Runtime& runtime, std::vector<Keyed>& entries, bool reverse) {
  std::uint64_t weight = 0;
  for (const Keyed& e : entries) weight += extent_of(e.key).weight;
  std::uint64_t rounds = 1;
  for (std::size_t n = entries.size(); n > 1; n /= 2) ++rounds;
  HF_TRY(runtime.charge(weight * rounds));
  // Against the first key: std::stable_sort must not see an order that contradicts itself.
  for (const Keyed& e : entries) {
    const std::optional<Order> order = compare(entries.front().key, e.key);
    if (!order && entries.size() > 1) {
      return runtime.failure("values of type " + std::string(type_name(entries.front().key)) +
                             " and " + std::string(type_name(e.key)) + " have no order");
    }
  }
  bool failed = false;
  std::stable_sort(entries.begin(), entries.end(), [&](const Keyed& a, const Keyed& b) {
    const std::optional<Order> order = reverse ? compare(b.key, a.key) : compare(a.key, b.key);
    failed |= !order;
    return order == Order::kLess;
  });
  if (failed) return runtime.failure("values without order cannot be sorted");
  return ok_status();
}

// sort() takes several attributes with commas between them; a list of their values is the key.
Result<Value> sort_key(Runtime& runtime, const Value& item, const Value* attribute,
                       bool case_sensitive) {
  if (attribute == nullptr || !attribute->is(Kind::kText))
    return Keys(runtime, attribute, case_sensitive)(item);
  std::vector<Value> parts;
  for (const Text& name : split(attribute->as_text(), ",", -1)) {
    const Value path = Value::text(name);
    HF_TRY_ASSIGN(Value part, Keys(runtime, &path, case_sensitive)(item));
    parts.push_back(std::move(part));
  }
  return runtime.make_list(std::move(parts));
}

Result<Value> sort(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args,
                bind(runtime, arguments, "sort", {"reverse", "case_sensitive", "attribute"}));
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  std::vector<Keyed> entries;
  for (const Value& item : items) {
    HF_TRY_ASSIGN(Value key, sort_key(runtime, item, args[2], flag_argument(args[1], false)));
    entries.push_back({std::move(key), item});
  }
  HF_TRY(sort_by_key(runtime, entries, flag_argument(args[0], false)));
  std::vector<Value> out;
  for (Keyed& e : entries) out.push_back(std::move(e.item));
  return runtime.make_list(std::move(out));
}

Result<Value> dict_sort(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args,
                bind(runtime, arguments, "dictsort", {"case_sensitive", "by", "reverse"}));
  if (!self.is(Kind::kDict)) return runtime.failure("dictsort needs a mapping");
  bool by_value = false;
  if (args[1] != nullptr) {
    HF_TRY_ASSIGN(const Text* by, text_argument(runtime, *args[1]));
    if (by->bytes() != "key" && by->bytes() != "value")
      return runtime.failure("dictsort sorts by 'key' or 'value'");
    by_value = by->bytes() == "value";
  }
  const Keys keys(runtime, nullptr, flag_argument(args[0], false));
  std::vector<Keyed> entries;
  for (const Dict::Entry& e : self.as_dict().entries()) {
    HF_TRY_ASSIGN(Value key, keys(by_value ? e.value : e.key));
    HF_TRY_ASSIGN(Value pair, runtime.make_tuple({e.key, e.value}));
    entries.push_back({std::move(key), std::move(pair)});
  }
  HF_TRY(sort_by_key(runtime, entries, flag_argument(args[2], false)));
  std::vector<Value> out;
  for (Keyed& e : entries) out.push_back(std::move(e.item));
  return runtime.make_list(std::move(out));
}

Result<Value> group_by(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args,
                bind(runtime, arguments, "groupby", {"attribute", "default", "case_sensitive"}, 1));
  Keys keys(runtime, args[0], flag_argument(args[2], false));
  keys.set_fallback(args[1]);
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  std::vector<Keyed> entries;
  for (const Value& item : items) {
    HF_TRY_ASSIGN(Value key, keys(item));
    entries.push_back({std::move(key), item});
  }
  HF_TRY(sort_by_key(runtime, entries, false));
  std::vector<Value> groups;
  for (std::size_t from = 0; from < entries.size();) {
    std::vector<Value> members;
    std::size_t end = from;
    for (; end < entries.size() && equals(entries[end].key, entries[from].key); ++end) {
      members.push_back(entries[end].item);
    }
    HF_TRY_ASSIGN(Value name, keys.raw(entries[from].item));
    HF_TRY_ASSIGN(Value list, runtime.make_list(std::move(members)));
    HF_TRY_ASSIGN(Value group, runtime.make_sequence({std::move(name), std::move(list)},
                                                     Sequence::Flavour::kGroup));
    groups.push_back(std::move(group));
    from = end;
  }
  return runtime.make_list(std::move(groups));
}

Result<Value> unique(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args,
                bind(runtime, arguments, "unique", {"case_sensitive", "attribute"}));
  const Keys keys(runtime, args[1], flag_argument(args[0], false));
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  std::set<std::string> seen;
  std::vector<Value> out;
  for (const Value& item : items) {
    HF_TRY_ASSIGN(const Value key, keys(item));
    HF_TRY(runtime.charge_value(key));
    std::optional<std::string> hash = hash_key(key);
    if (!hash) return runtime.failure("unique needs values that can be hashed");
    if (seen.insert(std::move(*hash)).second) out.push_back(item);
  }
  return generator(runtime, std::move(out));
}

template <bool Largest>
Result<Value> extreme(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args,
                bind(runtime, arguments, "min or max", {"case_sensitive", "attribute"}));
  const Keys keys(runtime, args[1], flag_argument(args[0], false));
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  if (items.empty()) return Value();
  Value best = items[0];
  HF_TRY_ASSIGN(Value best_key, keys(best));
  for (std::size_t i = 1; i < items.size(); ++i) {
    HF_TRY_ASSIGN(Value key, keys(items[i]));
    HF_TRY_ASSIGN(
        const bool better,
        compare_values(runtime, Largest ? Operator::kGreater : Operator::kLess, key, best_key));
    if (!better) continue;
    best = items[i];
    best_key = std::move(key);
  }
  return best;
}

Result<Value> reverse(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY(bind(runtime, arguments, "reverse", {}));
  if (self.is(Kind::kText)) {
    const Value step(std::int64_t{-1});
    return slice(runtime, self, nullptr, nullptr, &step);
  }
  HF_TRY_ASSIGN(std::vector<Value> items, runtime.iterate(self));
  std::reverse(items.begin(), items.end());
  const bool was_generator = self.is(Kind::kSequence) && self.as_sequence().is_generator();
  return was_generator ? runtime.make_list(std::move(items)) : generator(runtime, std::move(items));
}

// map(attribute="a", default=d) or map("filter", arguments ...).
Result<Value> map(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!is_true(self)) return generator(runtime, {});
  std::vector<Value> out;
  if (arguments.positional.empty()) {
    HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "map", {"attribute", "default"}, 1));
    Keys keys(runtime, args[0], true);
    keys.set_fallback(args[1]);
    HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
    for (const Value& item : items) {
      HF_TRY_ASSIGN(Value mapped, keys.raw(item));
      out.push_back(std::move(mapped));
    }
    return generator(runtime, std::move(out));
  }
  HF_TRY_ASSIGN(const Text* name, text_argument(runtime, arguments.positional[0]));
  const FilterEntry* filter = find_filter(name->bytes());
  if (filter == nullptr) return runtime.not_supported("map: there is no such filter");
  const Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()},
                       arguments.named};
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  for (const Value& item : items) {
    HF_TRY(runtime.charge(1));
    HF_TRY_ASSIGN(Value mapped, filter->call(runtime, item, rest));
    out.push_back(std::move(mapped));
  }
  return generator(runtime, std::move(out));
}

// select, reject, selectattr and rejectattr: those items for which a test says `Wanted`; without a
// test, their truth.
template <bool Wanted, bool ByAttribute>
Result<Value> select(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!is_true(self)) return generator(runtime, {});
  const std::size_t skip = ByAttribute ? 1 : 0;
  if (arguments.positional.size() < skip)
    return runtime.failure("the name of an attribute is missing");
  const TestEntry* test = nullptr;
  Arguments rest;
  if (arguments.positional.size() > skip) {
    HF_TRY_ASSIGN(const Text* name, text_argument(runtime, arguments.positional[skip]));
    test = find_test(name->bytes());
    if (test == nullptr) return runtime.not_supported("select or reject: there is no such test");
    rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(skip) + 1,
                           arguments.positional.end());
    rest.named = arguments.named;
  }
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  std::vector<Value> out;
  for (const Value& item : items) {
    HF_TRY(runtime.charge(1));
    Value subject = item;
    if (ByAttribute) {
      HF_TRY_ASSIGN(subject, runtime.path(item, arguments.positional[0]));
    }
    bool holds = false;
    if (test == nullptr) {
      holds = is_true(subject);
    } else {
      HF_TRY_ASSIGN(holds, test->call(runtime, subject, rest));
    }
    if (holds == Wanted) out.push_back(item);
  }
  return generator(runtime, std::move(out));
}

Result<Value> sum(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "sum", {"attribute", "start"}));
  const Keys keys(runtime, args[0], true);
  Value total = args[1] != nullptr ? *args[1] : Value(std::int64_t{0});
  if (total.is(Kind::kText)) return runtime.failure("sum does not work on strings");
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  for (const Value& item : items) {
    HF_TRY_ASSIGN(const Value part, keys.raw(item));
    HF_TRY_ASSIGN(total, arithmetic(runtime, Operator::kAdd, total, part));
  }
  return total;
}

Result<Value> batch(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "batch", {"linecount", "fill_with"}, 1));
  HF_TRY_ASSIGN(const std::int64_t per_line, integer_argument(runtime, args[0], 0));
  if (per_line <= 0) return runtime.failure("batch needs a positive number");
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  std::vector<Value> lines;
  for (std::size_t from = 0; from < items.size(); from += static_cast<std::size_t>(per_line)) {
    const std::size_t n = std::min(items.size() - from, static_cast<std::size_t>(per_line));
    const auto begin = items.begin() + static_cast<std::ptrdiff_t>(from);
    std::vector<Value> line(begin, begin + static_cast<std::ptrdiff_t>(n));
    if (args[1] != nullptr && !args[1]->is(Kind::kNone)) {
      HF_TRY(runtime.charge(static_cast<std::uint64_t>(per_line)));
      line.resize(static_cast<std::size_t>(per_line), *args[1]);
    }
    HF_TRY_ASSIGN(Value list, runtime.make_list(std::move(line)));
    lines.push_back(std::move(list));
    if (n < static_cast<std::size_t>(per_line)) break;
  }
  return generator(runtime, std::move(lines));
}

Result<Value> slices(Runtime& runtime, const Value& self, const Arguments& arguments) {
  HF_TRY_ASSIGN(const Bound args, bind(runtime, arguments, "slice", {"slices", "fill_with"}, 1));
  HF_TRY_ASSIGN(const std::int64_t wanted, integer_argument(runtime, args[0], 0));
  if (wanted <= 0) return runtime.failure("slice needs a positive number");
  HF_TRY(runtime.charge(static_cast<std::uint64_t>(wanted)));
  HF_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  const std::size_t count = static_cast<std::size_t>(wanted);
  const std::size_t each = items.size() / count;
  const std::size_t longer = items.size() % count;
  std::vector<Value> columns;
  std::size_t from = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t n = each + (i < longer ? 1 : 0);
    const auto begin = items.begin() + static_cast<std::ptrdiff_t>(from);
    std::vector<Value> column(begin, begin + static_cast<std::ptrdiff_t>(n));
    if (args[1] != nullptr && !args[1]->is(Kind::kNone) && i >= longer) column.push_back(*args[1]);
    HF_TRY_ASSIGN(Value list, runtime.make_list(std::move(column)));
    columns.push_back(std::move(list));
    from += n;
  }
  return generator(runtime, std::move(columns));
}

constexpr FilterEntry kFilters[] = {
    {"length", length},
    {"count", length},
    {"first", first},
    {"last", last},
    {"list", to_list},
    {"join", join},
    {"items", items_of},
    {"sort", sort},
    {"dictsort", dict_sort},
    {"groupby", group_by},
    {"unique", unique},
    {"min", extreme<false>},
    {"max", extreme<true>},
    {"reverse", reverse},
    {"map", map},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
    {"sum", sum},
    {"batch", batch},
    {"slice", slices},
};

}  // namespace

std::span<const FilterEntry> sequence_filters() { return kFilters; }

}  // namespace holdfast::chat
