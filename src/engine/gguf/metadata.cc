#include "holdfast/gguf/metadata.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cursor.h"

namespace holdfast::gguf {
namespace {

Error missing_key(std::string_view key) {
  return corrupt("the model file lacks the key " + std::string(key));
}

Error wrong_type(std::string_view key, const Value& value, std::string_view wanted) {
  return corrupt("key " + std::string(key) + " is of type " +
                 std::string(value_type_name(value.type)) + ", expected " + std::string(wanted));
}

Error out_of_range(std::string_view key, std::string_view wanted) {
  return corrupt("the value of key " + std::string(key) + " is out of range for " +
                 std::string(wanted));
}

template <typename To, typename From>
bool fits(From v) {
  return std::in_range<To>(v);
}

template <typename T>
Result<T> integer_of(std::string_view key, const Value& value, std::string_view wanted) {
  if (const auto* u = std::get_if<std::uint64_t>(&value.data)) {
    if (!fits<T>(*u)) return out_of_range(key, wanted);
    return static_cast<T>(*u);
  }
  if (const auto* i = std::get_if<std::int64_t>(&value.data)) {
    if (!fits<T>(*i)) return out_of_range(key, wanted);
    return static_cast<T>(*i);
  }
  return wrong_type(key, value, wanted);
}

Result<float> float_of(std::string_view key, const Value& value) {
  const auto* d = std::get_if<double>(&value.data);
  if (d == nullptr) return wrong_type(key, value, "float");
  const float f = static_cast<float>(*d);
  if (!std::isfinite(f)) return corrupt("the value of key " + std::string(key) + " is not finite");
  return f;
}

// Calls `visit(element)` with every element in its own C++ type.
template <typename Visit>
void for_each_number(const NumberArray& array, Visit visit) {
  const auto walk = [&]<typename T>(T /*type*/) {
    for (std::size_t at = 0; at + sizeof(T) <= array.raw.size(); at += sizeof(T)) {
      visit(load_le<T>(array.raw.data() + at));
    }
  };
  switch (array.element) {
    case ValueType::kU8:
    case ValueType::kBool:
      return walk(std::uint8_t{});
    case ValueType::kI8:
      return walk(std::int8_t{});
    case ValueType::kU16:
      return walk(std::uint16_t{});
    case ValueType::kI16:
      return walk(std::int16_t{});
    case ValueType::kU32:
      return walk(std::uint32_t{});
    case ValueType::kI32:
      return walk(std::int32_t{});
    case ValueType::kU64:
      return walk(std::uint64_t{});
    case ValueType::kI64:
      return walk(std::int64_t{});
    case ValueType::kF32:
      return walk(float{});
    case ValueType::kF64:
      return walk(double{});
    case ValueType::kString:
    case ValueType::kArray:
      return;
  }
}

bool is_float(ValueType type) { return type == ValueType::kF32 || type == ValueType::kF64; }

const NumberArray* numbers_of(const Value& value) { return std::get_if<NumberArray>(&value.data); }

template <typename T>
Result<std::vector<T>> integers_of(std::string_view key, const Value& value,
                                   std::string_view wanted) {
  const NumberArray* array = numbers_of(value);
  if (array == nullptr || is_float(array->element) || array->element == ValueType::kBool) {
    return wrong_type(key, value, "array of " + std::string(wanted));
  }
  std::vector<T> out;
  out.reserve(array->size());
  bool in_range = true;
  for_each_number(*array, [&](auto v) {
    if constexpr (std::is_integral_v<decltype(v)>) {
      in_range = in_range && fits<T>(v);
      out.push_back(static_cast<T>(v));
    }
  });
  if (!in_range) return out_of_range(key, wanted);
  return out;
}

Result<std::vector<float>> floats_of(std::string_view key, const Value& value) {
  const NumberArray* array = numbers_of(value);
  if (array == nullptr || !is_float(array->element)) {
    return wrong_type(key, value, "array of float");
  }
  std::vector<float> out;
  out.reserve(array->size());
  for_each_number(*array, [&](auto v) { out.push_back(static_cast<float>(v)); });
  return out;
}

Result<std::vector<bool>> bools_of(std::string_view key, const Value& value) {
  const NumberArray* array = numbers_of(value);
  if (array == nullptr || array->element != ValueType::kBool) {
    return wrong_type(key, value, "array of bool");
  }
  std::vector<bool> out;
  out.reserve(array->size());
  for (const std::byte b : array->raw) out.push_back(b != std::byte{0});
  return out;
}

Result<bool> bool_of(std::string_view key, const Value& value) {
  if (const auto* b = std::get_if<bool>(&value.data)) return *b;
  return wrong_type(key, value, "bool");
}

Result<std::string_view> string_of(std::string_view key, const Value& value) {
  if (const auto* s = std::get_if<std::string>(&value.data)) return std::string_view(*s);
  return wrong_type(key, value, "string");
}

Result<const StringArray*> strings_of(std::string_view key, const Value& value) {
  if (const auto* s = std::get_if<StringArray>(&value.data)) return s;
  return wrong_type(key, value, "array of string");
}

template <typename T>
Value make_numbers(ValueType element, const std::vector<T>& v) {
  NumberArray array{element, Bytes(v.size() * sizeof(T))};
  if (!v.empty()) std::memcpy(array.raw.data(), v.data(), array.raw.size());
  return {ValueType::kArray, std::move(array)};
}

}  // namespace

std::string_view value_type_name(ValueType type) {
  switch (type) {
    case ValueType::kU8:
      return "u8";
    case ValueType::kI8:
      return "i8";
    case ValueType::kU16:
      return "u16";
    case ValueType::kI16:
      return "i16";
    case ValueType::kU32:
      return "u32";
    case ValueType::kI32:
      return "i32";
    case ValueType::kF32:
      return "f32";
    case ValueType::kBool:
      return "bool";
    case ValueType::kString:
      return "string";
    case ValueType::kArray:
      return "array";
    case ValueType::kU64:
      return "u64";
    case ValueType::kI64:
      return "i64";
    case ValueType::kF64:
      return "f64";
  }
  return "unknown";
}

Status StringArray::push_back(std::string_view text) {
  if (text.size() > std::numeric_limits<std::uint32_t>::max() - text_.size()) {
    return corrupt("an array of strings holds more than 4 GiB");
  }
  text_.append(text);
  ends_.push_back(static_cast<std::uint32_t>(text_.size()));
  return ok_status();
}

std::size_t NumberArray::size() const {
  const std::uint64_t width = element_width(element);
  return width == 0 ? 0 : raw.size() / width;
}

const Value* Metadata::find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

std::optional<std::size_t> Metadata::array_size(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* s = std::get_if<StringArray>(&value->data)) return s->size();
  if (const auto* n = numbers_of(*value)) return n->size();
  return std::nullopt;
}

Status Metadata::insert(std::string key, Value value) {
  const auto [it, inserted] = values_.try_emplace(std::move(key), std::move(value));
  if (!inserted) return corrupt("the key " + it->first + " appears twice");
  order_.push_back(&*it);
  return ok_status();
}

// Each pair of look-ups differs in its type and in how the value converts, and in nothing else.
#define HF_LOOKUP(suffix, type, convert)                                            \
  Result<type> Metadata::get_##suffix(std::string_view key) const {                 \
    const Value* value = find(key);                                                 \
    if (value == nullptr) return missing_key(key);                                  \
    return convert;                                                                 \
  }                                                                                 \
  Result<std::optional<type>> Metadata::find_##suffix(std::string_view key) const { \
    const Value* value = find(key);                                                 \
    if (value == nullptr) return std::optional<type>();                             \
    HF_TRY_ASSIGN(type converted, convert);                                         \
    return std::optional<type>(std::move(converted));                               \
  }

HF_LOOKUP(u32, std::uint32_t, (integer_of<std::uint32_t>(key, *value, "u32")))
HF_LOOKUP(i32, std::int32_t, (integer_of<std::int32_t>(key, *value, "i32")))
HF_LOOKUP(u64, std::uint64_t, (integer_of<std::uint64_t>(key, *value, "u64")))
HF_LOOKUP(i64, std::int64_t, (integer_of<std::int64_t>(key, *value, "i64")))
HF_LOOKUP(f32, float, float_of(key, *value))
HF_LOOKUP(bool, bool, bool_of(key, *value))
HF_LOOKUP(string, std::string_view, string_of(key, *value))
HF_LOOKUP(i32_array, std::vector<std::int32_t>, (integers_of<std::int32_t>(key, *value, "i32")))
HF_LOOKUP(u32_array, std::vector<std::uint32_t>, (integers_of<std::uint32_t>(key, *value, "u32")))
HF_LOOKUP(f32_array, std::vector<float>, floats_of(key, *value))
HF_LOOKUP(bool_array, std::vector<bool>, bools_of(key, *value))
#undef HF_LOOKUP

Result<const StringArray*> Metadata::get_strings(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return missing_key(key);
  return strings_of(key, *value);
}

Result<const StringArray*> Metadata::find_strings(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return static_cast<const StringArray*>(nullptr);
  return strings_of(key, *value);
}

Value make_u32(std::uint32_t v) { return {ValueType::kU32, std::uint64_t{v}}; }
Value make_i32(std::int32_t v) { return {ValueType::kI32, std::int64_t{v}}; }
Value make_f32(float v) { return {ValueType::kF32, static_cast<double>(v)}; }
Value make_bool(bool v) { return {ValueType::kBool, v}; }
Value make_string(std::string v) { return {ValueType::kString, std::move(v)}; }

Result<Value> make_strings(const std::vector<std::string>& v) {
  StringArray array;
  array.reserve(v.size());
  for (const std::string& s : v) HF_TRY(array.push_back(s));
  return Value{ValueType::kArray, std::move(array)};
}

Value make_i32_array(const std::vector<std::int32_t>& v) {
  return make_numbers(ValueType::kI32, v);
}
Value make_f32_array(const std::vector<float>& v) { return make_numbers(ValueType::kF32, v); }

}  // namespace holdfast::gguf
