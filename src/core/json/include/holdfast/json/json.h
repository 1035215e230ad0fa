// Bounded JSON (RFC 8259): a value type that keeps the order of object members, a strict parser and
// a writer. The only module that includes a JSON library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::json {

class Value;
struct Member;
using Array = std::vector<Value>;

// Members in the order of the text (or of insertion). Look-up is linear below 16 members, indexed
// above.
class Object {
 public:
  Object();
  Object(std::initializer_list<Member> members);
  Object(const Object&);
  Object(Object&&) noexcept;
  Object& operator=(const Object&);
  Object& operator=(Object&&) noexcept;
  ~Object();

  std::size_t size() const;
  bool empty() const { return size() == 0; }
  // nullptr if absent.
  const Value* find(std::string_view key) const;
  Value* find(std::string_view key);
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  // Replaces an existing member in place, else appends.
  Value& set(std::string key, Value value);
  void erase(std::string_view key);
  const Member* begin() const;
  const Member* end() const;

 private:
  struct Index;
  std::vector<Member> members_;
  std::unique_ptr<Index> index_;  // only above kIndexFrom members
};

enum class Kind : std::uint8_t { kNull, kBool, kInt, kDouble, kString, kArray, kObject };

// A JSON value. Integers that fit int64 stay integers; all other numbers are finite doubles.
// Thread-compatible.
class Value {
 public:
  Value() = default;
  Value(std::nullptr_t) {}
  Value(bool v) : data_(v) {}
  Value(int v) : data_(std::int64_t{v}) {}
  Value(unsigned v) : data_(std::int64_t{v}) {}
  Value(std::int64_t v) : data_(v) {}
  // Values above INT64_MAX become doubles.
  Value(std::uint64_t v);
  Value(double v) : data_(v) {}
  Value(const char* v) : data_(std::string(v)) {}
  Value(std::string_view v) : data_(std::string(v)) {}
  Value(std::string v) : data_(std::move(v)) {}
  Value(Array v) : data_(std::move(v)) {}
  Value(Object v) : data_(std::move(v)) {}

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is_null() const { return kind() == Kind::kNull; }
  bool is_bool() const { return kind() == Kind::kBool; }
  bool is_int() const { return kind() == Kind::kInt; }
  bool is_number() const { return kind() == Kind::kInt || kind() == Kind::kDouble; }
  bool is_string() const { return kind() == Kind::kString; }
  bool is_array() const { return kind() == Kind::kArray; }
  bool is_object() const { return kind() == Kind::kObject; }

  // Precondition: the kind matches (HF_CHECK).
  bool as_bool() const;
  std::int64_t as_int() const;
  double as_double() const;  // of either number kind
  const std::string& as_string() const;
  const Array& as_array() const;
  Array& as_array();
  const Object& as_object() const;
  Object& as_object();

  // Member of an object; nullptr if this is no object or has no such member.
  const Value* find(std::string_view key) const;

  friend bool operator==(const Value& a, const Value& b);

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> data_;
};

struct Member {
  std::string key;
  Value value;
};

struct ParseLimits {
  std::size_t bytes_max = 8u << 20;
  std::size_t depth_max = 32;  // nesting of arrays and objects; at most 512, as the parser recurses
  std::size_t values_max = 1u << 20;  // all values together: bounds memory at about 100 bytes each
};

// Strict RFC 8259: UTF-8 only, no byte-order mark, comments, trailing commas, NaN, lone surrogates,
// duplicate keys or numbers outside double. kInvalidArgument with line, column and byte offset;
// kExhausted above a limit.
Result<Value> parse(std::string_view text, const ParseLimits& limits = {});

struct WriteOptions {
  int indent = 0;  // 0: compact, one line
};

// Numbers in shortest round-trip decimal form without a forced exponent (0.7, never 7E-1). Strings
// that are not valid UTF-8 are written with U+FFFD. Never fails: non-finite doubles are written as
// null.
std::string write(const Value& value, const WriteOptions& options = {});
void append_string(std::string& out, std::string_view text);  // quoted and escaped
void append_number(std::string& out, double value);

}  // namespace holdfast::json
