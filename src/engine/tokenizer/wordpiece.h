// WordPiece, as BERT uses it: normalise, split at white space, punctuation and ideographs, longest
// match first.
#pragma once

#include <string_view>
#include <vector>

#include "object.h"

namespace holdfast::tokenizer {

// Appends the tokens of a stretch of text without special tokens.
void encode_word_piece(const ObjectView& object, std::string_view text, std::vector<TokenId>& out);

}  // namespace holdfast::tokenizer
