#include "holdfast/router/memory_level.h"

#include <gtest/gtest.h>

namespace holdfast::router {
namespace {

TEST(MemoryLevelTest, BeginsExactlyAtItsPart) {
  EXPECT_EQ(memory_level(0), MemoryLevel::kNormal);
  EXPECT_EQ(memory_level(0.7999), MemoryLevel::kNormal);
  EXPECT_EQ(memory_level(0.80), MemoryLevel::kKeepNothing);
  EXPECT_EQ(memory_level(0.8999), MemoryLevel::kKeepNothing);
  EXPECT_EQ(memory_level(0.90), MemoryLevel::kNoBatch);
  EXPECT_EQ(memory_level(0.9499), MemoryLevel::kNoBatch);
  EXPECT_EQ(memory_level(0.95), MemoryLevel::kNoNew);
  EXPECT_EQ(memory_level(0.9899), MemoryLevel::kNoNew);
  EXPECT_EQ(memory_level(0.99), MemoryLevel::kShed);
  EXPECT_EQ(memory_level(1), MemoryLevel::kShed);
}

TEST(MemoryLevelTest, CountsWhatTheEnginesWereNotPromised) {
  EXPECT_DOUBLE_EQ(memory_in_use(100, 40, 0), 0.6);
  // 60 are promised; of the other 40, 30 are left.
  EXPECT_DOUBLE_EQ(memory_in_use(100, 30, 60), 0.25);
  // What was promised may not be touched yet.
  EXPECT_DOUBLE_EQ(memory_in_use(100, 90, 60), 0);
  EXPECT_DOUBLE_EQ(memory_in_use(100, 0, 60), 1);
  // A twentieth is always counted as room.
  EXPECT_DOUBLE_EQ(memory_in_use(100, 5, 100), 0);
  EXPECT_DOUBLE_EQ(memory_in_use(100, 1, 1000), 0.8);
  EXPECT_DOUBLE_EQ(memory_in_use(0, 0, 0), 0);  // nobody knows
}

}  // namespace
}  // namespace holdfast::router
