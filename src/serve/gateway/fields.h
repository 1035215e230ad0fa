// Typed reading of request bodies: each field with its type and range, the first problem kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api_error.h"
#include "holdfast/json/json.h"

namespace holdfast::gateway {

// Integers are 5 or 5.0, never "5", 5.1 or true. Null counts as absent. Thread-compatible.
class Fields {
 public:
  // `prefix` names the object in errors: "messages[0]".
  explicit Fields(const json::Object& object, std::string prefix = {})
      : object_(object), prefix_(std::move(prefix)) {}

  // nullptr if absent or null.
  const json::Value* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }

  std::optional<std::int64_t> integer(std::string_view name, std::int64_t min, std::int64_t max);
  std::optional<double> number(std::string_view name, double min, double max);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::string> string(std::string_view name, std::size_t bytes_max = 1u << 20);
  const json::Array* array(std::string_view name, std::size_t min, std::size_t max);
  const json::Object* object(std::string_view name);

  // Full name of a field, for `param`.
  std::string path(std::string_view name) const;
  void fail(ApiError error) {
    if (!error_) error_ = std::move(error);
  }
  const std::optional<ApiError>& error() const { return error_; }

 private:
  void fail_type(std::string_view name, std::string_view expected);

  const json::Object& object_;
  std::string prefix_;
  std::optional<ApiError> error_;
};

// An integer value in any spelling that JSON has for it; nothing if it is none.
std::optional<std::int64_t> as_integer(const json::Value& value);

}  // namespace holdfast::gateway
