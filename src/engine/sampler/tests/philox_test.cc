// Oracle: the known-answer vectors of Random123 (tests/kat_vectors, lines "philox4x32 10").
#include "holdfast/sampler/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace holdfast::sampler {
namespace {

TEST(Philox, KnownAnswers) {
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// The number is made of the first two words, 27 and 26 bits of them.
TEST(Philox, UniformTakesItsBitsFromTheFirstWords) {
  const double expected = ((0x6627e8d5 >> 5) * 67108864.0 + (0xe169c58d >> 6)) / 9007199254740992.0;
  EXPECT_EQ(uniform_at(0, 0, 0), expected);
  EXPECT_LT(uniform_at(0, 0, 0), 1.0);
}

TEST(Philox, SeedPositionAndChoiceAllCount) {
  std::set<double> seen;
  for (std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
    for (std::uint64_t position : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
      for (std::uint32_t choice : {0u, 1u}) seen.insert(uniform_at(seed, position, choice));
    }
  }
  EXPECT_EQ(seen.size(), 18u);
}

}  // namespace
}  // namespace holdfast::sampler
