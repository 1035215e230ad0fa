#include "holdfast/tokenizer/vocabulary.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <string>
#include <unordered_set>

#include "pre_tokenizer.h"
#include "special_list.h"

namespace holdfast::tokenizer {

namespace {

Error bad(std::string what) { return invalid_argument("the vocabulary is not usable: " + what); }

std::string at(std::size_t id) { return "token " + std::to_string(id); }

bool is_byte_spelling(std::string_view text) {
  const auto hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
  return text.size() == 6 && text.starts_with("<0x") && hex(text[3]) && hex(text[4]) &&
         text[5] == '>';
}

Status check_tokens(const Vocabulary& v) {
  if (v.tokens.empty()) return bad("it has no tokens");
  if (v.tokens.size() > kMaxTokens)
    return bad("more than " + std::to_string(kMaxTokens) + " tokens");
  std::unordered_set<std::string_view> seen;
  seen.reserve(v.tokens.size());
  std::size_t total = 0;
  for (std::size_t i = 0; i < v.tokens.size(); ++i) {
    const std::string& token = v.tokens[i];
    if (token.empty()) return bad(at(i) + " is empty");
    if (token.size() > kMaxTokenBytes) return bad(at(i) + " is longer than 4096 bytes");
    total += token.size();
    if (total > kMaxTextTotalBytes) return bad("more than 64 MiB of token text");
    if (!seen.insert(token).second) return bad(at(i) + " has the text of another token");
  }
  return ok_status();
}

Status check_types_and_scores(const Vocabulary& v) {
  if (v.types.size() != v.tokens.size()) {
    return bad(std::to_string(v.types.size()) + " types for " + std::to_string(v.tokens.size()) +
               " tokens");
  }
  if (!v.scores.empty() && v.scores.size() != v.tokens.size()) {
    return bad(std::to_string(v.scores.size()) + " scores for " + std::to_string(v.tokens.size()) +
               " tokens");
  }
  if (v.model == Model::kSpm && v.scores.empty()) return bad("it needs scores and has none");
  for (std::size_t i = 0; i < v.types.size(); ++i) {
    if (!v.scores.empty() && !std::isfinite(v.scores[i])) return bad("score of " + at(i));
    if (has_type(v.types[i], TokenType::kByte) && !is_byte_spelling(v.tokens[i])) {
      return bad(at(i) + " is a byte token but not spelled <0xNN>");
    }
  }
  return ok_status();
}

Status check_merges(const Vocabulary& v) {
  if (v.merges.size() > kMaxMerges)
    return bad("more than " + std::to_string(kMaxMerges) + " merges");
  std::size_t total = 0;
  for (std::size_t i = 0; i < v.merges.size(); ++i) {
    if (v.merges[i].size() > 2 * kMaxTokenBytes)
      return bad("merge " + std::to_string(i) + " is too long");
    total += v.merges[i].size();
    if (total > 2 * kMaxTextTotalBytes) return bad("more than 128 MiB of merge text");
  }
  return ok_status();
}

Status check_ids(const Vocabulary& v) {
  const auto inside = [&](TokenId id) {
    return id >= 0 && static_cast<std::size_t>(id) < v.tokens.size();
  };
  const SpecialIds& s = v.special;
  for (const auto& id : special_list(s)) {
    if (id && !inside(*id))
      return bad("special token id " + std::to_string(*id) + " is outside it");
  }
  for (const TokenId id : v.end_of_generation) {
    if (!inside(id)) return bad("end-of-generation id " + std::to_string(id) + " is outside it");
  }
  if (!std::is_sorted(v.end_of_generation.begin(), v.end_of_generation.end())) {
    return bad("end-of-generation ids are not ascending");
  }
  const bool word_piece = v.model == Model::kWordPiece;
  if ((v.add_bos || word_piece) && !s.bos) return bad("it adds a bos token and has none");
  if (v.add_eos && !s.eos) return bad("it adds an eos token and has none");
  if (word_piece && !s.sep) return bad("it adds a separator token and has none");
  if (word_piece && !s.unk) return bad("it needs an unknown token and has none");
  return ok_status();
}

}  // namespace

bool is_known_pre_tokenizer(std::string_view name) { return find_pre_tokenizer(name) != nullptr; }

Status validate(const Vocabulary& v) {
  if (v.model == Model::kBpe && !is_known_pre_tokenizer(v.pre)) {
    return unsupported("unsupported pre-tokenizer \"" + v.pre.substr(0, kMaxNameBytes) + "\"");
  }
  if (v.pre.size() >= kMaxNameBytes) return bad("the pre-tokenizer's name is too long");
  HF_TRY(check_tokens(v));
  HF_TRY(check_types_and_scores(v));
  HF_TRY(check_merges(v));
  return check_ids(v);
}

}  // namespace holdfast::tokenizer
