// Oracle: a search over all earlier positions.
#include "ngram_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace holdfast::runtime {
namespace {

using Tokens = std::vector<std::int32_t>;

// The longest match for the end of the tokens, by looking everywhere.
std::size_t longest_match(const Tokens& t) {
  std::size_t best = 0;
  for (std::size_t next = 1; next < t.size(); ++next) {
    std::size_t n = 0;
    while (n < next && n < NgramIndex::kMatchTokensMax && t[next - 1 - n] == t[t.size() - 1 - n])
      ++n;
    best = std::max(best, n);
  }
  return best;
}

Tokens random_tokens(std::size_t n, int kinds, unsigned seed) {
  std::mt19937 random(seed);
  Tokens out;
  for (std::size_t i = 0; i < n; ++i)
    out.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(kinds)));
  return out;
}

TEST(NgramIndex, MatchesAreTrueAndFoundWhereverOneExists) {
  for (const int kinds : {1, 2, 3, 20, 1000}) {
    const Tokens all = random_tokens(600, kinds, 7);
    NgramIndex index;
    for (std::size_t n = 1; n <= all.size(); ++n) {
      const Tokens seen(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n));
      index.extend(seen);
      const auto& match = index.match();
      const std::size_t longest = longest_match(seen);
      // Tables that hold every position displace a lead only by one of equal hash.
      if (longest < NgramIndex::kShort) {
        EXPECT_FALSE(match) << kinds << " " << n;
        continue;
      }
      if (!match) continue;
      ASSERT_LT(match->next, n);
      ASSERT_GE(match->length, NgramIndex::kShort);
      ASSERT_LE(match->length, longest);
      for (std::size_t i = 1; i <= match->length; ++i)
        ASSERT_EQ(seen[match->next - i], seen[n - i]) << kinds << " " << n;
    }
  }
}

// Of the leads to a quotation's first tokens one may be displaced, not all; and once found it is
// followed without them.
TEST(NgramIndex, FollowsAQuotationFromItsFirstTokensOn) {
  Tokens t = random_tokens(500, 1 << 20, 3);
  const Tokens source(t.begin() + 100, t.begin() + 200);
  NgramIndex index;
  for (std::size_t i = 0; i < source.size(); ++i) {
    t.push_back(source[i]);
    index.extend(t);
    if (i < 4) continue;
    ASSERT_TRUE(index.match()) << i;
    EXPECT_EQ(index.match()->next, 101 + i);
    EXPECT_EQ(index.match()->length, std::min<std::size_t>(i + 1, NgramIndex::kMatchTokensMax));
    if (i + 1 < source.size()) {
      EXPECT_EQ(continuation(t, *index.match(), 1), Tokens{source[i + 1]});
    }
  }
}

TEST(NgramIndex, TheOccurrenceThatWasRightBeatsALaterShorterOne) {
  // "7 8 9 5" continued by 1, then "0 9 5" continued by 2; what follows "7 8 9 5" is 1.
  Tokens t = {7, 8, 9, 5, 1, 30, 0, 9, 5, 2, 31};
  NgramIndex index;
  for (const std::int32_t next : {7, 8, 9, 5}) {
    t.push_back(next);
    index.extend(t);
  }
  ASSERT_TRUE(index.match());
  EXPECT_EQ(continuation(t, *index.match(), 1), Tokens{1});
}

TEST(NgramIndex, AllAtOnceEqualsOneByOne) {
  const Tokens all = random_tokens(3000, 12, 5);
  NgramIndex once;
  once.extend(all);
  NgramIndex steps;
  for (std::size_t n = 1; n <= all.size(); ++n) steps.extend(std::span(all).first(n));
  ASSERT_TRUE(once.match());
  ASSERT_TRUE(steps.match());
  // Displaced leads may differ with the growth of the tables, the evidence may not be worse.
  EXPECT_EQ(once.match()->length, steps.match()->length);
}

TEST(NgramIndex, MemoryIsBoundedAndLongSequencesStillMatch) {
  Tokens all = random_tokens(300'000, 50'000, 2);
  NgramIndex index;
  index.extend(all);
  EXPECT_LE(index.bytes(), 2 * NgramIndex::kTableEntriesMax * sizeof(std::uint32_t));
  // The last tokens said again.
  const Tokens tail(all.end() - 40, all.end() - 20);
  for (const std::int32_t t : tail) all.push_back(t);
  index.extend(all);
  ASSERT_TRUE(index.match());
  EXPECT_EQ(index.match()->next, 300'000u - 20);
  NgramIndex small;
  small.extend(std::span(all).first(10));
  EXPECT_LE(small.bytes(), 4096u);
}

TEST(NgramIndex, NothingFollowsTheFirstTokens) {
  NgramIndex index;
  index.extend({});
  EXPECT_FALSE(index.match());
  const Tokens t = {5, 5};
  index.extend(std::span(t).first(1));
  EXPECT_FALSE(index.match());
  index.extend(t);
  EXPECT_FALSE(index.match());  // one token before it, too short
}

TEST(Continuation, GoesRoundInItself) {
  const Tokens t = {9, 1, 2, 3, 1, 2, 3};
  EXPECT_EQ(continuation(t, {.next = 4, .length = 3}, 7), (Tokens{1, 2, 3, 1, 2, 3, 1}));
  EXPECT_EQ(continuation(t, {.next = 4, .length = 3}, 0), Tokens{});
}

TEST(Continuation, SaysOnlyWhatOccurred) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const Tokens t = random_tokens(200, 40, seed);
    NgramIndex index;
    index.extend(t);
    if (!index.match()) continue;
    for (const std::int32_t guess : continuation(t, *index.match(), 64))
      EXPECT_NE(std::find(t.begin(), t.end(), guess), t.end());
  }
}

}  // namespace
}  // namespace holdfast::runtime
