#include "merge_scores.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "config_reader.h"

namespace holdfast::checkpoint {

namespace {

// Below every token that a pair makes.
constexpr float kNeverMerged = -1e9f;
// Looking at every way to part every token costs the square of its length. The largest vocabulary
// in use takes 19 million; a hostile one would take minutes.
constexpr std::uint64_t kWorkMax = 64u << 20;

Error not_sentence_piece(std::string_view token, std::string_view what) {
  return unsupported(
             "unsupported tokenizer: its merges are not those of a SentencePiece vocabulary")
      .with_hint("Token " + shown(token) + " " + std::string(what) +
                 ". Import the model as GGUF instead.");
}

class Scores {
 public:
  Scores(const Merges& merges, const std::vector<std::string_view>& texts,
         const std::vector<bool>& apart)
      : merges_(merges), texts_(texts), apart_(apart), scores_(texts.size(), kNeverMerged) {}

  Result<std::vector<float>> run() {
    std::uint64_t work = 0;
    for (std::size_t id = 0; id < texts_.size(); ++id) {
      if (!texts_[id].empty()) ids_.emplace(texts_[id], id);
      if (!apart_[id]) work += texts_[id].size() * texts_[id].size();
    }
    if (work > kWorkMax) {
      return unsupported("unsupported tokenizer: its tokens are too long to check their merges");
    }
    HF_TRY(score());
    HF_TRY(check_complete());
    return std::move(scores_);
  }

 private:
  bool is_token(std::string_view text) const { return ids_.contains(text); }

  Status score() {
    std::string_view last;
    for (std::size_t rank = 0; rank < merges_.size(); ++rank) {
      const std::string_view result = merges_.joined[rank];
      const auto it = ids_.find(result);
      if (it == ids_.end() || !is_token(merges_.left(rank)) || !is_token(merges_.right(rank))) {
        return corrupt("tokenizer.json: merge " + std::to_string(rank) +
                       " is not of tokens of the vocabulary");
      }
      if (!apart_[it->second]) ++pairs_[it->second];
      if (result == last) continue;
      last = result;
      float& score = scores_[it->second];
      if (score != kNeverMerged && !apart_[it->second]) {
        return not_sentence_piece(result, "has pairs in two places");
      }
      // Exact up to 2^24; there are at most 2^21 merges.
      if (score == kNeverMerged) score = -static_cast<float>(rank);
    }
    return ok_status();
  }

  // As many pairs in the list as there are ways to part the token. A pair that is twice in the list
  // could hide one that is missing, so those are refused as well.
  Status check_complete() {
    for (std::size_t id = 0; id < texts_.size(); ++id) {
      if (apart_[id]) continue;
      std::uint32_t ways = 0;
      for (std::size_t cut = 1; cut < texts_[id].size(); ++cut) {
        if (is_token(texts_[id].substr(0, cut)) && is_token(texts_[id].substr(cut))) ++ways;
      }
      const auto it = pairs_.find(id);
      if (ways != (it == pairs_.end() ? 0 : it->second)) {
        return not_sentence_piece(texts_[id], "could be made in ways that the list does not name");
      }
    }
    return ok_status();
  }

  const Merges& merges_;
  const std::vector<std::string_view>& texts_;
  const std::vector<bool>& apart_;
  std::unordered_map<std::string_view, std::size_t> ids_;
  std::unordered_map<std::size_t, std::uint32_t> pairs_;
  std::vector<float> scores_;
};

// A pair that is in the list twice, next to itself.
Status check_pairs_differ(const Merges& merges) {
  std::unordered_set<std::uint16_t> cuts;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    if (i == 0 || merges.joined[i] != merges.joined[i - 1]) cuts.clear();
    if (!cuts.insert(merges.left_bytes[i]).second) {
      return corrupt("tokenizer.json: merge " + std::to_string(i) + " is there twice");
    }
  }
  return ok_status();
}

}  // namespace

Result<std::vector<float>> scores_of_merges(const Merges& merges,
                                            const std::vector<std::string_view>& texts,
                                            const std::vector<bool>& apart) {
  HF_TRY(check_pairs_differ(merges));
  return Scores(merges, texts, apart).run();
}

}  // namespace holdfast::checkpoint
