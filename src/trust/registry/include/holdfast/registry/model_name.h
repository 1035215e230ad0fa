// Names of models: "name", "name:tag", "org/name:tag".
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"

namespace holdfast::registry {

inline constexpr std::string_view kDefaultTag = "latest";

// A checked name. Value.
struct ModelName {
  std::string name;  // one to three components with "/" between
  std::string tag{kDefaultTag};

  // "name:tag".
  std::string full() const { return name + ":" + tag; }
  // Without the default tag: what people type.
  std::string shown() const { return tag == kDefaultTag ? name : full(); }
  friend auto operator<=>(const ModelName&, const ModelName&) = default;
};

// Components and tag are letters, digits and "._-", begin with a letter or digit, and have 1 to 96
// (tag: 64) bytes. kInvalidArgument otherwise. Such a name is no path: it cannot leave the folder
// it is used in.
Result<ModelName> parse_model_name(std::string_view text);

// A valid name made from any text, for example from a file name: "SmolLM2 (135M).gguf" gives
// "smollm2-135m".
std::string model_name_from_file(std::string_view file_name);

}  // namespace holdfast::registry
