#include "fields.h"

#include <cmath>

namespace holdfast::gateway {
namespace {

std::string format(double value) {
  std::string out;
  json::append_number(out, value);
  return out;
}

}  // namespace

std::optional<std::int64_t> as_integer(const json::Value& value) {
  if (value.is_int()) return value.as_int();
  if (!value.is_number()) return std::nullopt;
  const double number = value.as_double();
  // Beyond 2^53 a double does not name one integer.
  if (std::trunc(number) != number || std::abs(number) > 9007199254740992.0) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

const json::Value* Fields::find(std::string_view name) const {
  const json::Value* value = object_.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string Fields::path(std::string_view name) const {
  return prefix_.empty() ? std::string(name) : prefix_ + "." + std::string(name);
}

void Fields::fail_type(std::string_view name, std::string_view expected) {
  const std::string full = path(name);
  fail(invalid_value(full,
                     "Invalid type for '" + full + "': expected " + std::string(expected) + "."));
}

std::optional<std::int64_t> Fields::integer(std::string_view name, std::int64_t min,
                                            std::int64_t max) {
  const json::Value* value = find(name);
  if (value == nullptr) return std::nullopt;
  const auto number = as_integer(*value);
  if (!number) {
    fail_type(name, "an integer");
    return std::nullopt;
  }
  if (*number < min || *number > max) {
    const std::string full = path(name);
    fail(invalid_value(full, "Invalid value for '" + full + "': it must be between " +
                                 std::to_string(min) + " and " + std::to_string(max) + "."));
    return std::nullopt;
  }
  return number;
}

std::optional<double> Fields::number(std::string_view name, double min, double max) {
  const json::Value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    fail_type(name, "a number");
    return std::nullopt;
  }
  const double number = value->as_double();
  if (!(number >= min && number <= max)) {
    const std::string full = path(name);
    fail(invalid_value(full, "Invalid value for '" + full + "': it must be between " + format(min) +
                                 " and " + format(max) + "."));
    return std::nullopt;
  }
  return number + 0.0;  // -0 is 0
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const json::Value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_bool()) {
    fail_type(name, "a boolean");
    return std::nullopt;
  }
  return value->as_bool();
}

std::optional<std::string> Fields::string(std::string_view name, std::size_t bytes_max) {
  const json::Value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    fail_type(name, "a string");
    return std::nullopt;
  }
  if (value->as_string().size() > bytes_max) {
    const std::string full = path(name);
    fail(invalid_value(full, "Invalid value for '" + full + "': it is longer than " +
                                 std::to_string(bytes_max) + " bytes."));
    return std::nullopt;
  }
  return value->as_string();
}

const json::Array* Fields::array(std::string_view name, std::size_t min, std::size_t max) {
  const json::Value* value = find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    fail_type(name, "an array");
    return nullptr;
  }
  const std::size_t size = value->as_array().size();
  if (size < min || size > max) {
    const std::string full = path(name);
    fail(invalid_value(full, "Invalid value for '" + full + "': it must have between " +
                                 std::to_string(min) + " and " + std::to_string(max) +
                                 " elements."));
    return nullptr;
  }
  return &value->as_array();
}

const json::Object* Fields::object(std::string_view name) {
  const json::Value* value = find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) {
    fail_type(name, "an object");
    return nullptr;
  }
  return &value->as_object();
}

}  // namespace holdfast::gateway
