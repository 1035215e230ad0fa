#include <gtest/gtest.h>

#include <algorithm>

#include "holdfast/platform/huge_memory.h"

namespace holdfast::platform {
namespace {

TEST(LargeBuffer, AlignedZeroedAndCounted) {
  MemoryBudget budget(10u << 20);
  {
    auto buffer = LargeBuffer::allocate(3'000'001, &budget);
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % kLargeBufferAlignment, 0u);
    EXPECT_EQ(buffer->size(), 3'000'001u);
    EXPECT_EQ(budget.used_bytes(), 3'000'001u);
    const auto is_zero = [](std::byte b) { return b == std::byte{0}; };
    EXPECT_TRUE(std::ranges::all_of(buffer->view(), is_zero));
    std::ranges::fill(buffer->bytes(), std::byte{7});
    buffer->discard();
    EXPECT_TRUE(std::ranges::all_of(buffer->view(), is_zero));
    LargeBuffer moved = std::move(*buffer);
    EXPECT_EQ(buffer->size(), 0u);
    EXPECT_EQ(budget.used_bytes(), 3'000'001u);
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
}

TEST(LargeBuffer, RefusalsKeepTheBudget) {
  MemoryBudget budget(1000);
  EXPECT_EQ(LargeBuffer::allocate(1001, &budget).error().code(), ErrorCode::kExhausted);
  EXPECT_TRUE(LargeBuffer::allocate(1000, &budget).ok());
  EXPECT_TRUE(LargeBuffer::allocate(0, &budget).ok());
  EXPECT_EQ(LargeBuffer::allocate(UINT64_MAX, nullptr).error().code(), ErrorCode::kExhausted);
  MemoryBudget endless(UINT64_MAX);
  EXPECT_EQ(LargeBuffer::allocate(std::uint64_t{1} << 60, &endless).error().code(),
            ErrorCode::kExhausted);
  EXPECT_EQ(budget.used_bytes() + endless.used_bytes(), 0u);
}

}  // namespace
}  // namespace holdfast::platform
