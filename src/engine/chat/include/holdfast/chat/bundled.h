// Templates of well-known prompt formats, for models that come without one. They are chosen by name
// only: nothing here guesses.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace holdfast::chat {

struct BundledTemplate {
  std::string_view name;         // as in --template NAME
  std::string_view description;  // one line, which models use it
  std::string_view source;
};

// All of them, in alphabetical order.
std::span<const BundledTemplate> bundled_templates();
// nullopt if there is no such name.
std::optional<std::string_view> find_bundled(std::string_view name);

}  // namespace holdfast::chat
