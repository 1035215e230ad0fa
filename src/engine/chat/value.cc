#include "value.h"

#include <algorithm>
#include <cmath>

#include "python_text.h"
#include "runtime.h"

namespace holdfast::chat {

std::int64_t Value::as_int() const {
  if (const bool* b = std::get_if<bool>(&data_)) return *b ? 1 : 0;
  return *std::get_if<std::int64_t>(&data_);
}

double Value::as_double() const {
  if (const double* d = std::get_if<double>(&data_)) return *d;
  return static_cast<double>(as_int());
}

bool Value::is_callable() const {
  if (is(Kind::kLoop)) return true;
  if (is(Kind::kCounter)) return as_counter().is_joiner;
  // Undefined has a __call__, which fails, and so counts as callable in Python.
  return is(Kind::kFunction) || is(Kind::kMacro) || is(Kind::kUndefined);
}

const void* Value::address() const {
  return std::visit(
      [](const auto& v) -> const void* {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_pointer_v<T>) {
          return v;
        } else if constexpr (requires { v.get(); }) {
          return v.get();
        } else {
          return nullptr;
        }
      },
      data_);
}

bool Value::same_as(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kNone:
      return true;
    case Kind::kBool:
    case Kind::kInt:
      return as_int() == other.as_int();
    case Kind::kUndefined:
    case Kind::kFloat:
      return false;
    case Kind::kText:
      // Python interns literals; equal text is the nearest that can be said here.
      return as_text().bytes() == other.as_text().bytes();
    default:
      return address() == other.address();
  }
}

std::int64_t Range::size() const {
  if (step > 0) return start < stop ? (stop - start - 1) / step + 1 : 0;
  return start > stop ? (start - stop - 1) / -step + 1 : 0;
}

namespace {
// Below this size a walk over the entries beats hashing.
constexpr std::size_t kIndexedFrom = 9;
}  // namespace

const Value* Dict::find(const Value& key) const {
  if (entries_.size() < kIndexedFrom) {
    for (const Entry& e : entries_) {
      if (equals(e.key, key)) return &e.value;
    }
    return nullptr;
  }
  const std::optional<std::string> hash = hash_key(key);
  if (!hash) return nullptr;
  const auto found = index_.find(*hash);
  return found == index_.end() ? nullptr : &entries_[found->second].value;
}

const Value* Dict::find(std::string_view key) const {
  if (entries_.size() < kIndexedFrom) {
    for (const Entry& e : entries_) {
      if (e.key.is(Kind::kText) && e.key.as_text().bytes() == key) return &e.value;
    }
    return nullptr;
  }
  std::string hash = "s";
  hash += key;
  const auto found = index_.find(hash);
  return found == index_.end() ? nullptr : &entries_[found->second].value;
}

bool Dict::set(Value key, Value value) {
  if (!key.is(Kind::kText) && !hash_key(key)) return false;
  extent_.add(extent_of(key));
  extent_.add(extent_of(value));
  if (Value* present = const_cast<Value*>(std::as_const(*this).find(key))) {
    *present = std::move(value);
    return true;
  }
  entries_.push_back({std::move(key), std::move(value)});
  if (entries_.size() == kIndexedFrom) {
    for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(*hash_key(entries_[i].key), i);
  } else if (entries_.size() > kIndexedFrom) {
    index_.emplace(*hash_key(entries_.back().key), entries_.size() - 1);
  }
  return true;
}

Value* Namespace::find(std::string_view name) {
  for (auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Namespace::set(std::string_view name, Value value) {
  if (Value* present = find(name)) {
    *present = std::move(value);
  } else {
    attributes.emplace_back(std::string(name), std::move(value));
  }
}

bool is_true(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return v.as_int() != 0;
    case Kind::kFloat:
      return v.as_double() != 0;
    case Kind::kText:
      return !v.as_text().empty();
    case Kind::kSequence:
      return v.as_sequence().is_generator() || !v.as_sequence().items.empty();
    case Kind::kDict:
      return v.as_dict().size() != 0;
    case Kind::kRange:
      return v.as_range().size() != 0;
    case Kind::kLoop:
      return v.as_loop().items.size() != 0;
    default:
      return true;
  }
}

namespace {

bool equal_sequences(const Sequence& a, const Sequence& b) {
  const bool comparable = (a.is_list() && b.is_list()) || (a.is_tuple() && b.is_tuple());
  if (!comparable) return &a == &b;
  return a.items.size() == b.items.size() &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(), equals);
}

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(), [&b](const Dict::Entry& e) {
    const Value* other = b.find(e.key);
    return other != nullptr && equals(e.value, *other);
  });
}

bool equal_ranges(const Range& a, const Range& b) {
  const std::int64_t n = a.size();
  if (n != b.size()) return false;
  return n == 0 || (a.start == b.start && (n == 1 || a.step == b.step));
}

template <typename T>
Order order_of(const T& a, const T& b) {
  return a < b ? Order::kLess : b < a ? Order::kGreater : Order::kEqual;
}

std::optional<Order> compare_sequences(const Sequence& a, const Sequence& b) {
  const bool comparable = (a.is_list() && b.is_list()) || (a.is_tuple() && b.is_tuple());
  if (!comparable) return std::nullopt;
  const std::size_t n = std::min(a.items.size(), b.items.size());
  for (std::size_t i = 0; i < n; ++i) {
    if (!equals(a.items[i], b.items[i])) return compare(a.items[i], b.items[i]);
  }
  return order_of(a.items.size(), b.items.size());
}

std::optional<std::string> hash_sequence(const Sequence& s) {
  if (!s.is_tuple()) return std::nullopt;
  std::string out = "(";
  for (const Value& item : s.items) {
    const std::optional<std::string> part = hash_key(item);
    if (!part) return std::nullopt;
    out += std::to_string(part->size()) + ":" + *part;
  }
  return out;
}

}  // namespace

bool equals(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.as_int() == b.as_int();
    return a.as_double() == b.as_double();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kText:
      return a.as_text().bytes() == b.as_text().bytes();
    case Kind::kSequence:
      return equal_sequences(a.as_sequence(), b.as_sequence());
    case Kind::kDict:
      return equal_dicts(a.as_dict(), b.as_dict());
    case Kind::kRange:
      return equal_ranges(a.as_range(), b.as_range());
    default:
      return a.address() == b.address();
  }
}

std::optional<Order> compare(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return order_of(a.as_int(), b.as_int());
    const double x = a.as_double();
    const double y = b.as_double();
    if (std::isnan(x) || std::isnan(y)) return Order::kUnordered;
    return order_of(x, y);
  }
  if (a.is(Kind::kText) && b.is(Kind::kText)) {
    // The order of UTF-8 bytes is the order of code points.
    return order_of(a.as_text().bytes(), b.as_text().bytes());
  }
  if (a.is(Kind::kSequence) && b.is(Kind::kSequence)) {
    return compare_sequences(a.as_sequence(), b.as_sequence());
  }
  return std::nullopt;
}

std::optional<std::string> hash_key(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined:
      return "u";
    case Kind::kNone:
      return "n";
    case Kind::kBool:
    case Kind::kInt:
      return "i" + std::to_string(v.as_int());
    case Kind::kFloat: {
      const double d = v.as_double();
      const bool integral = d == std::floor(d) && std::fabs(d) < 9e15;
      return integral ? "i" + std::to_string(static_cast<std::int64_t>(d)) : "d" + float_repr(d);
    }
    case Kind::kText:
      return "s" + v.as_text().bytes();
    case Kind::kSequence:
      return hash_sequence(v.as_sequence());
    case Kind::kDict:
      return std::nullopt;
    default:
      return "p" + std::to_string(reinterpret_cast<std::uintptr_t>(v.address()));
  }
}

void Extent::add(const Extent& part) {
  depth = std::max(depth, part.depth + 1);
  weight += part.weight;  // cannot overflow: each part is below the limit and there are few of them
}

Extent extent_around(const std::vector<Value>& parts) {
  Extent extent{1, 1};
  for (const Value& part : parts) extent.add(extent_of(part));
  return extent;
}

Extent extent_of(const Value& v) {
  switch (v.kind()) {
    case Kind::kText:
      return {0, 1 + v.as_text().size() / 64};
    case Kind::kSequence:
      return v.as_sequence().extent;
    case Kind::kDict:
      return v.as_dict().extent();
    case Kind::kFunction: {
      Extent extent{1, 1};
      extent.add(extent_of(v.as_function().self));
      return extent;
    }
    case Kind::kLoop:
      return v.as_loop().extent;
    case Kind::kCounter:
      return v.as_counter().extent;
    default:
      // Macros and namespaces belong to the rendering, so no value owns what they hold; whoever
      // walks into a namespace counts for itself.
      return {};
  }
}

std::string_view type_name(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined:
      return "undefined";
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kText:
      return "str";
    case Kind::kSequence:
      switch (v.as_sequence().flavour) {
        case Sequence::Flavour::kList:
          return "list";
        case Sequence::Flavour::kTuple:
        case Sequence::Flavour::kGroup:
          return "tuple";
        case Sequence::Flavour::kGenerator:
          return "generator";
        default:
          return "view of a dict";
      }
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kFunction:
    case Kind::kMacro:
      return "function";
    case Kind::kLoop:
      return "loop";
    case Kind::kCounter:
      return "cycler or joiner";
    case Kind::kNamespace:
      return "namespace";
  }
  return "value";
}

}  // namespace holdfast::chat
