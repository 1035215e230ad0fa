// One text for equal values: members sorted by name. What is hashed and what plan.json is.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/json/json.h"

namespace holdfast::planner {

// The value with the members of all objects sorted by the bytes of their names.
json::Value sorted(const json::Value& value);
// Compact JSON of it.
std::string canonical(const json::Value& value);
// 64 hexadecimal digits.
std::string sha256_hex(std::string_view text);

}  // namespace holdfast::planner
