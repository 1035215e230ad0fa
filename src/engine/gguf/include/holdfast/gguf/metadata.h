// The key-value metadata of a model container: typed look-ups that tell a missing key from one of
// the wrong type.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"

namespace holdfast::gguf {

// Numbers as in the file format.
enum class ValueType : std::uint8_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

std::string_view value_type_name(ValueType type);

// Strings laid end to end in one buffer, so that an array of a million short strings costs four
// bytes each beyond its text. Owns the text; views stay valid as long as the array.
// Thread-compatible.
class StringArray {
 public:
  class Iterator {
   public:
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(const StringArray* array, std::size_t index) : array_(array), index_(index) {}
    std::string_view operator*() const { return (*array_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++index_;
      return before;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const StringArray* array_ = nullptr;
    std::size_t index_ = 0;
  };
  using value_type = std::string_view;
  using const_iterator = Iterator;

  std::size_t size() const { return ends_.size(); }
  bool empty() const { return ends_.empty(); }
  // Precondition: index < size().
  std::string_view operator[](std::size_t index) const {
    const std::size_t begin = index == 0 ? 0 : ends_[index - 1];
    return std::string_view(text_).substr(begin, ends_[index] - begin);
  }
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }
  void reserve(std::size_t count) { ends_.reserve(count); }
  // kCorrupt when all text together passes 4 GiB, the range of an end offset.
  Status push_back(std::string_view text);

 private:
  std::string text_;
  std::vector<std::uint32_t> ends_;
};

// An array of numbers or booleans in the width of the file, little-endian.
struct NumberArray {
  ValueType element = ValueType::kU8;
  Bytes raw;

  std::size_t size() const;
};

// One metadata value. Integers keep their sign: kU* as uint64, kI* as int64; kF32 and kF64 as
// double.
struct Value {
  ValueType type = ValueType::kU8;
  std::variant<std::uint64_t, std::int64_t, double, bool, std::string, StringArray, NumberArray>
      data;
};

// The metadata of a container. `get_*` is for a key that must be there: kCorrupt names the key if
// it is missing and, in other words, if its type is another. `find_*` is for an optional key:
// nullopt (or nullptr) if missing, the same error for a wrong type. Integers convert between widths
// and signedness with a range check; booleans and floats never convert to integers or back. Floats
// must be finite. Views stay valid as long as the Metadata. Thread-compatible.
class Metadata {
 public:
  Metadata() = default;
  Metadata(Metadata&&) = default;
  Metadata& operator=(Metadata&&) = default;
  Metadata(const Metadata&) = delete;
  Metadata& operator=(const Metadata&) = delete;

  std::size_t size() const { return order_.size(); }
  // Keys in file order. Precondition: index < size().
  std::string_view key(std::size_t index) const { return order_[index]->first; }
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  // nullptr if missing.
  const Value* find(std::string_view key) const;
  // Elements of an array; nullopt if missing or no array.
  std::optional<std::size_t> array_size(std::string_view key) const;

  Result<std::uint32_t> get_u32(std::string_view key) const;
  Result<std::int32_t> get_i32(std::string_view key) const;
  Result<std::uint64_t> get_u64(std::string_view key) const;
  Result<std::int64_t> get_i64(std::string_view key) const;
  Result<float> get_f32(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;
  Result<const StringArray*> get_strings(std::string_view key) const;
  Result<std::vector<std::int32_t>> get_i32_array(std::string_view key) const;
  Result<std::vector<std::uint32_t>> get_u32_array(std::string_view key) const;
  // Elements may be NaN or infinite: the caller knows what they mean.
  Result<std::vector<float>> get_f32_array(std::string_view key) const;
  Result<std::vector<bool>> get_bool_array(std::string_view key) const;

  Result<std::optional<std::uint32_t>> find_u32(std::string_view key) const;
  Result<std::optional<std::int32_t>> find_i32(std::string_view key) const;
  Result<std::optional<std::uint64_t>> find_u64(std::string_view key) const;
  Result<std::optional<std::int64_t>> find_i64(std::string_view key) const;
  Result<std::optional<float>> find_f32(std::string_view key) const;
  Result<std::optional<bool>> find_bool(std::string_view key) const;
  Result<std::optional<std::string_view>> find_string(std::string_view key) const;
  Result<const StringArray*> find_strings(std::string_view key) const;  // nullptr if missing
  Result<std::optional<std::vector<std::int32_t>>> find_i32_array(std::string_view key) const;
  Result<std::optional<std::vector<std::uint32_t>>> find_u32_array(std::string_view key) const;
  Result<std::optional<std::vector<float>>> find_f32_array(std::string_view key) const;
  Result<std::optional<std::vector<bool>>> find_bool_array(std::string_view key) const;

  // Used by the parser, and by tests that make metadata by hand. kCorrupt for a key that is there
  // already.
  Status insert(std::string key, Value value);

 private:
  using Map = std::map<std::string, Value, std::less<>>;

  Map values_;
  std::vector<const Map::value_type*> order_;
};

// Makers of values, for tests and writers.
Value make_u32(std::uint32_t v);
Value make_i32(std::int32_t v);
Value make_f32(float v);
Value make_bool(bool v);
Value make_string(std::string v);
Result<Value> make_strings(const std::vector<std::string>& v);
Value make_i32_array(const std::vector<std::int32_t>& v);
Value make_f32_array(const std::vector<float>& v);

}  // namespace holdfast::gguf
