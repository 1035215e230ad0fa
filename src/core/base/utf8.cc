#include "holdfast/base/utf8.h"

namespace holdfast {

namespace {

// Length that the lead byte asks for, and the allowed range of the second byte (Unicode table 3-7);
// 0 = not a lead.
struct Lead {
  std::uint8_t length;
  std::uint8_t low;
  std::uint8_t high;
};

Lead lead_of(std::uint8_t b) {
  if (b < 0x80) return {1, 0, 0};
  if (b < 0xC2) return {0, 0, 0};
  if (b < 0xE0) return {2, 0x80, 0xBF};
  if (b == 0xE0) return {3, 0xA0, 0xBF};
  if (b == 0xED) return {3, 0x80, 0x9F};
  if (b < 0xF0) return {3, 0x80, 0xBF};
  if (b == 0xF0) return {4, 0x90, 0xBF};
  if (b < 0xF4) return {4, 0x80, 0xBF};
  if (b == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

std::uint8_t at(std::string_view text, std::size_t i) { return static_cast<std::uint8_t>(text[i]); }

// How many of the bytes from `pos` on belong to one well-formed or still completable character.
std::size_t well_formed_bytes(std::string_view text, std::size_t pos, const Lead& lead) {
  std::size_t n = 1;
  while (n < lead.length && pos + n < text.size()) {
    const std::uint8_t b = at(text, pos + n);
    const std::uint8_t low = n == 1 ? lead.low : 0x80;
    const std::uint8_t high = n == 1 ? lead.high : 0xBF;
    if (b < low || b > high) break;
    ++n;
  }
  return n;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text, std::size_t pos) {
  const std::uint8_t b = at(text, pos);
  const Lead lead = lead_of(b);
  if (lead.length == 1) return {b, 1, true};
  if (lead.length == 0 || well_formed_bytes(text, pos, lead) != lead.length) return {b, 1, false};
  char32_t c = b & (0x7Fu >> lead.length);
  for (std::size_t i = 1; i < lead.length; ++i) c = c << 6 | (at(text, pos + i) & 0x3Fu);
  return {c, lead.length, true};
}

void append_utf8(std::string& out, char32_t c) {
  const auto push = [&out](char32_t v) { out += static_cast<char>(v); };
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | c >> 6);
    push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | c >> 12);
    push(0x80 | (c >> 6 & 0x3F));
    push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | c >> 18);
    push(0x80 | (c >> 12 & 0x3F));
    push(0x80 | (c >> 6 & 0x3F));
    push(0x80 | (c & 0x3F));
  }
}

std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t pos = 0;
  while (pos < text.size()) {
    const Utf8Char c = decode_utf8(text, pos);
    if (!c.valid) return pos;
    pos += c.length;
  }
  return text.size();
}

bool is_valid_utf8(std::string_view text) { return first_invalid_utf8(text) == text.size(); }

std::size_t complete_utf8_prefix(std::string_view text) {
  const std::size_t from = text.size() > 3 ? text.size() - 3 : 0;
  for (std::size_t i = text.size(); i-- > from;) {
    const std::uint8_t b = at(text, i);
    if (b < 0x80) return text.size();
    if (b < 0xC0) continue;
    const Lead lead = lead_of(b);
    const bool open =
        lead.length > text.size() - i && well_formed_bytes(text, i, lead) == text.size() - i;
    return open ? i : text.size();
  }
  return text.size();
}

std::string sanitize_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::size_t pos = 0;
  while (pos < text.size()) {
    const Utf8Char c = decode_utf8(text, pos);
    if (c.valid) {
      out.append(text, pos, c.length);
      pos += c.length;
    } else {
      append_utf8(out, 0xFFFD);
      const Lead lead = lead_of(at(text, pos));
      pos += lead.length == 0 ? 1 : well_formed_bytes(text, pos, lead);
    }
  }
  return out;
}

}  // namespace holdfast
