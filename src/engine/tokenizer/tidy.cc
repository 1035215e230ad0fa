#include "tidy.h"

#include <string_view>

namespace holdfast::tokenizer {

namespace {

// Copies `in` and drops the space before each position where `joins` says so. The first character
// has nothing before it.
template <typename Joins>
std::string drop_space_before(std::string_view in, Joins joins) {
  std::string out;
  out.reserve(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (i > 0 && in[i - 1] == ' ' && joins(i)) out.pop_back();
    out += in[i];
  }
  return out;
}

std::string join_lone_apostrophes(std::string_view in) {
  std::string out;
  out.reserve(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    const bool lone =
        i > 0 && i + 1 < in.size() && in[i] == '\'' && in[i - 1] == ' ' && in[i + 1] == ' ';
    if (!lone) {
      out += in[i];
      continue;
    }
    out.pop_back();
    out += '\'';
    // The space after it is used up: it is not the space before what follows.
    ++i;
    if (i + 1 < in.size()) out += in[++i];
  }
  return out;
}

}  // namespace

void tidy_spaces(std::string& text) {
  text = drop_space_before(text, [&](std::size_t i) {
    return text[i] == '?' || text[i] == '!' || text[i] == '.' || text[i] == ',';
  });
  text = join_lone_apostrophes(text);
  text = drop_space_before(text, [&](std::size_t i) {
    const std::string_view rest = std::string_view(text).substr(i);
    return rest.starts_with("'s") || rest.starts_with("'m") || rest.starts_with("'re") ||
           rest.starts_with("'ve");
  });
}

}  // namespace holdfast::tokenizer
