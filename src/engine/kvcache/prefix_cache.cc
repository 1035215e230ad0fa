#include "holdfast/kvcache/prefix_cache.h"

#include <algorithm>

namespace holdfast::kvcache {

namespace {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

PrefixCache::PrefixCache(PagedKvCache& cache, const PrefixCacheOptions& options)
    : cache_(cache), options_(options), nodes_(1) {
  nodes_[kRoot].hash = mix(options.seed);
}

std::uint64_t PrefixCache::hash_of(Node parent, std::string_view domain, PageTokens tokens) const {
  std::uint64_t h = nodes_[parent].hash ^ options_.seed;
  for (const char c : domain) h = mix(h + static_cast<unsigned char>(c) + 1);
  for (const std::int32_t t : tokens) h = mix(h ^ (static_cast<std::uint32_t>(t) + options_.seed));
  return h;
}

std::optional<PrefixCache::Node> PrefixCache::find(Node parent, std::string_view domain,
                                                   PageTokens tokens) const {
  const auto [begin, end] = by_hash_.equal_range(hash_of(parent, domain, tokens));
  for (auto it = begin; it != end; ++it) {
    const Entry& e = nodes_[it->second];
    if (e.parent == parent && e.domain == domain && std::ranges::equal(e.tokens, tokens))
      return it->second;
  }
  return std::nullopt;
}

void PrefixCache::set_value(Node node) {
  Entry& e = nodes_[node];
  const bool leaf = e.children == 0;
  if (leaf) leaves_.erase({e.value, node});
  e.value = floor_ + 1.0 + static_cast<double>(e.uses);
  if (leaf) leaves_.insert({e.value, node});
}

void PrefixCache::used(Node node) {
  ++nodes_[node].uses;
  set_value(node);
}

std::optional<PrefixCache::Node> PrefixCache::insert(Node parent, std::string_view domain,
                                                     PageTokens tokens, std::uint32_t page) {
  if (kept_ >= options_.pages_max && (options_.pages_max == 0 || !evict_one())) return std::nullopt;
  Node node = static_cast<Node>(nodes_.size());
  if (unused_.empty()) {
    nodes_.emplace_back();
  } else {
    node = unused_.back();
    unused_.pop_back();
  }
  Entry& e = nodes_[node];
  e = {};
  e.hash = hash_of(parent, domain, tokens);
  e.parent = parent;
  e.page = page;
  e.domain = domain;
  std::ranges::copy(tokens, e.tokens.begin());
  Entry& p = nodes_[parent];
  if (p.children++ == 0 && parent != kRoot) leaves_.erase({p.value, parent});
  by_hash_.emplace(e.hash, node);
  cache_.keep(page);
  ++kept_;
  set_value(node);
  return node;
}

void PrefixCache::remove(Node node) {
  Entry& e = nodes_[node];
  leaves_.erase({e.value, node});
  const auto [begin, end] = by_hash_.equal_range(e.hash);
  by_hash_.erase(std::find_if(begin, end, [&](const auto& i) { return i.second == node; }));
  Entry& p = nodes_[e.parent];
  if (--p.children == 0 && e.parent != kRoot) leaves_.insert({p.value, e.parent});
  cache_.let_go(e.page);
  --kept_;
  unused_.push_back(node);
}

// Leaves whose page is in use are passed over: there are at most as many as sequences.
bool PrefixCache::evict_one() {
  const auto victim = std::ranges::find_if(
      leaves_, [&](const auto& leaf) { return !cache_.in_use(nodes_[leaf.second].page); });
  if (victim == leaves_.end()) return false;
  floor_ = std::max(floor_, victim->first);
  remove(victim->second);
  ++evictions_;
  return true;
}

bool PrefixCache::make_room(std::size_t pages) {
  while (cache_.pages_free() < pages) {
    if (!evict_one()) return false;
  }
  return true;
}

void PrefixCache::clear() {
  while (evict_one()) {
  }
}

}  // namespace holdfast::kvcache
