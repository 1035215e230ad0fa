// PrefixCache: finds the pages of prompts that were computed before, so that a prompt that begins
// the same way costs only what comes after.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "holdfast/kvcache/paged_kv_cache.h"

namespace holdfast::kvcache {

struct PrefixCacheOptions {
  std::size_t pages_max = 0;  // kept at most; 0: nothing is ever kept
  std::uint64_t seed = 0;     // of the hash; from the entropy source, so that nobody can aim at it
};

// A tree of full pages. A node is one page after the pages of its ancestors, in one cache domain:
// the same tokens in two domains are two nodes, so nobody can tell by what is here, or by how long
// it takes, what another domain has asked. Nodes are found by a keyed hash of their place; on a hit
// the domain, the parent and all tokens are compared, so a collision costs a comparison and never a
// wrong page.
//
// Pages that no sequence uses are evicted leaf by leaf, the least valuable first. The value is that
// of GreedyDual-Size-Frequency (Cherkasova 1998; all pages are of one size and cost): the number of
// uses, plus the value of what was evicted last when it was used last, so that what was popular
// once grows old.
//
// Owned by the engine's loop, as the cache is, which outlives it.
class PrefixCache {
 public:
  // A place in the tree. Valid while a sequence holds the pages up to it.
  using Node = std::uint32_t;
  static constexpr Node kRoot = 0;
  using PageTokens = std::span<const std::int32_t, PagedKvCache::kPageTokens>;

  PrefixCache(PagedKvCache& cache, const PrefixCacheOptions& options);

  // The node behind `parent` with these tokens, if there is one.
  std::optional<Node> find(Node parent, std::string_view domain, PageTokens tokens) const;
  std::uint32_t page(Node node) const { return nodes_[node].page; }
  // Counts a use of a node: it is worth more from now on.
  void used(Node node);
  // Keeps a full page that a sequence has computed, behind `parent`, whose page the sequence holds
  // too. There must be no such node yet. nullopt: there is no room, for all that is kept is in use.
  std::optional<Node> insert(Node parent, std::string_view domain, PageTokens tokens,
                             std::uint32_t page);
  // Evicts until the cache has `pages` free ones, or nothing can be evicted. True: it has.
  bool make_room(std::size_t pages);
  // Evicts everything that no sequence uses.
  void clear();

  std::size_t pages_kept() const { return kept_; }
  std::uint64_t evictions() const { return evictions_; }

 private:
  struct Entry {
    std::uint64_t hash = 0;
    Node parent = kRoot;
    std::uint32_t page = 0;
    std::uint32_t children = 0;
    std::uint64_t uses = 0;
    double value = 0;
    std::string domain;
    std::array<std::int32_t, PagedKvCache::kPageTokens> tokens{};
  };

  std::uint64_t hash_of(Node parent, std::string_view domain, PageTokens tokens) const;
  bool evict_one();
  void remove(Node node);
  void set_value(Node node);

  PagedKvCache& cache_;
  const PrefixCacheOptions options_;
  std::vector<Entry> nodes_;  // [Node]; the first is the root
  std::vector<Node> unused_;
  std::unordered_multimap<std::uint64_t, Node> by_hash_;
  std::set<std::pair<double, Node>> leaves_;  // by value
  double floor_ = 0;                          // value of what was evicted last
  std::size_t kept_ = 0;
  std::uint64_t evictions_ = 0;
};

}  // namespace holdfast::kvcache
