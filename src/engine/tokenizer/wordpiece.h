// WordPiece, as BERT uses it: normalise, split at white space, punctuation and ideographs, longest
// match first.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "object.h"

namespace holdfast::tokenizer {

// Says of a hash whether a text with it can be the beginning of a token: never no by mistake,
// seldom yes. It ends the search for the longest match where no token goes on, so that time does
// not grow with the longest token. Immutable; thread-safe.
class PrefixFilter {
 public:
  PrefixFilter() = default;
  explicit PrefixFilter(const ObjectView& object);
  bool may_begin(std::uint64_t hash) const { return bits_[slot(hash)]; }

 private:
  std::size_t slot(std::uint64_t hash) const { return hash_finish(hash) & (bits_.size() - 1); }
  std::vector<bool> bits_;
};

// Appends the tokens of a stretch of text without special tokens. `prefixes` is that of `object`.
void encode_word_piece(const ObjectView& object, const PrefixFilter& prefixes,
                       std::string_view text, std::vector<TokenId>& out);

}  // namespace holdfast::tokenizer
