// The measures of speed do the work that they count. Oracle: the closed form of their sums.
#include <algorithm>

#include "kernel_test_support.h"

namespace holdfast::kernels::testing {
namespace {

TEST(Peak, DotsAreAllComputed) {
  Random random(20);
  Guarded<std::uint8_t> bytes(64);
  std::uint64_t step = 0;
  for (std::size_t i = 0; i < 64; ++i) {
    bytes[i] = static_cast<std::uint8_t>(random() % 64);
    step += std::uint64_t{bytes[i]} * bytes[i];
  }
  for (const KernelTable* table : tables()) {
    for (const std::uint32_t rounds : {0u, 1u, 2u, 1001u}) {
      std::int32_t sum = -1;
      const std::uint64_t operations = table->peak_dot(bytes.data(), rounds, &sum);
      EXPECT_EQ(operations % (std::uint64_t{128} * std::max(rounds, 1u)), 0u) << table->isa;
      EXPECT_EQ(operations == 0, rounds == 0) << table->isa;
      EXPECT_EQ(static_cast<std::uint32_t>(sum),
                static_cast<std::uint32_t>(operations / 128 * step))
          << table->isa << ", " << rounds << " rounds";
    }
  }
}

TEST(Peak, FmaAreAllComputed) {
  for (const KernelTable* table : tables()) {
    for (const std::uint32_t rounds : {0u, 1u, 1000u}) {
      float sum = -1;
      const std::uint64_t operations = table->peak_fma(2.0f, rounds, &sum);
      // Whole numbers below 2^24: exact.
      EXPECT_EQ(sum, static_cast<float>(operations / 2 * 4)) << table->isa;
      EXPECT_EQ(operations == 0, rounds == 0) << table->isa;
    }
  }
}

}  // namespace
}  // namespace holdfast::kernels::testing
