// What Python's str methods do, on texts with origins. Limits of size and time are the caller's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "text.h"

namespace holdfast::chat {

enum class Sides : std::uint8_t { kLeft, kRight, kBoth };

// Without `characters`: white space.
Text strip(const Text& text, Sides sides, std::optional<std::string_view> characters);
// Split at `separator`, which is not empty; at most `splits_max` times if that is not negative.
std::vector<Text> split(const Text& text, std::string_view separator, std::int64_t splits_max);
std::vector<Text> split_from_right(const Text& text, std::string_view separator,
                                   std::int64_t splits_max);
// Split at runs of white space.
std::vector<Text> split_words(const Text& text, std::int64_t splits_max);
std::vector<Text> split_words_from_right(const Text& text, std::int64_t splits_max);
std::vector<Text> split_lines(const Text& text, bool keep_ends);
// An empty `old` stands between all characters.
Text replace(const Text& text, std::string_view old, const Text& replacement, std::int64_t count);
std::size_t count_occurrences(std::string_view text, std::string_view part);

Text to_upper(const Text& text);
Text to_lower(const Text& text);
Text fold_case(const Text& text);
Text capitalize(const Text& text);
Text swap_case(const Text& text);
// str.title: each run of letters starts with a capital.
Text title_words(const Text& text);
// Jinja's filter: words start after white space, '-' and opening brackets.
Text title_filter(const Text& text);
Text escape_html(const Text& text);
Text repeat(const Text& text, std::int64_t times);
Text pad(const Text& text, std::size_t left, std::size_t right, const Text& fill);
// Characters start, start + step, ... while below (or, for a negative step, above) stop.
Text slice_characters(const Text& text, std::int64_t start, std::int64_t stop, std::int64_t step);

// True if the text has characters and the predicate holds for each.
bool all_characters(std::string_view text, bool (*predicate)(char32_t));
// As str.isupper and str.islower: at least one letter of the case, and none of the other.
bool has_only_case(std::string_view text, bool upper);

}  // namespace holdfast::chat
