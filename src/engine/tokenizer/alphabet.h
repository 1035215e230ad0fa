// The alphabet of byte-level BPE: one printable character for each byte, as the files spell their
// tokens.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/utf8.h"

namespace holdfast::tokenizer {

// Printable Latin-1 stands for itself; the other 68 bytes take U+0100 and up, in order.
constexpr std::array<char32_t, 256> make_byte_alphabet() {
  std::array<char32_t, 256> letters{};
  char32_t next = 0x100;
  for (unsigned b = 0; b < 256; ++b) {
    const bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    letters[b] = itself ? b : next++;
  }
  return letters;
}
inline constexpr std::array<char32_t, 256> kByteAlphabet = make_byte_alphabet();

constexpr std::array<std::int16_t, 0x144> make_alphabet_bytes() {
  std::array<std::int16_t, 0x144> bytes{};
  for (auto& b : bytes) b = -1;
  for (unsigned b = 0; b < 256; ++b) bytes[kByteAlphabet[b]] = static_cast<std::int16_t>(b);
  return bytes;
}

// The byte that a character stands for.
inline std::optional<char> alphabet_byte(char32_t c) {
  static constexpr auto kBytes = make_alphabet_bytes();
  if (c >= kBytes.size() || kBytes[c] < 0) return std::nullopt;
  return static_cast<char>(kBytes[c]);
}

// The bytes that a token's text stands for; nullopt where a character is not of the alphabet.
inline std::optional<std::string> alphabet_decode(std::string_view text) {
  std::string out;
  for (std::size_t pos = 0; pos < text.size();) {
    const Utf8Char c = decode_utf8(text, pos);
    if (!c.valid) return std::nullopt;
    const std::optional<char> byte = alphabet_byte(c.code_point);
    if (!byte) return std::nullopt;
    out += *byte;
    pos += c.length;
  }
  return out;
}

}  // namespace holdfast::tokenizer
