// From the merges of a tokenizer.json to the scores that a SentencePiece vocabulary merges by.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/gguf/metadata.h"

namespace holdfast::checkpoint {

// Pairs of tokens, best first: the two texts joined, and where to part them.
struct Merges {
  gguf::StringArray joined;
  std::vector<std::uint16_t> left_bytes;

  std::size_t size() const { return left_bytes.size(); }
  std::string_view left(std::size_t i) const { return joined[i].substr(0, left_bytes[i]); }
  std::string_view right(std::size_t i) const { return joined[i].substr(left_bytes[i]); }
};

// Scores for `texts` (by id; empty for ids that nothing spells). Conversions from SentencePiece
// write, for each token in falling order of its score, every way to put it together from two
// others; then merging by the list and by the score do the same, and the score is the place of
// the token's first pair. Whether the list is like that is checked: kUnsupported where a token has
// a pair that is not in it, or pairs in two places. `apart`: ids that never take part in merging.
Result<std::vector<float>> scores_of_merges(const Merges& merges,
                                            const std::vector<std::string_view>& texts,
                                            const std::vector<bool>& apart);

}  // namespace holdfast::checkpoint
