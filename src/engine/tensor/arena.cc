#include "holdfast/tensor/arena.h"

#include <algorithm>

namespace holdfast::tensor {

namespace {

// A step of few tokens writes the first rows of each array. With huge pages that zeroes 2 MiB per
// array, which a first token waits for and which stays resident; without, a few rows' worth. Up to
// this size the second-level TLB covers the memory anyway (2048 entries of 8 MiB on Zen 3, most of
// it used in passes that stream).
constexpr std::uint64_t kHugePagesFrom = std::uint64_t{64} << 20;

}  // namespace

bool Arena::wants_huge_pages(std::uint64_t bytes) { return bytes >= kHugePagesFrom; }

Result<Arena> Arena::create(std::uint64_t bytes, platform::MemoryBudget* budget) {
  Arena arena;
  HF_TRY_ASSIGN(arena.memory_, platform::LargeBuffer::allocate(
                                   bytes, budget, {.huge_pages = wants_huge_pages(bytes)}));
  arena.measuring_ = false;
  return arena;
}

void* Arena::take_bytes(std::uint64_t bytes) {
  const std::uint64_t at = used_;
  used_ += round_up<std::uint64_t>(bytes, kAlignment);
  peak_ = std::max(peak_, used_);
  if (measuring_) {
    arrays_.push_back({at, bytes});
    return nullptr;
  }
  HF_CHECK(used_ <= memory_.size());
  return memory_.data() + at;
}

}  // namespace holdfast::tensor
