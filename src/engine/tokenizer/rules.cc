#include "rules.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "matchers.h"

namespace holdfast::tokenizer::passes {

namespace {

using match::kNoMatch;
using Ends = std::vector<std::uint32_t>;

constexpr unsigned kSignsExclude = kSpace | kLetter | kNumber;
constexpr unsigned kSigns = 0xFFu & ~kSignsExclude;  // every code point has exactly one group
constexpr std::size_t kAnyNumber = std::numeric_limits<std::size_t>::max();

// The first of several alternatives that matches.
template <typename... Alternatives>
std::size_t first_of(const Alternatives&... alternatives) {
  std::size_t end = kNoMatch;
  (void)((end = alternatives(), end != kNoMatch) || ...);
  return end;
}

// What the rules descended from cl100k have in common:
// contraction | front? word | \p{N}{1,digits} | " ?"signs | \s*[\r\n]+ | \s+(?!\S) | \s+
struct Main {
  unsigned word_groups = kLetter;
  unsigned signs_exclude = kSignsExclude;
  std::size_t digits = 1;
  bool contractions = true;
};

template <Main kMain>
std::size_t main_match(const Stretch& s, std::size_t pos) {
  return first_of([&] { return kMain.contractions ? match::contraction(s, pos, true) : kNoMatch; },
                  [&] { return match::word(s, pos, kMain.word_groups); },
                  [&] { return match::up_to(s, pos, kNumber, kMain.digits); },
                  [&] { return match::signs(s, pos, kMain.signs_exclude, false); },
                  [&] { return match::space_to_newline(s, pos); },
                  [&] { return match::space(s, pos); });
}

// The o200k family: cased words with an optional contraction behind them.
template <unsigned kGroups, std::size_t kDigits, bool kContractions>
std::size_t cased_match(const Stretch& s, std::size_t pos) {
  const auto cased_word = [&] {
    const std::size_t end = match::cased(s, pos, kGroups);
    if (end == kNoMatch || !kContractions) return end;
    const std::size_t longer = match::contraction(s, end, true);
    return longer == kNoMatch ? end : longer;
  };
  return first_of(
      cased_word, [&] { return match::up_to(s, pos, kNumber, kDigits); },
      [&] { return match::signs(s, pos, kSignsExclude, true); },
      [&] { return match::space_to_newline(s, pos); }, [&] { return match::space(s, pos); });
}

// As cased words, where the classes of both halves are all of \p{L}\p{M}.
template <std::size_t kDigits>
std::size_t marked_match(const Stretch& s, std::size_t pos) {
  const auto word = [&] {
    const std::size_t end = match::word(s, pos, kLetter | kMark);
    if (end == kNoMatch) return end;
    const std::size_t longer = match::contraction(s, end, true);
    return longer == kNoMatch ? end : longer;
  };
  return first_of(
      word, [&] { return match::up_to(s, pos, kNumber, kDigits); },
      [&] { return match::signs(s, pos, kSignsExclude, true); },
      [&] { return match::space_to_newline(s, pos); }, [&] { return match::space(s, pos); });
}

bool is_ascii_sign(char32_t c) {
  return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) ||
         (c >= 0x7B && c <= 0x7E);
}
bool is_ascii_letter(char32_t c) { return match::is_upper(c) || match::is_lower(c); }

// [!-/:-@[-`{-~][A-Za-z]+
std::size_t sign_and_ascii_word(const Stretch& s, std::size_t pos) {
  if (!is_ascii_sign(s.get(pos)) || !is_ascii_letter(s.get(pos + 1))) return kNoMatch;
  std::size_t end = pos + 1;
  while (is_ascii_letter(s.get(end))) ++end;
  return end;
}

// [sign][A-Za-z]+ | [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+ | " ?"[\p{P}\p{S}]+ ...
std::size_t deepseek_words(const Stretch& s, std::size_t pos, bool newlines_with_signs) {
  const auto signs = [&] {
    return match::spaced_run(
        s, pos, [&](std::size_t i) { return s.is(i, kPunctuation | kSymbol); },
        [&](std::size_t i) { return newlines_with_signs && match::is_newline(s.get(i)); });
  };
  return first_of(
      [&] { return sign_and_ascii_word(s, pos); },
      [&] { return match::word(s, pos, kLetter | kMark, kLetter | kPunctuation | kSymbol); },
      signs);
}

struct Range {
  char32_t first, last;
};

template <std::size_t N>
bool in_ranges(const Range (&ranges)[N], char32_t c) {
  const Range* r = std::lower_bound(std::begin(ranges), std::end(ranges), c,
                                    [](const Range& range, char32_t v) { return range.last < v; });
  return r != std::end(ranges) && r->first <= c;
}

// A character of the ranges that is not white space: there, \s comes before any listed range.
template <std::size_t N>
bool in_class(const Stretch& s, std::size_t pos, const Range (&ranges)[N]) {
  return pos < s.end && !s.is(pos, kSpace) && in_ranges(ranges, s.get(pos));
}

// [ranges]+
template <std::size_t N>
std::size_t class_run(const Stretch& s, std::size_t pos, const Range (&ranges)[N]) {
  std::size_t end = pos;
  while (in_class(s, end, ranges)) ++end;
  return end == pos ? kNoMatch : end;
}

// \s?[ranges]+
template <std::size_t N>
std::size_t spaced_class_run(const Stretch& s, std::size_t pos, const Range (&ranges)[N]) {
  if (s.is(pos, kSpace)) return class_run(s, pos + 1, ranges);
  return class_run(s, pos, ranges);
}

// \s?[groups]+
std::size_t spaced_group_run(const Stretch& s, std::size_t pos, unsigned groups) {
  const std::size_t from = s.is(pos, kSpace) ? pos + 1 : pos;
  const std::size_t end = match::run_of(s, from, groups);
  return end == from ? kNoMatch : end;
}

// [\p{P}$+<=>^~|]+, with "`" in Falcon's form.
std::size_t punctuation_run(const Stretch& s, std::size_t pos, bool backtick) {
  std::size_t end = pos;
  for (; end < s.end; ++end) {
    const char32_t c = s.get(end);
    const bool sign = c == U'$' || c == U'+' || (c >= U'<' && c <= U'>') || c == U'^' ||
                      c == U'~' || c == U'|' || (backtick && c == U'`');
    if (!sign && !s.is(end, kPunctuation)) break;
  }
  return end == pos ? kNoMatch : end;
}

constexpr Range kBloomStops[] = {{'!', '!'},       {'(', ')'},       {',', ','},
                                 {'.', '.'},       {'?', '?'},       {'|', '|'},
                                 {0x60C, 0x60C},   {0x6D4, 0x6D4},   {0x964, 0x964},
                                 {0x2026, 0x2026}, {0x3001, 0x3002}, {0xFF0C, 0xFF0C}};
constexpr Range kDeepseekSigns[] = {{0x21, 0x2F},     {0x3A, 0x7E},     {0x2018, 0x201F},
                                    {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}};
constexpr Range kDeepseekCjk[] = {{0x800, 0x9FA5}, {0xAC00, 0xD7FF}};
constexpr Range kHanKana[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}};
constexpr Range kYoutuHangul[] = {{0x3131, 0x318E}, {0xAC00, 0xD7A3}};
constexpr Range kYoutuSigns[] = {{0x2014, 0x2014}, {0x2018, 0x2019}, {0x201C, 0x201D},
                                 {0x2026, 0x2026}, {0x3001, 0x303F}, {0xFE30, 0xFE4F},
                                 {0xFF01, 0xFF01}, {0xFF0C, 0xFF0C}, {0xFF1A, 0xFF1B}};
constexpr Range kYoutuBopomofo[] = {{0x3105, 0x312F}};
constexpr Range kAfmoeCjk[] = {{0xE40, 0xEFF},   {0x1000, 0x109F}, {0x1100, 0x11FF},
                               {0x1780, 0x17FF}, {0x2F00, 0x2FDF}, {0x3040, 0x30FF},
                               {0x3400, 0x4DBF}, {0x4E00, 0xFAFF}, {0xFF65, 0xFF9F}};

// The letters of Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee and a few more, as DeepSeek
// lists them.
constexpr Range kDeepseekLatin[] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},
    {0xD8, 0xF6},       {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},
    {0x295, 0x2AF},     {0x370, 0x373},     {0x376, 0x377},     {0x37B, 0x37D},
    {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},     {0x38C, 0x38C},
    {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},
    {0x1C90, 0x1CBA},   {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},
    {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},   {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},
    {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},   {0x1F5B, 0x1F5B},
    {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},
    {0x1FD6, 0x1FDB},   {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},
    {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210A, 0x2113},   {0x2115, 0x2115},
    {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},   {0x2128, 0x2128},
    {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},
    {0x2C7E, 0x2CE4},   {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},
    {0xA680, 0xA69B},   {0xA722, 0xA76F},   {0xA771, 0xA787},   {0xA78B, 0xA78E},
    {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},   {0xFF21, 0xFF3A},
    {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943}};

}  // namespace

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
void gpt2(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    const std::size_t from = s.get(pos) == U' ' ? pos + 1 : pos;
    return first_of(
        [&] { return match::contraction(s, pos, false); },
        [&] { return s.is(from, kLetter) ? match::run_of(s, from, kLetter) : kNoMatch; },
        [&] { return s.is(from, kNumber) ? match::run_of(s, from, kNumber) : kNoMatch; },
        [&] { return s.is(from, kSigns) ? match::run_of(s, from, kSigns) : kNoMatch; },
        [&] { return match::space(s, pos); });
  });
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
void llama3(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, main_match<Main{.digits = 3}>);
}

// As llama3 with \p{N}+
void minicpm5(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, main_match<Main{.digits = kAnyNumber}>);
}

// As llama3 with \p{N}
void qwen2(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, main_match<Main{.digits = 1}>);
}

// As qwen2 with [\p{L}\p{M}]+ and [^\s\p{L}\p{M}\p{N}]+
void qwen35(const Stretch& stretch, Ends& ends) {
  match::cut(
      stretch, ends,
      main_match<Main{.word_groups = kLetter | kMark, .signs_exclude = kSignsExclude | kMark}>);
}

// As qwen2 without contractions
void ufakzeka(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, main_match<Main{.contractions = false}>);
}

// As qwen2; \s*[\r\n] matches what \s*[\r\n]+ does
void bailing(const Stretch& stretch, Ends& ends) { qwen2(stretch, ends); }

// As qwen2 with " ?[^\s\p{L}\p{N}\r\n]+"
void seed_coder(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    return first_of([&] { return match::contraction(s, pos, true); },
                    [&] { return match::word(s, pos, kLetter); },
                    [&] { return match::up_to(s, pos, kNumber, 1); },
                    [&] {
                      return match::spaced_run(
                          s, pos, [&](std::size_t i) { return !s.is(i, kSignsExclude); },
                          [](std::size_t) { return false; });
                    },
                    [&] { return match::space_to_newline(s, pos); },
                    [&] { return match::space(s, pos); });
  });
}

// contraction|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}|
// ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+
void exaone_moe(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    const auto phrase = [&](std::size_t from) {
      if (!s.is(from, kLetter)) return kNoMatch;
      std::size_t end = from;
      while (s.is(end, kLetter) || (s.get(end) == U' ' && s.is(end + 1, kLetter))) {
        end += s.is(end, kLetter) ? 1 : 2;
        end = match::run_of(s, end, kMark);
      }
      return end;
    };
    const auto signs = [&] {
      const std::size_t end = match::spaced_run(
          s, pos, [&](std::size_t i) { return !s.is(i, kSignsExclude); },
          [](std::size_t) { return false; });
      if (end == kNoMatch) return end;
      return match::is_newline(s.get(end)) || s.get(end) == U'/' ? end + 1 : end;
    };
    const bool front = !match::is_newline(s.get(pos)) && !s.is(pos, match::kWordGroups);
    return first_of([&] { return match::contraction(s, pos, true); },
                    [&] { return phrase(front ? pos + 1 : pos); },
                    [&] { return match::up_to(s, pos, kNumber, 1); }, signs,
                    [&] { return match::space_to_newline(s, pos); },
                    [&] { return match::space(s, pos); });
  });
}

// cased|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
void tekken(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, cased_match<kLetter, 1, false>);
}

// cased contraction?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
void gpt4o(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, cased_match<kLetter, 3, true>);
}

// As gpt4o, where marks are letters
void granite(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, cased_match<kLetter | kMark, 3, true>);
}

// [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+contraction?|\p{N}{1,3}|...
void aya(const Stretch& stretch, Ends& ends) { match::cut(stretch, ends, marked_match<3>); }

// As aya with \p{N}
void youtu_main(const Stretch& stretch, Ends& ends) { match::cut(stretch, ends, marked_match<1>); }

// [sign][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|
// ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
void deepseek3_main(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    return first_of([&] { return deepseek_words(s, pos, true); },
                    [&] { return match::space_to_newline(s, pos); },
                    [&] { return match::space(s, pos); });
  });
}

// As deepseek3_main, signs without [\r\n]*, and [\r\n] alone
void spark_main(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    return first_of([&] { return deepseek_words(s, pos, false); },
                    [&] { return match::is_newline(s.get(pos)) ? pos + 1 : kNoMatch; },
                    [&] { return match::space(s, pos); });
  });
}

// \p{N}
void one_digit(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends,
             [](const Stretch& s, std::size_t pos) { return match::up_to(s, pos, kNumber, 1); });
}

// \p{N}{1,3}
void three_digits(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends,
             [](const Stretch& s, std::size_t pos) { return match::up_to(s, pos, kNumber, 3); });
}

// \p{N}+
void digit_run(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    return match::up_to(s, pos, kNumber, kAnyNumber);
  });
}

// Groups of three counted from the right of each number. What stands before a number stays with its
// first group, as in the implementation whose ids count.
void digits_from_right(const Stretch& s, Ends& ends) {
  std::size_t done = s.begin;
  for (std::size_t pos = s.begin; pos < s.end; ++pos) {
    if (!s.is(pos, kNumber)) continue;
    const std::size_t end = match::run_of(s, pos, kNumber);
    const std::size_t rest = (end - pos) % 3;
    for (std::size_t cut = pos + (rest == 0 ? 3 : rest); cut <= end; cut += 3) {
      ends.push_back(static_cast<std::uint32_t>(cut));
    }
    done = pos = end;
  }
  if (done < s.end) ends.push_back(static_cast<std::uint32_t>(s.end));
}

// [0-9][0-9][0-9]
void ascii_triples(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    const auto digit = [&](std::size_t i) { return s.get(i) >= U'0' && s.get(i) <= U'9'; };
    return digit(pos) && digit(pos + 1) && digit(pos + 2) ? pos + 3 : kNoMatch;
  });
}

// [\p{P}$+<=>^~|`]+
void falcon_punctuation(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends,
             [](const Stretch& s, std::size_t pos) { return punctuation_run(s, pos, true); });
}

// [\p{P}$+<=>^~|]+
void default_punctuation(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends,
             [](const Stretch& s, std::size_t pos) { return punctuation_run(s, pos, false); });
}

// " ?" and a run without white space and the stops: [^(\s|.,!?...)]+
void bloom(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    return match::spaced_run(
        s, pos,
        [&](std::size_t i) { return !s.is(i, kSpace) && !in_ranges(kBloomStops, s.get(i)); },
        [](std::size_t) { return false; });
  });
}

// [\r\n]
void each_newline(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    return match::is_newline(s.get(pos)) ? pos + 1 : kNoMatch;
  });
}

// [^\n]+|[\n]+
void newline_runs(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    const bool newline = s.get(pos) == U'\n';
    while (pos < s.end && (s.get(pos) == U'\n') == newline) ++pos;
    return pos;
  });
}

// \s?\p{L}+
void space_letters(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends,
             [](const Stretch& s, std::size_t pos) { return spaced_group_run(s, pos, kLetter); });
}

// \s?\p{P}+
void space_punctuation(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    return spaced_group_run(s, pos, kPunctuation);
  });
}

// \s?[A-Za-z...]+
void deepseek_latin(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    return spaced_class_run(s, pos, kDeepseekLatin);
  });
}

// \s?[!-/:-~...]+
void deepseek_signs(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    return spaced_class_run(s, pos, kDeepseekSigns);
  });
}

// \s+$
void trailing_space(const Stretch& s, Ends& ends) {
  std::size_t from = s.end;
  while (from > s.begin && s.is(from - 1, kSpace)) --from;
  if (from > s.begin) ends.push_back(static_cast<std::uint32_t>(from));
  if (from < s.end) ends.push_back(static_cast<std::uint32_t>(s.end));
}

// [\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+
void deepseek_cjk(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends,
             [](const Stretch& s, std::size_t pos) { return class_run(s, pos, kDeepseekCjk); });
}

// [\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+
void han_kana(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends,
             [](const Stretch& s, std::size_t pos) { return class_run(s, pos, kHanKana); });
}

// Hangul+|CJK signs+|Bopomofo+|Han and kana+
void youtu_cjk(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends, [](const Stretch& s, std::size_t pos) {
    return first_of([&] { return class_run(s, pos, kYoutuHangul); },
                    [&] { return class_run(s, pos, kYoutuSigns); },
                    [&] { return class_run(s, pos, kYoutuBopomofo); },
                    [&] { return class_run(s, pos, kHanKana); });
  });
}

// Han, kana, Thai, Lao, Khmer, Burmese, Hangul: one run
void afmoe_cjk(const Stretch& stretch, Ends& ends) {
  match::cut(stretch, ends,
             [](const Stretch& s, std::size_t pos) { return class_run(s, pos, kAfmoeCjk); });
}

}  // namespace holdfast::tokenizer::passes
