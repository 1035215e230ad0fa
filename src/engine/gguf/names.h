// Which names a file may hold: what the parser accepts and the writer makes.
#pragma once

#include <algorithm>
#include <string_view>

#include "holdfast/base/utf8.h"

namespace holdfast::gguf {

// Names reach terminals and error texts: no control characters, and UTF-8.
inline bool is_printable_name(std::string_view name) {
  if (!is_valid_utf8(name)) return false;
  return std::none_of(name.begin(), name.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace holdfast::gguf
