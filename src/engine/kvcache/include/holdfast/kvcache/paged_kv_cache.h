// PagedKvCache: keys and values of several sequences in pages of 32 tokens, shared between
// sequences by count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/footprint/kv_pages.h"
#include "holdfast/platform/huge_memory.h"

namespace holdfast::kvcache {

using footprint::KvLayout;
using footprint::KvType;

// A sequence of one cache: an index, valid from open() to close().
enum class SequenceId : std::uint32_t {};

// A page holds, for 32 consecutive positions and layer after layer,
//   K: [n_kv_heads] keys of 32 positions     (layouts: kernels/kv_types.h)
//   V: [n_kv_heads] values of 32 positions
// each block starting at a multiple of 64 bytes. A page is all zero when a sequence gets it.
//
// Owner: the engine loop, which alone calls the functions that change it (thread-compatible).
// During a forward pass the compute threads read the page tables and write disjoint positions of
// pages that reserve() made exclusive.
class PagedKvCache {
 public:
  static constexpr std::size_t kPageTokens = footprint::kPageTokens;
  // Bounds the page tables of a hostile or mistaken configuration: 2^22 pages are 134 M tokens.
  static constexpr std::size_t kPagesMax = std::size_t{1} << 22;
  static constexpr std::size_t kSequencesMax = 4096;

  // Bytes of one page. The layout must be one that create() accepts.
  static std::uint64_t page_bytes(const KvLayout& layout) {
    return footprint::kv_page_bytes(layout);
  }
  static std::size_t pages_for(std::size_t tokens) { return footprint::kv_pages_for(tokens); }

  // A cache of `pages` pages (memory is committed as pages are first written). kInvalidArgument for
  // an empty or absurd layout, kExhausted if the memory cannot be had, or not be locked as `lock`
  // demands.
  // `budget` may be null; otherwise it outlives the cache.
  static Result<std::unique_ptr<PagedKvCache>> create(
      const KvLayout& layout, std::size_t pages, platform::MemoryBudget* budget = nullptr,
      platform::MemoryLock lock = platform::MemoryLock::kOff);
  ~PagedKvCache();
  PagedKvCache(const PagedKvCache&) = delete;
  PagedKvCache& operator=(const PagedKvCache&) = delete;

  // An empty sequence. kExhausted above kSequencesMax.
  Result<SequenceId> open();
  // Gives back its pages; those that others share stay.
  void close(SequenceId id);
  // Makes positions [0, tokens) writable from the current length on: pages exist and the page that
  // the next token goes to is not shared (it is copied if it is). kExhausted if pages are lacking;
  // then nothing has changed.
  Status reserve(SequenceId id, std::size_t tokens);
  // Tokens whose keys and values are complete.
  std::size_t length(SequenceId id) const;
  // Called after a forward pass wrote positions up to `tokens` (<= reserved).
  void set_length(SequenceId id, std::size_t tokens);
  // Forgets positions from `tokens` on and gives back the pages behind them.
  void truncate(SequenceId id, std::size_t tokens);
  // A new sequence that starts with the first `tokens` (<= length) positions of `source`, sharing
  // its pages.
  Result<SequenceId> fork(SequenceId source, std::size_t tokens);

  // What a PrefixCache does. Pages are named by their index, [0, pages_total()).
  //
  // Page number `position / 32` of a sequence.
  std::uint32_t page_of(SequenceId id, std::size_t position) const;
  // A page stays, with its content, after the last sequence has given it back; until let_go().
  // From then on it is never written again: who would, gets a copy.
  void keep(std::uint32_t page);
  void let_go(std::uint32_t page);
  // Appends a kept page to a sequence whose length is a multiple of 32 and all of whose pages are
  // full.
  void adopt(SequenceId id, std::uint32_t page);
  // Puts a kept page with the same content in the place of a full page of the sequence.
  void replace(SequenceId id, std::size_t position, std::uint32_t page);
  bool in_use(std::uint32_t page) const { return references_[page] > 0; }

  const KvLayout& layout() const { return layout_; }
  std::size_t pages_total() const { return pages_total_; }
  // Whether its memory stays out of swap.
  bool locked() const { return memory_.locked(); }
  // Neither in use nor kept.
  std::size_t pages_free() const { return free_.size(); }
  // Of which sequences hold at least one reference. The rest of what is not free is kept only.
  std::size_t pages_in_use() const { return pages_in_use_; }
  std::size_t sequences_open() const { return sequences_open_; }
  std::uint64_t bytes() const { return page_bytes_ * pages_total_; }

  // Base addresses of the pages of a sequence, in order; valid until the next change of this
  // sequence.
  std::span<std::byte* const> pages(SequenceId id) const;
  // Where a layer's keys and values lie inside a page.
  std::size_t k_offset(std::size_t layer) const { return layer * layer_bytes_; }
  std::size_t v_offset(std::size_t layer) const { return layer * layer_bytes_ + k_bytes_; }

 private:
  struct Sequence {
    bool open = false;
    std::size_t length = 0;
    std::vector<std::byte*> pages;
  };

  PagedKvCache(const KvLayout& layout, std::size_t pages);
  Sequence& sequence(SequenceId id);
  const Sequence& sequence(SequenceId id) const;
  std::size_t page_index(const std::byte* page) const;
  std::byte* take_page();
  void drop_page(std::byte* page);
  void share_page(std::byte* page);
  bool exclusive(const std::byte* page) const;
  std::byte* page_address(std::uint32_t page) { return memory_.data() + page * page_bytes_; }

  KvLayout layout_;
  std::size_t k_bytes_ = 0;
  std::size_t layer_bytes_ = 0;
  std::uint64_t page_bytes_ = 0;
  std::size_t pages_total_ = 0;
  std::size_t sequences_open_ = 0;
  platform::LargeBuffer memory_;
  std::vector<bool> used_;                 // [page]: memory that was never used is zero already
  std::vector<std::uint32_t> references_;  // [page]: of sequences
  std::vector<bool> kept_;                 // [page]
  std::size_t pages_in_use_ = 0;
  std::vector<std::uint32_t> free_;  // stack of page indices
  std::vector<Sequence> sequences_;
};

}  // namespace holdfast::kvcache
