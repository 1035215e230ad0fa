// Characters as Python's str methods see them: classes, case mapping, white space.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace holdfast::chat {

bool is_space(char32_t c);     // str.isspace, and what strip() and split() remove
bool is_line_end(char32_t c);  // what splitlines() splits at
bool is_alpha(char32_t c);     // str.isalpha
bool is_decimal(char32_t c);   // str.isdecimal
bool is_digit(char32_t c);     // str.isdigit
bool is_numeric(char32_t c);   // str.isnumeric
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_title(char32_t c);
bool is_printable(char32_t c);  // what repr() does not escape
bool is_name_start(char32_t c);
bool is_name_part(char32_t c);

// Full case mapping of one character, in UTF-8.
std::string upper_of(char32_t c);
std::string lower_of(char32_t c);
std::string title_of(char32_t c);

// Number of characters; an ill-formed byte counts as one.
std::size_t count_characters(std::string_view text);
// Byte offset of a character, or text.size() past the end.
std::size_t offset_of_character(std::string_view text, std::size_t index);
bool is_ascii(std::string_view text);

}  // namespace holdfast::chat
