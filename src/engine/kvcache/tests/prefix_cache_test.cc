// Oracle: a plain list of (domain, tokens) chains, and the invariants of the cache's books.
#include "holdfast/kvcache/prefix_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

namespace holdfast::kvcache {
namespace {

constexpr KvLayout kLayout{
    .n_layers = 1, .n_kv_heads = 1, .k_dim = 16, .v_dim = 16, .type = KvType::kF16};
constexpr std::size_t kPage = PagedKvCache::kPageTokens;

using Tokens = std::array<std::int32_t, kPage>;

Tokens page_of_text(std::int32_t salt) {
  Tokens out{};
  for (std::size_t i = 0; i < kPage; ++i) out[i] = salt * 1000 + static_cast<std::int32_t>(i);
  return out;
}

struct Fixture {
  explicit Fixture(std::size_t pages, std::size_t kept = 64)
      : cache(PagedKvCache::create(kLayout, pages).value()), prefixes(*cache, {kept, 42}) {}

  // A sequence with so many full pages.
  SequenceId computed(std::size_t pages) {
    const SequenceId id = cache->open().value();
    EXPECT_TRUE(cache->reserve(id, pages * kPage).ok());
    cache->set_length(id, pages * kPage);
    return id;
  }
  std::uint32_t page(SequenceId id, std::size_t i) const { return cache->page_of(id, i * kPage); }

  std::unique_ptr<PagedKvCache> cache;
  PrefixCache prefixes;
};

TEST(PrefixCache, FindsWhatWasInsertedInItsPlaceAndDomainOnly) {
  Fixture f(8);
  const SequenceId a = f.computed(2);
  const auto first = f.prefixes.insert(PrefixCache::kRoot, "a", page_of_text(1), f.page(a, 0));
  ASSERT_TRUE(first.has_value());
  const auto second = f.prefixes.insert(*first, "a", page_of_text(2), f.page(a, 1));
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(f.prefixes.find(PrefixCache::kRoot, "a", page_of_text(1)), first);
  EXPECT_EQ(f.prefixes.find(*first, "a", page_of_text(2)), second);
  EXPECT_FALSE(f.prefixes.find(PrefixCache::kRoot, "a", page_of_text(2)));
  EXPECT_FALSE(f.prefixes.find(PrefixCache::kRoot, "b", page_of_text(1)));
  EXPECT_FALSE(f.prefixes.find(*first, "b", page_of_text(2)));
  EXPECT_FALSE(f.prefixes.find(PrefixCache::kRoot, "", page_of_text(1)));
  Tokens almost = page_of_text(1);
  almost.back() += 1;
  EXPECT_FALSE(f.prefixes.find(PrefixCache::kRoot, "a", almost));
  EXPECT_EQ(f.prefixes.page(*second), f.page(a, 1));
}

TEST(PrefixCache, KeptPagesOutliveTheirSequenceAndAreNotWrittenAgain) {
  Fixture f(4);
  const SequenceId a = f.computed(1);
  const std::uint32_t page = f.page(a, 0);
  f.cache->pages(a)[0][0] = std::byte{7};
  ASSERT_TRUE(f.prefixes.insert(PrefixCache::kRoot, "a", page_of_text(1), page));
  f.cache->close(a);
  EXPECT_EQ(f.cache->pages_free(), 3u);
  EXPECT_EQ(f.cache->pages_in_use(), 0u);
  const SequenceId b = f.cache->open().value();
  f.cache->adopt(b, page);
  EXPECT_EQ(f.cache->length(b), kPage);
  EXPECT_EQ(f.cache->pages_in_use(), 1u);
  // Writing inside the kept page copies it.
  f.cache->truncate(b, 10);
  ASSERT_TRUE(f.cache->reserve(b, 11).ok());
  EXPECT_NE(f.page(b, 0), page);
  EXPECT_EQ(f.cache->pages(b)[0][0], std::byte{7});
  f.cache->close(b);
  EXPECT_EQ(f.cache->pages_free(), 3u);
}

TEST(PrefixCache, EvictsLeavesThatNobodyUsesTheLeastUsedFirst) {
  Fixture f(4);
  const SequenceId a = f.computed(4);
  std::array<PrefixCache::Node, 4> nodes{};
  nodes[0] = *f.prefixes.insert(PrefixCache::kRoot, "a", page_of_text(0), f.page(a, 0));
  nodes[1] = *f.prefixes.insert(nodes[0], "a", page_of_text(1), f.page(a, 1));
  nodes[2] = *f.prefixes.insert(PrefixCache::kRoot, "a", page_of_text(2), f.page(a, 2));
  nodes[3] = *f.prefixes.insert(PrefixCache::kRoot, "b", page_of_text(3), f.page(a, 3));
  EXPECT_FALSE(f.prefixes.make_room(1)) << "all are in use";
  f.cache->close(a);
  f.prefixes.used(nodes[1]);
  f.prefixes.used(nodes[3]);
  f.prefixes.used(nodes[3]);
  ASSERT_TRUE(f.prefixes.make_room(1));
  EXPECT_FALSE(f.prefixes.find(PrefixCache::kRoot, "a", page_of_text(2)));
  ASSERT_TRUE(f.prefixes.make_room(2));
  EXPECT_FALSE(f.prefixes.find(nodes[0], "a", page_of_text(1)));
  EXPECT_TRUE(f.prefixes.find(PrefixCache::kRoot, "a", page_of_text(0)));
  ASSERT_TRUE(f.prefixes.make_room(3));
  EXPECT_TRUE(f.prefixes.find(PrefixCache::kRoot, "b", page_of_text(3)));
  EXPECT_FALSE(f.prefixes.make_room(5)) << "there are only four";
  EXPECT_EQ(f.prefixes.pages_kept(), 0u);
  EXPECT_EQ(f.prefixes.evictions(), 4u);
}

TEST(PrefixCache, PopularityGrowsOld) {
  Fixture f(3);
  const SequenceId a = f.computed(1);
  const auto popular = *f.prefixes.insert(PrefixCache::kRoot, "a", page_of_text(0), f.page(a, 0));
  for (int i = 0; i < 20; ++i) f.prefixes.used(popular);
  f.cache->close(a);
  int survived = 0;
  for (std::int32_t i = 1; f.prefixes.find(PrefixCache::kRoot, "a", page_of_text(0)); ++i) {
    ASSERT_LT(i, 100);
    ++survived;
    ASSERT_TRUE(f.prefixes.make_room(1));
    const SequenceId s = f.computed(1);
    ASSERT_TRUE(f.prefixes.insert(PrefixCache::kRoot, "a", page_of_text(i), f.page(s, 0)));
    f.cache->close(s);
  }
  EXPECT_GT(survived, 10);
}

TEST(PrefixCache, KeepsNoMoreThanItMay) {
  for (const std::size_t most : {0u, 1u, 3u}) {
    Fixture f(8, most);
    for (std::int32_t i = 0; i < 6; ++i) {
      const SequenceId s = f.computed(1);
      const auto node = f.prefixes.insert(PrefixCache::kRoot, "a", page_of_text(i), f.page(s, 0));
      EXPECT_EQ(node.has_value(), most > 0);
      f.cache->close(s);
      EXPECT_LE(f.prefixes.pages_kept(), most);
    }
    EXPECT_EQ(f.prefixes.pages_kept(), most);
  }
}

TEST(PrefixCache, RefusesWhatFindsNoRoomBecauseAllIsInUse) {
  Fixture f(4, 1);
  const SequenceId a = f.computed(2);
  const auto first = f.prefixes.insert(PrefixCache::kRoot, "a", page_of_text(0), f.page(a, 0));
  ASSERT_TRUE(first);
  EXPECT_FALSE(f.prefixes.insert(*first, "a", page_of_text(1), f.page(a, 1)));
  EXPECT_TRUE(f.prefixes.find(PrefixCache::kRoot, "a", page_of_text(0)));
}

// Sequences of random tenants and texts come and go as the engine drives them.
TEST(PrefixCache, RandomOperationsKeepTheBooks) {
  struct Open {
    SequenceId id;
    std::string domain;
    std::vector<std::int32_t> text;  // a page each
  };
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    Fixture f(24, 10);
    std::vector<Open> open;
    std::map<std::uint32_t, std::pair<std::string, std::vector<std::int32_t>>> written;
    for (int step = 0; step < 500; ++step) {
      if (random() % 3 != 0 || open.empty()) {
        Open s{f.cache->open().value(), random() % 2 == 0 ? "a" : "b", {}};
        for (std::size_t i = 0, n = 1 + random() % 4; i < n; ++i)
          s.text.push_back(static_cast<std::int32_t>(random() % 3));
        PrefixCache::Node at = PrefixCache::kRoot;
        bool inserting = true;
        for (std::size_t i = 0; i < s.text.size(); ++i) {
          const Tokens tokens = page_of_text(s.text[i]);
          const std::vector<std::int32_t> chain(
              s.text.begin(), s.text.begin() + static_cast<std::ptrdiff_t>(i) + 1);
          const auto hit = inserting ? f.prefixes.find(at, s.domain, tokens)
                                     : std::optional<PrefixCache::Node>();
          if (hit) {
            ASSERT_EQ(written.at(f.prefixes.page(*hit)), std::pair(s.domain, chain));
            f.cache->adopt(s.id, f.prefixes.page(*hit));
            f.prefixes.used(at = *hit);
            continue;
          }
          if (!f.prefixes.make_room(1) || !f.cache->reserve(s.id, (i + 1) * kPage).ok()) break;
          f.cache->set_length(s.id, (i + 1) * kPage);
          const std::uint32_t page = f.page(s.id, i);
          written[page] = {s.domain, chain};
          const auto node = inserting ? f.prefixes.insert(at, s.domain, tokens, page)
                                      : std::optional<PrefixCache::Node>();
          inserting = node.has_value();
          if (node) at = *node;
        }
        open.push_back(std::move(s));
      } else {
        const std::size_t i = random() % open.size();
        f.cache->close(open[i].id);
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
      }
      std::set<const std::byte*> held;
      for (const Open& s : open) {
        for (const std::byte* page : f.cache->pages(s.id)) held.insert(page);
      }
      ASSERT_EQ(held.size(), f.cache->pages_in_use());
      ASSERT_LE(f.prefixes.pages_kept(), 10u);
      ASSERT_GE(f.cache->pages_free() + held.size() + f.prefixes.pages_kept(), 24u);
    }
    for (const Open& s : open) f.cache->close(s.id);
    f.prefixes.clear();
    EXPECT_EQ(f.prefixes.pages_kept(), 0u);
    EXPECT_EQ(f.cache->pages_free(), 24u);
  }
}

}  // namespace
}  // namespace holdfast::kvcache
