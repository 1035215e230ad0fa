#include "holdfast/kvcache/paged_kv_cache.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "holdfast/base/checked.h"

namespace holdfast::kvcache {

namespace {

// Bound what one page can be, so that the arithmetic below cannot overflow.
constexpr std::uint32_t kLayersMax = 4096;
constexpr std::uint32_t kHeadsMax = 4096;
constexpr std::uint32_t kDimMax = 4096;

bool in_range(std::uint32_t value, std::uint32_t max) { return value > 0 && value <= max; }

}  // namespace

PagedKvCache::PagedKvCache(const KvLayout& layout, std::size_t pages)
    : layout_(layout),
      k_bytes_(footprint::kv_block_bytes(layout, layout.k_dim)),
      layer_bytes_(k_bytes_ + footprint::kv_block_bytes(layout, layout.v_dim)),
      page_bytes_(page_bytes(layout)),
      pages_total_(pages) {}

PagedKvCache::~PagedKvCache() = default;

Result<std::unique_ptr<PagedKvCache>> PagedKvCache::create(const KvLayout& layout,
                                                           std::size_t pages,
                                                           platform::MemoryBudget* budget,
                                                           platform::MemoryLock lock) {
  if (!in_range(layout.n_layers, kLayersMax) || !in_range(layout.n_kv_heads, kHeadsMax) ||
      !in_range(layout.k_dim, kDimMax) || !in_range(layout.v_dim, kDimMax)) {
    return invalid_argument("the shape of the key-value cache is out of range");
  }
  if (!footprint::kv_dim_fits(layout.type, layout.k_dim) ||
      !footprint::kv_dim_fits(layout.type, layout.v_dim)) {
    return unsupported(
        "unsupported kv_type: quantised keys and values need heads of a multiple of " +
        std::to_string(footprint::kKvBlock) + " dimensions; use f16");
  }
  if (pages == 0 || pages > kPagesMax) {
    return invalid_argument("the key-value cache must have between 1 and " +
                            std::to_string(kPagesMax) + " pages");
  }
  std::unique_ptr<PagedKvCache> cache(new PagedKvCache(layout, pages));
  const auto bytes = checked_mul<std::uint64_t>(cache->page_bytes_, pages);
  if (!bytes || *bytes > SIZE_MAX / 2) return exhausted("the key-value cache is too large");
  HF_TRY_ASSIGN(cache->memory_, platform::LargeBuffer::allocate(*bytes, budget, {.lock = lock}));
  cache->used_.assign(pages, false);
  cache->references_.assign(pages, 0);
  cache->kept_.assign(pages, false);
  cache->free_.reserve(pages);
  // The stack hands out low addresses first.
  for (std::size_t i = pages; i-- > 0;) cache->free_.push_back(static_cast<std::uint32_t>(i));
  return cache;
}

PagedKvCache::Sequence& PagedKvCache::sequence(SequenceId id) {
  const auto index = static_cast<std::size_t>(id);
  HF_CHECK(index < sequences_.size() && sequences_[index].open);
  return sequences_[index];
}

const PagedKvCache::Sequence& PagedKvCache::sequence(SequenceId id) const {
  return const_cast<PagedKvCache*>(this)->sequence(id);
}

std::size_t PagedKvCache::page_index(const std::byte* page) const {
  return static_cast<std::size_t>(page - memory_.data()) / page_bytes_;
}

std::byte* PagedKvCache::take_page() {
  HF_CHECK(!free_.empty());
  const std::uint32_t index = free_.back();
  free_.pop_back();
  references_[index] = 1;
  ++pages_in_use_;
  std::byte* page = page_address(index);
  // A new owner never sees what another sequence left behind.
  if (used_[index]) std::memset(page, 0, page_bytes_);
  used_[index] = true;
  return page;
}

void PagedKvCache::drop_page(std::byte* page) {
  const std::size_t index = page_index(page);
  HF_CHECK(references_[index] > 0);
  if (--references_[index] > 0) return;
  --pages_in_use_;
  if (!kept_[index]) free_.push_back(static_cast<std::uint32_t>(index));
}

void PagedKvCache::share_page(std::byte* page) {
  if (references_[page_index(page)]++ == 0) ++pages_in_use_;
}

bool PagedKvCache::exclusive(const std::byte* page) const {
  const std::size_t index = page_index(page);
  return references_[index] == 1 && !kept_[index];
}

Result<SequenceId> PagedKvCache::open() {
  std::size_t index = 0;
  while (index < sequences_.size() && sequences_[index].open) ++index;
  if (index == kSequencesMax) return exhausted("too many open sequences");
  if (index == sequences_.size()) sequences_.emplace_back();
  sequences_[index].open = true;
  sequences_[index].length = 0;
  ++sequences_open_;
  return static_cast<SequenceId>(index);
}

void PagedKvCache::close(SequenceId id) {
  truncate(id, 0);
  sequence(id).open = false;
  --sequences_open_;
}

Status PagedKvCache::reserve(SequenceId id, std::size_t tokens) {
  Sequence& s = sequence(id);
  if (tokens <= s.length) return ok_status();
  const std::size_t have = s.pages.size();
  const std::size_t want = std::max(have, pages_for(tokens));
  const std::size_t first = s.length / kPageTokens;
  std::size_t shared = 0;
  for (std::size_t i = first; i < have; ++i) shared += exclusive(s.pages[i]) ? 0 : 1;
  if (want - have + shared > free_.size()) {
    return exhausted("the key-value cache is full", std::to_string(want - have + shared) +
                                                        " pages wanted, " +
                                                        std::to_string(free_.size()) + " of " +
                                                        std::to_string(pages_total_) + " free");
  }
  for (std::size_t i = first; i < have; ++i) {
    if (exclusive(s.pages[i])) continue;
    std::byte* copy = take_page();
    std::memcpy(copy, s.pages[i], page_bytes_);
    drop_page(s.pages[i]);
    s.pages[i] = copy;
  }
  while (s.pages.size() < want) s.pages.push_back(take_page());
  return ok_status();
}

std::size_t PagedKvCache::length(SequenceId id) const { return sequence(id).length; }

void PagedKvCache::set_length(SequenceId id, std::size_t tokens) {
  Sequence& s = sequence(id);
  HF_CHECK(tokens >= s.length && pages_for(tokens) <= s.pages.size());
  s.length = tokens;
}

void PagedKvCache::truncate(SequenceId id, std::size_t tokens) {
  Sequence& s = sequence(id);
  s.length = std::min(s.length, tokens);
  const std::size_t keep = pages_for(s.length);
  while (s.pages.size() > keep) {
    drop_page(s.pages.back());
    s.pages.pop_back();
  }
}

Result<SequenceId> PagedKvCache::fork(SequenceId source, std::size_t tokens) {
  HF_CHECK(tokens <= sequence(source).length);
  HF_TRY_ASSIGN(const SequenceId id, open());
  const Sequence& from = sequence(source);
  Sequence& to = sequence(id);
  to.length = tokens;
  to.pages.assign(from.pages.begin(),
                  from.pages.begin() + static_cast<std::ptrdiff_t>(pages_for(tokens)));
  for (std::byte* page : to.pages) share_page(page);
  return id;
}

std::uint32_t PagedKvCache::page_of(SequenceId id, std::size_t position) const {
  const Sequence& s = sequence(id);
  HF_CHECK(position / kPageTokens < s.pages.size());
  return static_cast<std::uint32_t>(page_index(s.pages[position / kPageTokens]));
}

void PagedKvCache::keep(std::uint32_t page) {
  HF_CHECK(page < pages_total_ && references_[page] > 0 && !kept_[page]);
  kept_[page] = true;
}

void PagedKvCache::let_go(std::uint32_t page) {
  HF_CHECK(page < pages_total_ && kept_[page]);
  kept_[page] = false;
  if (references_[page] == 0) free_.push_back(page);
}

void PagedKvCache::adopt(SequenceId id, std::uint32_t page) {
  Sequence& s = sequence(id);
  HF_CHECK(page < pages_total_ && kept_[page]);
  HF_CHECK(s.length == s.pages.size() * kPageTokens);
  share_page(page_address(page));
  s.pages.push_back(page_address(page));
  s.length += kPageTokens;
}

void PagedKvCache::replace(SequenceId id, std::size_t position, std::uint32_t page) {
  Sequence& s = sequence(id);
  const std::size_t i = position / kPageTokens;
  HF_CHECK(page < pages_total_ && kept_[page] && (i + 1) * kPageTokens <= s.length);
  share_page(page_address(page));
  drop_page(s.pages[i]);
  s.pages[i] = page_address(page);
}

std::span<std::byte* const> PagedKvCache::pages(SequenceId id) const { return sequence(id).pages; }

}  // namespace holdfast::kvcache
