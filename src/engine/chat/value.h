// Run-time values of the template language, with Python's rules of truth, equality, order and
// hashing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "text.h"

namespace holdfast::chat {

class Value;
class Dict;
struct Counter;
struct Function;
struct Loop;
struct Macro;
struct Namespace;
struct Range;
struct Sequence;

struct Undefined {};
struct None {};

using TextPtr = std::shared_ptr<const Text>;
using SequencePtr = std::shared_ptr<Sequence>;
using DictPtr = std::shared_ptr<const Dict>;

// In the order of the alternatives of Value::data_.
enum class Kind : std::uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kText,
  kSequence,
  kDict,
  kRange,
  kFunction,
  kLoop,
  kCounter,
  kMacro,
  kNamespace,
};

// Thread-compatible value; containers are shared and, but for the position of a generator,
// immutable. Macros and namespaces belong to the rendering, which outlives every value.
class Value {
 public:
  Value() = default;
  Value(None v) : data_(v) {}
  explicit Value(bool v) : data_(v) {}
  explicit Value(std::int64_t v) : data_(v) {}
  explicit Value(double v) : data_(v) {}
  Value(TextPtr v) : data_(std::move(v)) {}
  Value(SequencePtr v) : data_(std::move(v)) {}
  Value(DictPtr v) : data_(std::move(v)) {}
  Value(std::shared_ptr<const Range> v) : data_(std::move(v)) {}
  Value(std::shared_ptr<const Function> v) : data_(std::move(v)) {}
  Value(std::shared_ptr<Loop> v) : data_(std::move(v)) {}
  Value(std::shared_ptr<Counter> v) : data_(std::move(v)) {}
  Value(Macro* v) : data_(v) {}
  Value(Namespace* v) : data_(v) {}

  static Value text(Text text) { return TextPtr(std::make_shared<Text>(std::move(text))); }
  static Value text(std::string_view bytes, Origin origin) {
    return text(Text(std::string(bytes), origin));
  }

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind k) const { return kind() == k; }
  bool is_number() const { return is(Kind::kBool) || is(Kind::kInt) || is(Kind::kFloat); }
  // Bool counts as an integer, as in Python.
  bool is_integral() const { return is(Kind::kBool) || is(Kind::kInt); }

  // Precondition of each: the kind matches.
  bool as_bool() const { return *std::get_if<bool>(&data_); }
  std::int64_t as_int() const;  // of int or bool
  double as_double() const;     // of any number
  const Text& as_text() const { return **std::get_if<TextPtr>(&data_); }
  Sequence& as_sequence() const { return **std::get_if<SequencePtr>(&data_); }
  const Dict& as_dict() const { return **std::get_if<DictPtr>(&data_); }
  const Range& as_range() const { return **std::get_if<std::shared_ptr<const Range>>(&data_); }
  const Function& as_function() const {
    return **std::get_if<std::shared_ptr<const Function>>(&data_);
  }
  Loop& as_loop() const { return **std::get_if<std::shared_ptr<Loop>>(&data_); }
  Counter& as_counter() const { return **std::get_if<std::shared_ptr<Counter>>(&data_); }
  Macro* as_macro() const { return *std::get_if<Macro*>(&data_); }
  Namespace* as_namespace() const { return *std::get_if<Namespace*>(&data_); }

  bool is_callable() const;
  // Python's `is`.
  bool same_as(const Value& other) const;
  // Address of a shared object, for `is` and for default texts; null for plain values.
  const void* address() const;

 private:
  std::variant<Undefined, None, bool, std::int64_t, double, TextPtr, SequencePtr, DictPtr,
               std::shared_ptr<const Range>, std::shared_ptr<const Function>, std::shared_ptr<Loop>,
               std::shared_ptr<Counter>, Macro*, Namespace*>
      data_;
};

// How deep and how large a value is, counted when it is built: what bounds every recursive walk,
// also over values that refer to one part many times.
struct Extent {
  std::uint32_t depth = 0;   // nesting of containers; 0 for plain values
  std::uint64_t weight = 1;  // values inside, itself included, and 64-byte units of text
  void add(const Extent& part);
};
// Extent of a container of these parts.
Extent extent_around(const std::vector<Value>& parts);

// A list or what behaves like one. A generator can be walked once: `position` is where it stands.
struct Sequence {
  enum class Flavour : std::uint8_t { kList, kTuple, kKeys, kValues, kItems, kGroup, kGenerator };
  std::vector<Value> items;
  Flavour flavour = Flavour::kList;
  Extent extent;
  std::size_t position = 0;  // of a generator

  bool is_list() const { return flavour == Flavour::kList; }
  bool is_tuple() const { return flavour == Flavour::kTuple || flavour == Flavour::kGroup; }
  bool is_generator() const { return flavour == Flavour::kGenerator; }
  // Lists and tuples have indices; views of dicts and generators have not.
  bool is_indexable() const { return is_list() || is_tuple(); }
};

// Integers from `start` in steps; never empty storage, however long.
struct Range {
  std::int64_t start = 0;
  std::int64_t stop = 0;
  std::int64_t step = 1;
  std::int64_t size() const;
};

// A mapping that keeps the order of insertion.
class Dict {
 public:
  struct Entry {
    Value key;
    Value value;
  };
  const std::vector<Entry>& entries() const { return entries_; }
  std::size_t size() const { return entries_.size(); }
  const Extent& extent() const { return extent_; }
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  // Replaces the value of an equal key. False if the key cannot be hashed.
  bool set(Value key, Value value);

 private:
  std::vector<Entry> entries_;
  // By hash_key. Ordered, because keys chosen to collide would make a hash table slow.
  std::map<std::string, std::size_t> index_;
  Extent extent_{1, 1};
};

// cycler() and joiner(): small objects with a position.
struct Counter {
  std::vector<Value> items;  // of a cycler; one separator of a joiner
  Extent extent;
  std::size_t position = 0;
  bool is_joiner = false;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
  void set(std::string_view name, Value value);
};

bool is_true(const Value& v);
// Equality never fails; values of unlike types differ.
bool equals(const Value& a, const Value& b);
enum class Order : std::uint8_t { kLess, kEqual, kGreater, kUnordered };
// nullopt: Python has no order between these types. kUnordered: NaN takes part.
std::optional<Order> compare(const Value& a, const Value& b);
// Equal for equal keys of dicts; nullopt for values that cannot be keys.
std::optional<std::string> hash_key(const Value& v);
Extent extent_of(const Value& v);
// Python's name of the type, for messages.
std::string_view type_name(const Value& v);

}  // namespace holdfast::chat
