#include "bpe.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <string>

#include "holdfast/base/utf8.h"

namespace holdfast::tokenizer {

void BpeEncoder::encode(std::string_view text, std::vector<TokenId>& out) {
  CodePoints points;
  points.chars = decode_lenient(text);
  points.groups.reserve(points.chars.size());
  for (const char32_t c : points.chars) points.groups.push_back(group_of(c));
  std::string word;
  std::size_t begin = 0;
  for (const std::uint32_t end : split_words(points, rule_)) {
    word.clear();
    for (; begin < end; ++begin) append_utf8(word, points.chars[begin]);
    encode_word(word, out);
  }
}

void BpeEncoder::encode_word(std::string_view word, std::vector<TokenId>& out) {
  if (object_->flag(kFlagIgnoreMerges)) {
    const std::uint32_t whole = object_->find(word);
    if (whole != kNone) {
      out.push_back(static_cast<TokenId>(whole));
      return;
    }
  }
  const auto count = static_cast<std::uint32_t>(word.size());
  nodes_.clear();
  heap_.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t symbol = object_->byte_symbol(static_cast<std::uint8_t>(word[i]));
    nodes_.push_back({symbol, i == 0 ? kNone : i - 1, i + 1 == count ? kNone : i + 1});
  }
  for (std::uint32_t i = 1; i < count; ++i) {
    const std::uint32_t rank = object_->find_merge(nodes_[i - 1].symbol, nodes_[i].symbol);
    if (rank != kNone) heap_.push_back(std::uint64_t{rank} << 32 | (i - 1));
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  while (!heap_.empty()) {
    const std::uint64_t best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
    apply(static_cast<std::uint32_t>(best >> 32), static_cast<std::uint32_t>(best));
  }
  for (std::uint32_t i = 0; i != kNone && i < count; i = nodes_[i].next)
    emit(nodes_[i].symbol, out);
}

// A candidate is stale when its pair is not there any more: a node that was merged away keeps a
// symbol, but no predecessor points to it, so its own marker is the symbol kNone.
void BpeEncoder::apply(std::uint32_t rank, std::uint32_t left) {
  const Merge& merge = object_->merges()[rank];
  Node& l = nodes_[left];
  if (l.symbol != merge.left || l.next == kNone) return;
  Node& r = nodes_[l.next];
  if (r.symbol != merge.right) return;
  l.symbol = merge.result;
  l.next = r.next;
  r.symbol = kNone;
  if (l.next != kNone) nodes_[l.next].previous = left;
  if (l.previous != kNone) push_merge(l.previous, left);
  if (l.next != kNone) push_merge(left, l.next);
}

void BpeEncoder::push_merge(std::uint32_t left, std::uint32_t right) {
  const std::uint32_t rank = object_->find_merge(nodes_[left].symbol, nodes_[right].symbol);
  if (rank == kNone) return;
  heap_.push_back(std::uint64_t{rank} << 32 | left);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void BpeEncoder::emit(std::uint32_t symbol, std::vector<TokenId>& out) const {
  if (symbol < object_->header().tokens) {
    out.push_back(static_cast<TokenId>(symbol));
    return;
  }
  for (const char byte : object_->text(symbol)) {
    for (const std::uint32_t token : object_->byte_fallback(static_cast<std::uint8_t>(byte))) {
      if (token != kNone) out.push_back(static_cast<TokenId>(token));
    }
  }
}

namespace {

// Order-preserving: a smaller key for a higher score, then for a node further left.
std::uint64_t score_key(float score, std::uint32_t left) {
  const float plus_zero = score + 0.0f;  // -0 and +0 are one score
  const auto bits = std::bit_cast<std::uint32_t>(plus_zero);
  const std::uint32_t ascending = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return std::uint64_t{~ascending} << 32 | left;
}

}  // namespace

void SpmEncoder::encode(std::string_view text, std::vector<TokenId>& out) {
  text_ = text;
  nodes_.clear();
  heap_.clear();
  for (std::size_t pos = 0; pos < text.size();) {
    const std::size_t length = std::min(announced_length(text[pos]), text.size() - pos);
    const auto i = static_cast<std::uint32_t>(nodes_.size());
    nodes_.push_back({static_cast<std::uint32_t>(pos), static_cast<std::uint32_t>(length),
                      i == 0 ? kNone : i - 1, i + 1, kNone});
    pos += length;
  }
  if (nodes_.empty()) return;
  nodes_.back().next = kNone;
  const auto later = [](const Candidate& a, const Candidate& b) { return a.key > b.key; };
  for (std::uint32_t i = 1; i < nodes_.size(); ++i) push_merge(i - 1, i);
  while (!heap_.empty()) {
    const Candidate best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), later);
    heap_.pop_back();
    const auto left = static_cast<std::uint32_t>(best.key);
    Node& l = nodes_[left];
    // Stale unless the two still make up exactly the text that was scored.
    if (l.length == 0 || l.next == kNone || l.length + nodes_[l.next].length != best.length)
      continue;
    Node& r = nodes_[l.next];
    l.length = best.length;
    l.token = best.token;
    l.next = r.next;
    r.length = 0;
    if (l.next != kNone) nodes_[l.next].previous = left;
    if (l.previous != kNone) push_merge(l.previous, left);
    if (l.next != kNone) push_merge(left, l.next);
  }
  for (std::uint32_t i = 0; i != kNone; i = nodes_[i].next) emit(nodes_[i], out);
}

void SpmEncoder::push_merge(std::uint32_t left, std::uint32_t right) {
  const std::uint32_t length = nodes_[left].length + nodes_[right].length;
  if (length > object_->header().longest_text) return;
  const std::uint32_t token = object_->find(text_.substr(nodes_[left].begin, length));
  if (token == kNone) return;
  heap_.push_back({score_key(object_->score(token), left), length, token});
  std::push_heap(heap_.begin(), heap_.end(),
                 [](const Candidate& a, const Candidate& b) { return a.key > b.key; });
}

void SpmEncoder::emit(const Node& node, std::vector<TokenId>& out) const {
  const std::string_view text = text_.substr(node.begin, node.length);
  const std::uint32_t token = node.token != kNone ? node.token : object_->find(text);
  if (token != kNone) {
    out.push_back(static_cast<TokenId>(token));
    return;
  }
  for (const char byte : text) {
    const std::uint32_t id = object_->byte_symbol(static_cast<std::uint8_t>(byte));
    if (id != kNone) out.push_back(static_cast<TokenId>(id));
  }
}

}  // namespace holdfast::tokenizer
