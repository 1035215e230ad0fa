#include "holdfast/tensor/arena.h"

namespace holdfast::tensor {

Result<Arena> Arena::create(std::uint64_t bytes, platform::MemoryBudget* budget) {
  Arena arena;
  HF_TRY_ASSIGN(arena.memory_, platform::LargeBuffer::allocate(bytes, budget));
  arena.measuring_ = false;
  return arena;
}

void* Arena::take_bytes(std::uint64_t bytes) {
  const std::uint64_t at = used_;
  used_ += round_up<std::uint64_t>(bytes, kAlignment);
  if (measuring_) return nullptr;
  HF_CHECK(used_ <= memory_.size());
  return memory_.data() + at;
}

}  // namespace holdfast::tensor
