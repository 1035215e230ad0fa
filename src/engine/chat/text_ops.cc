#include "text_ops.h"

#include <algorithm>

#include "holdfast/base/utf8.h"
#include "unicode.h"

namespace holdfast::chat {

namespace {

// Start of the character that ends at `end` (> 0).
std::size_t character_before(std::string_view text, std::size_t end) {
  for (std::size_t n = 1; n <= 4 && n <= end; ++n) {
    const Utf8Char c = decode_utf8(text, end - n);
    if (c.valid && c.length == n) return end - n;
  }
  return end - 1;
}

bool is_in(std::optional<std::string_view> characters, std::string_view text, const Utf8Char& c,
           std::size_t at) {
  if (!characters) return c.valid && is_space(c.code_point);
  const std::string_view wanted = text.substr(at, c.length);
  for (std::size_t i = 0; i < characters->size();) {
    const std::size_t n = decode_utf8(*characters, i).length;
    if (characters->substr(i, n) == wanted) return true;
    i += n;
  }
  return false;
}

// Applies `map` to each character; it gets the character and its byte position.
template <typename Map>
Text map_characters(const Text& text, Map map) {
  Text out;
  const std::string& bytes = text.bytes();
  std::size_t i = 0;
  std::size_t end = 0;
  text.for_each_run([&](std::string_view run, Origin origin) {
    std::string mapped;
    mapped.reserve(run.size());
    end += run.size();
    while (i < end) {
      const Utf8Char c = decode_utf8(bytes, i);
      if (c.valid) {
        mapped += map(c.code_point, i);
      } else {
        mapped += bytes[i];
      }
      i += c.length;
    }
    out.append(mapped, origin);
  });
  return text.is_markup() ? out.as_markup(true) : out;
}

bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }

// A capital sigma at the end of a word becomes the final small one.
std::string lower_in_word(const std::string& bytes, char32_t c, std::size_t at) {
  if (c != 0x3A3) return lower_of(c);
  const bool before =
      at > 0 && is_alpha(decode_utf8(bytes, character_before(bytes, at)).code_point);
  const bool after = at + 2 < bytes.size() && is_alpha(decode_utf8(bytes, at + 2).code_point);
  return before && !after ? "\xCF\x82" : "\xCF\x83";
}

}  // namespace

Text strip(const Text& text, Sides sides, std::optional<std::string_view> characters) {
  const std::string_view bytes = text.bytes();
  std::size_t from = 0;
  std::size_t end = bytes.size();
  while (sides != Sides::kRight && from < end) {
    const Utf8Char c = decode_utf8(bytes, from);
    if (!is_in(characters, bytes, c, from)) break;
    from += c.length;
  }
  while (sides != Sides::kLeft && end > from) {
    const std::size_t at = character_before(bytes, end);
    if (!is_in(characters, bytes, decode_utf8(bytes, at), at)) break;
    end = at;
  }
  return text.slice(from, end - from);
}

std::vector<Text> split(const Text& text, std::string_view separator, std::int64_t splits_max) {
  std::vector<Text> parts;
  std::size_t from = 0;
  while (splits_max < 0 || static_cast<std::int64_t>(parts.size()) < splits_max) {
    const std::size_t at = text.bytes().find(separator, from);
    if (at == std::string::npos) break;
    parts.push_back(text.slice(from, at - from));
    from = at + separator.size();
  }
  parts.push_back(text.slice(from, text.size() - from));
  return parts;
}

std::vector<Text> split_from_right(const Text& text, std::string_view separator,
                                   std::int64_t splits_max) {
  std::vector<Text> parts;
  std::size_t end = text.size();
  while (end >= separator.size() &&
         (splits_max < 0 || static_cast<std::int64_t>(parts.size()) < splits_max)) {
    const std::size_t at = text.bytes().rfind(separator, end - separator.size());
    if (at == std::string::npos) break;
    parts.push_back(text.slice(at + separator.size(), end - at - separator.size()));
    end = at;
  }
  parts.push_back(text.slice(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> split_words(const Text& text, std::int64_t splits_max) {
  std::vector<Text> parts;
  Text rest = strip(text, Sides::kLeft, std::nullopt);
  std::size_t base = text.size() - rest.size();
  const std::string_view bytes = text.bytes();
  while (base < bytes.size()) {
    if (splits_max >= 0 && static_cast<std::int64_t>(parts.size()) >= splits_max) {
      parts.push_back(text.slice(base, bytes.size() - base));
      break;
    }
    std::size_t end = base;
    Utf8Char c;
    while (end < bytes.size() && !is_space((c = decode_utf8(bytes, end)).code_point))
      end += c.length;
    parts.push_back(text.slice(base, end - base));
    while (end < bytes.size() && is_space((c = decode_utf8(bytes, end)).code_point))
      end += c.length;
    base = end;
  }
  return parts;
}

std::vector<Text> split_words_from_right(const Text& text, std::int64_t splits_max) {
  std::vector<Text> parts;
  const std::string_view bytes = text.bytes();
  const auto space_before = [&bytes](std::size_t end) {
    return is_space(decode_utf8(bytes, character_before(bytes, end)).code_point);
  };
  std::size_t end = bytes.size();
  while (end > 0 && space_before(end)) end = character_before(bytes, end);
  while (end > 0) {
    if (splits_max >= 0 && static_cast<std::int64_t>(parts.size()) >= splits_max) {
      parts.push_back(text.slice(0, end));
      break;
    }
    std::size_t from = end;
    while (from > 0 && !space_before(from)) from = character_before(bytes, from);
    parts.push_back(text.slice(from, end - from));
    while (from > 0 && space_before(from)) from = character_before(bytes, from);
    end = from;
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> split_lines(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  const std::string_view bytes = text.bytes();
  std::size_t from = 0;
  for (std::size_t i = 0; i < bytes.size();) {
    const Utf8Char c = decode_utf8(bytes, i);
    std::size_t next = i + c.length;
    if (c.valid && is_line_end(c.code_point)) {
      if (c.code_point == '\r' && next < bytes.size() && bytes[next] == '\n') ++next;
      lines.push_back(text.slice(from, (keep_ends ? next : i) - from));
      from = next;
    }
    i = next;
  }
  if (from < bytes.size()) lines.push_back(text.slice(from, bytes.size() - from));
  return lines;
}

Text replace(const Text& text, std::string_view old, const Text& replacement, std::int64_t count) {
  Text out;
  const std::string& bytes = text.bytes();
  std::size_t from = 0;
  for (std::size_t search = 0; count != 0 && search <= bytes.size();) {
    const std::size_t at = bytes.find(old, search);
    if (at == std::string::npos) break;
    out.append(text.slice(from, at - from));
    out.append(replacement);
    from = at + old.size();
    // Between characters, for an empty `old`.
    search = !old.empty() ? from : at < bytes.size() ? at + decode_utf8(bytes, at).length : at + 1;
    if (count > 0) --count;
  }
  out.append(text.slice(from, bytes.size() - from));
  return text.is_markup() ? out.as_markup(true) : out;
}

std::size_t count_occurrences(std::string_view text, std::string_view part) {
  if (part.empty()) return count_characters(text) + 1;
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size())) {
    ++n;
  }
  return n;
}

Text to_upper(const Text& text) {
  return map_characters(text, [](char32_t c, std::size_t) { return upper_of(c); });
}

Text to_lower(const Text& text) {
  const std::string& bytes = text.bytes();
  return map_characters(text,
                        [&](char32_t c, std::size_t at) { return lower_in_word(bytes, c, at); });
}

Text fold_case(const Text& text) {
  return map_characters(text,
                        [](char32_t c, std::size_t) { return c == 0xDF ? "ss" : lower_of(c); });
}

Text capitalize(const Text& text) {
  const std::string& bytes = text.bytes();
  return map_characters(text, [&](char32_t c, std::size_t at) {
    return at == 0 ? title_of(c) : lower_in_word(bytes, c, at);
  });
}

Text swap_case(const Text& text) {
  const std::string& bytes = text.bytes();
  return map_characters(text, [&](char32_t c, std::size_t at) {
    return is_upper(c) ? lower_in_word(bytes, c, at) : upper_of(c);
  });
}

Text title_words(const Text& text) {
  const std::string& bytes = text.bytes();
  bool in_word = false;
  return map_characters(text, [&](char32_t c, std::size_t at) {
    const bool starts = !in_word;
    in_word = is_cased(c);
    return starts ? title_of(c) : lower_in_word(bytes, c, at);
  });
}

Text title_filter(const Text& text) {
  const std::string& bytes = text.bytes();
  bool starts = true;
  const Text titled = map_characters(text, [&](char32_t c, std::size_t at) {
    const bool is_separator =
        is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    const std::string mapped = starts || is_separator ? upper_of(c) : lower_in_word(bytes, c, at);
    starts = is_separator;
    return mapped;
  });
  return titled.as_markup(false);  // it is put together from parts, as in Jinja
}

Text escape_html(const Text& text) {
  if (text.is_markup()) return text;
  return map_characters(text,
                        [&](char32_t c, std::size_t at) -> std::string {
                          switch (c) {
                            case '&':
                              return "&amp;";
                            case '<':
                              return "&lt;";
                            case '>':
                              return "&gt;";
                            case '\'':
                              return "&#39;";
                            case '"':
                              return "&#34;";
                            default:
                              return text.bytes().substr(at, decode_utf8(text.bytes(), at).length);
                          }
                        })
      .as_markup(true);
}

Text repeat(const Text& text, std::int64_t times) {
  Text out;
  for (std::int64_t i = 0; i < times; ++i) out.append(text);
  return text.is_markup() ? out.as_markup(true) : out;
}

Text pad(const Text& text, std::size_t left, std::size_t right, const Text& fill) {
  Text out = repeat(fill, static_cast<std::int64_t>(left));
  out.append(text);
  out.append(repeat(fill, static_cast<std::int64_t>(right)));
  return out.as_markup(text.is_markup());
}

Text slice_characters(const Text& text, std::int64_t start, std::int64_t stop, std::int64_t step) {
  const std::string& bytes = text.bytes();
  if (step == 1) {
    if (start >= stop) return Text().as_markup(text.is_markup());
    const std::size_t from = offset_of_character(bytes, static_cast<std::size_t>(start));
    const std::size_t length = offset_of_character(std::string_view(bytes).substr(from),
                                                   static_cast<std::size_t>(stop - start));
    return text.slice(from, length);
  }
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < bytes.size(); i += decode_utf8(bytes, i).length) starts.push_back(i);
  Text out;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop; i += step) {
    const std::size_t at = starts[static_cast<std::size_t>(i)];
    out.append(text.slice(at, decode_utf8(bytes, at).length));
  }
  return out.as_markup(text.is_markup());
}

bool all_characters(std::string_view text, bool (*predicate)(char32_t)) {
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (!predicate(c.code_point)) return false;
    i += c.length;
  }
  return !text.empty();
}

bool has_only_case(std::string_view text, bool upper) {
  bool found = false;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (is_title(c.code_point) || (upper ? is_lower(c.code_point) : is_upper(c.code_point)))
      return false;
    found |= upper ? is_upper(c.code_point) : is_lower(c.code_point);
    i += c.length;
  }
  return found;
}

}  // namespace holdfast::chat
