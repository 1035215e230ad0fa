// Finds special tokens spelled in a text and cuts the text at them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "holdfast/tokenizer/tokenizer.h"
#include "object.h"

namespace holdfast::tokenizer {

// A stretch of raw text, or one special token.
struct Fragment {
  std::uint32_t token = kNone;  // kNone: text
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

// Bytes [begin, end) of a text, in which control tokens are recognised.
struct Region {
  std::uint32_t begin;
  std::uint32_t end;
};

// Owner: the tokenizer, whose object it reads. Immutable; thread-safe.
class SpecialMatcher {
 public:
  explicit SpecialMatcher(const ObjectView& object);

  // The fragments of `text` in order. `regions` are disjoint and ascending. A token that comes
  // earlier in the object's order takes its places in the whole text before any later one looks;
  // among the places of one token the leftmost wins. User-defined tokens are recognised everywhere,
  // control and unknown ones inside a region.
  std::vector<Fragment> cut(std::string_view text, std::span<const Region> regions) const;

 private:
  struct Match {
    std::uint32_t order = kNone;  // index into the object's special tokens
    std::uint32_t length = 0;
  };
  struct Edge {
    std::uint64_t key;  // node << 8 | byte, plus 1 so that 0 is an empty slot
    std::uint32_t node;
  };

  void insert(std::uint32_t order);
  std::uint32_t child(std::uint32_t node, char byte) const;
  std::uint32_t add_child(std::uint32_t node, char byte);
  void grow_edges();
  // The longest token at `pos` shorter than `limit` bytes. Control tokens must end at or before
  // `region_end`.
  Match longest(std::string_view text, std::size_t pos, std::size_t limit,
                std::size_t region_end) const;

  const ObjectView* object_;
  std::vector<std::uint32_t> order_at_;  // per node: the token that ends there, or kNone
  std::vector<Edge> edges_;              // open addressing
  std::size_t edge_count_ = 0;
  std::array<bool, 256> starts_{};
};

}  // namespace holdfast::tokenizer
