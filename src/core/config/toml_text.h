// Texts as TOML writes them, for `config show`.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::config {

// A basic string, on one line and without control characters, whatever the text holds: variables
// and flags may hold any bytes. What is not UTF-8 becomes U+FFFD.
std::string toml_quoted(std::string_view text);

}  // namespace holdfast::config
