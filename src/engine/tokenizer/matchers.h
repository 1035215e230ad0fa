// The building blocks of the splitting rules. Each tries one alternative of a rule's regular
// expression at `pos` and returns the end of its match, or kNoMatch. None looks further than its
// match and one character, so a rule made of them is linear.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pre_tokenizer.h"

namespace holdfast::tokenizer::match {

inline constexpr std::size_t kNoMatch = 0;  // a match at 0 still ends after 0
inline constexpr unsigned kWordGroups = kLetter | kNumber;

inline bool is_newline(char32_t c) { return c == U'\r' || c == U'\n'; }
inline bool is_upper(char32_t c) { return c >= U'A' && c <= U'Z'; }
inline bool is_lower(char32_t c) { return c >= U'a' && c <= U'z'; }
inline char32_t ascii_lower(char32_t c) { return is_upper(c) ? c + 32 : c; }

inline std::size_t run_of(const Stretch& s, std::size_t pos, unsigned groups) {
  while (s.is(pos, groups)) ++pos;
  return pos;
}

// Cuts `s` at every match; what lies between matches is one piece.
template <typename Match>
void cut(const Stretch& s, std::vector<std::uint32_t>& ends, Match match_at) {
  std::size_t done = s.begin;
  for (std::size_t pos = s.begin; pos < s.end;) {
    const std::size_t end = match_at(s, pos);
    if (end == kNoMatch) {
      ++pos;
      continue;
    }
    if (pos > done) ends.push_back(static_cast<std::uint32_t>(pos));
    ends.push_back(static_cast<std::uint32_t>(end));
    done = pos = end;
  }
  if (done < s.end) ends.push_back(static_cast<std::uint32_t>(s.end));
}

// 's|'t|'re|'ve|'m|'ll|'d, in lower case only or in any.
inline std::size_t contraction(const Stretch& s, std::size_t pos, bool any_case) {
  if (s.get(pos) != U'\'') return kNoMatch;
  const auto letter = [&](std::size_t i) { return any_case ? ascii_lower(s.get(i)) : s.get(i); };
  const char32_t a = letter(pos + 1);
  if (a == U's' || a == U't' || a == U'm' || a == U'd') return pos + 2;
  const char32_t b = letter(pos + 2);
  const bool two = (a == U'r' && b == U'e') || (a == U'v' && b == U'e') || (a == U'l' && b == U'l');
  return two ? pos + 3 : kNoMatch;
}

// [^\r\n\p{L}\p{N}]?[groups]+, or with other groups excluded for the character in front.
inline std::size_t word(const Stretch& s, std::size_t pos, unsigned groups,
                        unsigned not_in_front = kWordGroups) {
  const bool front = !is_newline(s.get(pos)) && !s.is(pos, not_in_front);
  if (front && s.is(pos + 1, groups)) return run_of(s, pos + 1, groups);
  return s.is(pos, groups) ? run_of(s, pos, groups) : kNoMatch;
}

// [groups]{1,most}
inline std::size_t up_to(const Stretch& s, std::size_t pos, unsigned groups, std::size_t most) {
  std::size_t end = pos;
  while (end - pos < most && s.is(end, groups)) ++end;
  return end == pos ? kNoMatch : end;
}

// " ?" and then a run of characters that `belongs`, then a run of characters that `trails`.
template <typename Belongs, typename Trails>
std::size_t spaced_run(const Stretch& s, std::size_t pos, Belongs belongs, Trails trails) {
  std::size_t end = s.get(pos) == U' ' ? pos + 1 : pos;
  if (end >= s.end || !belongs(end)) return kNoMatch;
  while (end < s.end && belongs(end)) ++end;
  while (end < s.end && trails(end)) ++end;
  return end;
}

// " ?[^\s\p{L}\p{N}]+[\r\n]*", `slash` adds "/" to the last class.
inline std::size_t signs(const Stretch& s, std::size_t pos, unsigned excluded, bool slash) {
  return spaced_run(
      s, pos, [&](std::size_t i) { return !s.is(i, excluded); },
      [&](std::size_t i) { return is_newline(s.get(i)) || (slash && s.get(i) == U'/'); });
}

// \s*[\r\n]+: white space up to its last line break.
inline std::size_t space_to_newline(const Stretch& s, std::size_t pos) {
  std::size_t last = kNoMatch;
  for (; s.is(pos, kSpace); ++pos) {
    if (is_newline(s.get(pos))) last = pos + 1;
  }
  return last;
}

// \s+(?!\S)|\s+: white space, but its last character goes with the word that follows.
inline std::size_t space(const Stretch& s, std::size_t pos) {
  const std::size_t end = run_of(s, pos, kSpace);
  if (end == pos) return kNoMatch;
  return end < s.end && end - pos > 1 ? end - 1 : end;
}

// The words of the o200k family, without the character in front: [U]*[L]+ and, if that fails,
// [U]+[L]*, where U is what is not a lower-case ASCII letter and L what is not an upper-case one,
// both within `groups`. Where the greedy [U]* leaves nothing for [L]+ it gives back characters down
// to the last that is in L as well.
struct CasedWord {
  std::size_t lower_end;  // of the first form, or kNoMatch
  std::size_t upper_end;  // of the second
};
inline CasedWord cased_word(const Stretch& s, std::size_t pos, unsigned groups) {
  std::size_t end = pos;
  std::size_t after_last_both = kNoMatch;
  for (; s.is(end, groups) && !is_lower(s.get(end)); ++end) {
    if (!is_upper(s.get(end))) after_last_both = end + 1;
  }
  const bool lower_follows = s.is(end, groups);
  const std::size_t upper_end = end == pos ? kNoMatch : end;
  if (!lower_follows) return {after_last_both, upper_end};
  while (s.is(end, groups) && !is_upper(s.get(end))) ++end;
  return {end, upper_end == kNoMatch ? kNoMatch : end};
}

// [^\r\n\p{L}\p{N}]?[U]*[L]+|[^\r\n\p{L}\p{N}]?[U]+[L]*
inline std::size_t cased(const Stretch& s, std::size_t pos, unsigned groups) {
  const bool front = !is_newline(s.get(pos)) && !s.is(pos, kWordGroups);
  const CasedWord after_front =
      front ? cased_word(s, pos + 1, groups) : CasedWord{kNoMatch, kNoMatch};
  if (after_front.lower_end != kNoMatch) return after_front.lower_end;
  const CasedWord here = cased_word(s, pos, groups);
  if (here.lower_end != kNoMatch) return here.lower_end;
  return after_front.upper_end != kNoMatch ? after_front.upper_end : here.upper_end;
}

}  // namespace holdfast::tokenizer::match
