#include "special_matcher.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <queue>

namespace holdfast::tokenizer {

namespace {

constexpr TokenType kGuarded = TokenType::kControl | TokenType::kUnknown;

std::uint64_t edge_key(std::uint32_t node, char byte) {
  return (std::uint64_t{node} << 8 | static_cast<std::uint8_t>(byte)) + 1;
}
std::size_t edge_slot(std::uint64_t key) { return (key * 0x9E3779B97F4A7C15) >> 20; }

bool is_c_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// End of the region around `pos`, or `pos` if there is none. Positions may be asked for in any
// order.
std::size_t region_end_at(std::span<const Region> regions, std::size_t pos) {
  const auto after = std::upper_bound(regions.begin(), regions.end(), pos,
                                      [](std::size_t p, const Region& r) { return p < r.begin; });
  if (after == regions.begin()) return pos;
  return std::max<std::size_t>(pos, (after - 1)->end);
}

struct Taken {
  std::uint32_t token, begin, end;
};

// Cuts between the taken places; bytes that white-space stripping marked as used are left out.
std::vector<Fragment> fragments_between(std::size_t size, std::vector<Taken>& taken,
                                        const std::vector<bool>& used) {
  std::sort(taken.begin(), taken.end(),
            [](const Taken& a, const Taken& b) { return a.begin < b.begin; });
  std::vector<Fragment> out;
  std::uint32_t from = 0;
  const auto add_text = [&](std::uint32_t to) {
    while (from < to && used[from]) ++from;
    std::uint32_t end = to;
    while (end > from && used[end - 1]) --end;
    if (from < end) out.push_back({kNone, from, end});
  };
  for (const Taken& t : taken) {
    add_text(t.begin);
    out.push_back({t.token, t.begin, t.end});
    from = t.end;
  }
  add_text(static_cast<std::uint32_t>(size));
  return out;
}

}  // namespace

SpecialMatcher::SpecialMatcher(const ObjectView& object) : object_(&object) {
  order_at_.push_back(kNone);
  edges_.resize(1024);
  for (std::uint32_t i = 0; i < object.specials().size(); ++i) insert(i);
}

void SpecialMatcher::insert(std::uint32_t order) {
  const std::string_view text = object_->piece(object_->specials()[order]);
  std::uint32_t node = 0;
  for (const char c : text) node = add_child(node, c);
  starts_[static_cast<std::uint8_t>(text[0])] = true;
  // Of two with one text, which a checked vocabulary cannot have, the first counts.
  if (order_at_[node] == kNone) order_at_[node] = order;
}

std::uint32_t SpecialMatcher::child(std::uint32_t node, char byte) const {
  const std::uint64_t key = edge_key(node, byte);
  const std::size_t mask = edges_.size() - 1;
  for (std::size_t i = edge_slot(key);; ++i) {
    const Edge& e = edges_[i & mask];
    if (e.key == key) return e.node;
    if (e.key == 0) return kNone;
  }
}

std::uint32_t SpecialMatcher::add_child(std::uint32_t node, char byte) {
  const std::uint32_t found = child(node, byte);
  if (found != kNone) return found;
  if (2 * ++edge_count_ > edges_.size()) grow_edges();
  const auto added = static_cast<std::uint32_t>(order_at_.size());
  order_at_.push_back(kNone);
  const std::uint64_t key = edge_key(node, byte);
  std::size_t i = edge_slot(key) & (edges_.size() - 1);
  while (edges_[i].key != 0) i = (i + 1) & (edges_.size() - 1);
  edges_[i] = {key, added};
  return added;
}

void SpecialMatcher::grow_edges() {
  std::vector<Edge> larger(edges_.size() * 2);
  const std::size_t mask = larger.size() - 1;
  for (const Edge& e : edges_) {
    if (e.key == 0) continue;
    std::size_t i = edge_slot(e.key) & mask;
    while (larger[i].key != 0) i = (i + 1) & mask;
    larger[i] = e;
  }
  edges_.swap(larger);
}

SpecialMatcher::Match SpecialMatcher::longest(std::string_view text, std::size_t pos,
                                              std::size_t limit, std::size_t region_end) const {
  Match best;
  std::uint32_t node = 0;
  for (std::size_t i = pos; i < text.size() && i - pos + 1 < limit; ++i) {
    node = child(node, text[i]);
    if (node == kNone) break;
    const std::uint32_t order = order_at_[node];
    if (order == kNone) continue;
    if (i >= region_end && object_->has_type(object_->specials()[order], kGuarded)) continue;
    best = {order, static_cast<std::uint32_t>(i - pos + 1)};
  }
  return best;
}

std::vector<Fragment> SpecialMatcher::cut(std::string_view text,
                                          std::span<const Region> regions) const {
  // One candidate per position, the longest that starts there, ordered as the tokens are and then
  // from the left. A candidate that is refused because of its end comes back as the next shorter
  // one. Longer tokens come first, so a place that overlaps a taken one has its first or its last
  // byte in it.
  std::vector<std::uint64_t> candidates;
  const auto key = [](std::uint32_t order, std::size_t pos) {
    return std::uint64_t{order} << 32 | pos;
  };
  constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();
  for (std::size_t pos = 0; pos < text.size(); ++pos) {
    if (!starts_[static_cast<std::uint8_t>(text[pos])]) continue;
    const Match m = longest(text, pos, kNoLimit, region_end_at(regions, pos));
    if (m.order != kNone) candidates.push_back(key(m.order, pos));
  }
  const auto size = static_cast<std::uint32_t>(text.size());
  if (size == 0) return {};
  if (candidates.empty()) return {Fragment{kNone, 0, size}};

  std::priority_queue<std::uint64_t, std::vector<std::uint64_t>, std::greater<>> queue(
      std::greater<>(), std::move(candidates));
  std::vector<bool> used(text.size());
  std::vector<Taken> taken;
  while (!queue.empty()) {
    const auto pos = static_cast<std::uint32_t>(queue.top());
    const std::uint32_t token = object_->specials()[queue.top() >> 32];
    queue.pop();
    if (used[pos]) continue;
    const auto end = pos + static_cast<std::uint32_t>(object_->piece(token).size());
    if (used[end - 1]) {
      const Match m = longest(text, pos, end - pos, region_end_at(regions, pos));
      if (m.order != kNone) queue.push(key(m.order, pos));
      continue;
    }
    std::fill(used.begin() + pos, used.begin() + end, true);
    taken.push_back({token, pos, end});
    if (object_->has_type(token, TokenType::kStripLeft)) {
      for (std::size_t i = pos; i > 0 && !used[i - 1] && is_c_space(text[i - 1]); --i)
        used[i - 1] = true;
    }
    if (object_->has_type(token, TokenType::kStripRight)) {
      for (std::size_t i = end; i < size && !used[i] && is_c_space(text[i]); ++i) used[i] = true;
    }
  }
  return fragments_between(text.size(), taken, used);
}

}  // namespace holdfast::tokenizer
