// The few properties of code points that token ids depend on, pinned to one version of Unicode.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::tokenizer {

// Groups of general categories, as bits; every code point has one. White space is the categories Z*
// and, of the control characters, U+0009..000D and U+0085.
enum Group : std::uint8_t {
  kUnassigned = 1,
  kNumber = 2,
  kLetter = 4,
  kSpace = 8,
  kMark = 16,
  kPunctuation = 32,
  kSymbol = 64,
  kControl = 128,
};

// 0 above U+10FFFF. Surrogates and private use are control.
std::uint8_t group_of(char32_t c);
// Simple lower case of a single code point.
char32_t to_lower(char32_t c);
// The first code point of the canonical decomposition.
char32_t base_of(char32_t c);

// Decodes as the models' tokenizers were run: overlong forms and surrogates are taken as they come,
// any other ill-formed byte (and forms above U+10FFFF) is U+FFFD.
std::vector<char32_t> decode_lenient(std::string_view text);

// Length that a lead byte announces; 1 for bytes that lead nothing.
constexpr std::size_t announced_length(char byte) {
  const auto b = static_cast<std::uint8_t>(byte);
  if (b < 0xC0) return 1;
  if (b < 0xE0) return 2;
  return b < 0xF0 ? 3 : 4;
}

}  // namespace holdfast::tokenizer
