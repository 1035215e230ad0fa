#include "page_grants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

namespace holdfast::runtime {
namespace {

constexpr std::size_t kPages = 24;

// The definition itself: some order in which everybody can end.
bool some_order_works(std::size_t available, const std::vector<PageClaim>& claims) {
  std::vector<std::size_t> order(claims.size());
  std::iota(order.begin(), order.end(), 0);
  do {
    std::size_t free = available;
    std::multiset<std::uint32_t> held;
    for (const PageClaim& c : claims) held.insert(c.pages.begin(), c.pages.end());
    const bool works = std::ranges::all_of(order, [&](std::size_t i) {
      if (claims[i].need > free) return false;
      free += claims[i].granted;
      for (const std::uint32_t page : claims[i].pages) {
        held.erase(held.find(page));
        free += held.contains(page) ? 0 : 1;
      }
      return true;
    });
    if (works) return true;
  } while (std::ranges::next_permutation(order).found);
  return false;
}

// A machine of kPages pages, of which some are shared.
std::vector<PageClaim> draw(std::mt19937& random, std::size_t& available) {
  std::vector<PageClaim> claims(1 + random() % 5);
  std::uint32_t next = 0;
  std::set<std::uint32_t> used;
  const std::uint32_t shared = random() % 4;
  for (PageClaim& c : claims) {
    for (std::uint32_t page = 0; page < shared && random() % 2 == 0; ++page)
      c.pages.push_back(page);
    for (std::uint32_t n = random() % 4; n > 0; --n) c.pages.push_back(4 + next++);
    used.insert(c.pages.begin(), c.pages.end());
    c.need = random() % 10;
  }
  available = std::min<std::size_t>(kPages - used.size(), random() % 12);
  return claims;
}

TEST(PageGrants, SafeIsWhatSomeOrderShows) {
  std::mt19937 random(1);
  int safe = 0;
  for (int i = 0; i < 20000; ++i) {
    std::size_t available = 0;
    const std::vector<PageClaim> claims = draw(random, available);
    const bool expected = some_order_works(available, claims);
    ASSERT_EQ(all_can_end(available, claims, kPages), expected) << i;
    safe += expected ? 1 : 0;
  }
  EXPECT_GT(safe, 4000);
  EXPECT_LT(safe, 16000);
}

TEST(PageGrants, InASafeStateSomebodyCanAlwaysGoOnAndItStaysSafe) {
  std::mt19937 random(2);
  for (int i = 0; i < 5000; ++i) {
    std::size_t available = 0;
    std::vector<PageClaim> claims = draw(random, available);
    if (!all_can_end(available, claims, kPages)) continue;
    std::size_t needs = 0;
    for (const PageClaim& c : claims) needs += c.need;
    if (needs == 0) continue;
    PageGrants grants(available, kPages, needs);
    grants.set_claims(claims);
    // Who needs nothing more goes on without being asked.
    bool any = std::ranges::any_of(claims, [](const PageClaim& c) { return c.need == 0; });
    for (std::size_t turn = 0; turn < 20; ++turn) {
      const std::size_t who = random() % claims.size();
      if (claims[who].need == 0 || !grants.take(who, 1)) continue;
      any = true;
      --available;
      --claims[who].need;
      ++claims[who].granted;
      ASSERT_TRUE(all_can_end(available, claims, kPages));
    }
    for (std::size_t who = 0; !any && who < claims.size(); ++who)
      any = claims[who].need > 0 && grants.take(who, 1);
    ASSERT_TRUE(any) << i;
  }
}

TEST(PageGrants, NothingIsTakenBeyondWhatIsThere) {
  PageGrants grants(2, kPages, 9);
  grants.set_claims({{{0, 1, 2}, 0, 2}, {{3, 4}, 0, 5}});
  EXPECT_FALSE(grants.take(1, 1));  // the first could not end any more
  EXPECT_TRUE(grants.take(0, 2));
  EXPECT_FALSE(grants.take(1, 1));
}

}  // namespace
}  // namespace holdfast::runtime
