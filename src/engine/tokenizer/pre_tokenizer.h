// Pre-tokenizers: the cut of a text into words, within which a byte-level BPE merges.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "unicode.h"

namespace holdfast::tokenizer {

// A text as code points and their groups (unicode.h); both have one entry per code point.
struct CodePoints {
  std::vector<char32_t> chars;
  std::vector<std::uint8_t> groups;
};

// A stretch of a text. Nothing outside it exists for a rule: get() gives kOutside there, groups()
// 0.
struct Stretch {
  static constexpr char32_t kOutside = 0xFFFFFFFF;

  const CodePoints* text;
  std::size_t begin;
  std::size_t end;

  char32_t get(std::size_t i) const { return i < end ? text->chars[i] : kOutside; }
  std::uint8_t groups(std::size_t i) const { return i < end ? text->groups[i] : std::uint8_t{0}; }
  bool is(std::size_t i, unsigned any_of) const { return (groups(i) & any_of) != 0; }
};

// One pass over a stretch: appends the ends of the pieces it is cut into, the last of them the
// stretch's end.
using SplitPass = void (*)(const Stretch& stretch, std::vector<std::uint32_t>& ends);
// Passes refine one another: each cuts every piece of the one before.
using SplitRule = std::span<const SplitPass>;

enum PreFlag : unsigned { kClean = 1, kWhole = 2, kBos = 4, kSep = 8, kNoBos = 16 };

struct PreTokenizer {
  std::string_view name;
  SplitRule rule;
  unsigned flags;  // PreFlag
};

// nullptr for an unknown name. The result lives for ever.
const PreTokenizer* find_pre_tokenizer(std::string_view name);

// Ends of the words of `text`, ascending, in code points; empty for an empty text.
std::vector<std::uint32_t> split_words(const CodePoints& text, SplitRule rule);

}  // namespace holdfast::tokenizer
