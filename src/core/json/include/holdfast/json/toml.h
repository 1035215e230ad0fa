// TOML documents (toml.io 1.0) as JSON values: for inputs that people write by hand.
#pragma once

#include <cstddef>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"

namespace holdfast::json {

inline constexpr std::size_t kTomlBytesMax = std::size_t{1} << 20;

// Tables become objects in the order of their keys, dates and times their text. `name` is what
// errors call the document. kInvalidArgument with name and line; kExhausted above kTomlBytesMax or
// a depth of 32.
Result<Value> parse_toml(std::string_view text, std::string_view name);

}  // namespace holdfast::json
