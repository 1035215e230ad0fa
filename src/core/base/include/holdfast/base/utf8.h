// UTF-8 as Unicode 15 defines it (section 3.9, table 3-7): no overlong forms, no surrogates,
// nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast {

struct Utf8Char {
  char32_t code_point = 0;
  std::uint8_t length = 0;  // bytes used; 1 where the byte is not valid
  bool valid = false;
};

// Decodes the character at `pos` (< text.size()). An ill-formed byte gives {byte value, 1, false}.
Utf8Char decode_utf8(std::string_view text, std::size_t pos);
void append_utf8(std::string& out, char32_t code_point);
bool is_valid_utf8(std::string_view text);
// Offset of the first ill-formed byte, or text.size().
std::size_t first_invalid_utf8(std::string_view text);
// Length of the longest prefix that does not end inside a character that later bytes could
// complete: what a stream may emit now. Ill-formed bytes count as complete.
std::size_t complete_utf8_prefix(std::string_view text);
// Ill-formed bytes replaced by U+FFFD, one per maximal subpart.
std::string sanitize_utf8(std::string_view text);

}  // namespace holdfast
