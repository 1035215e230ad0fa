// The version of this program.
#pragma once

#include <string_view>

namespace holdfast::cli {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace holdfast::cli
