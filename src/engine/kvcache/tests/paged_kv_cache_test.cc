#include "holdfast/kvcache/paged_kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>

namespace holdfast::kvcache {
namespace {

constexpr KvLayout kLayout{
    .n_layers = 2, .n_kv_heads = 3, .k_dim = 20, .v_dim = 24, .type = KvType::kF16};

std::unique_ptr<PagedKvCache> make(std::size_t pages) {
  auto cache = PagedKvCache::create(kLayout, pages);
  EXPECT_TRUE(cache.ok());
  return std::move(cache).value();
}

TEST(PagedKvCache, PageSizeFollowsTheLayout) {
  // Per layer 3 heads x 32 tokens x (20 + 24) halves, both blocks multiples of 64.
  EXPECT_EQ(PagedKvCache::page_bytes(kLayout), 2u * (3 * 32 * 20 * 2 + 3 * 32 * 24 * 2));
  KvLayout odd = kLayout;
  odd.n_kv_heads = 1;
  odd.k_dim = odd.v_dim = 1;
  odd.type = KvType::kF32;
  EXPECT_EQ(PagedKvCache::page_bytes(odd), 2u * 2 * 128);
  const auto cache = make(4);
  EXPECT_EQ(cache->k_offset(0), 0u);
  EXPECT_EQ(cache->v_offset(0), 3u * 32 * 20 * 2);
  EXPECT_EQ(cache->k_offset(1), PagedKvCache::page_bytes(kLayout) / 2);
}

TEST(PagedKvCache, RefusesAbsurdShapes) {
  EXPECT_FALSE(PagedKvCache::create(kLayout, 0).ok());
  EXPECT_FALSE(PagedKvCache::create(kLayout, PagedKvCache::kPagesMax + 1).ok());
  for (auto field :
       {&KvLayout::n_layers, &KvLayout::n_kv_heads, &KvLayout::k_dim, &KvLayout::v_dim}) {
    for (const std::uint32_t value : {0u, 5000u, UINT32_MAX}) {
      KvLayout bad = kLayout;
      bad.*field = value;
      const auto cache = PagedKvCache::create(bad, 1);
      ASSERT_FALSE(cache.ok());
      EXPECT_EQ(cache.error().code(), ErrorCode::kInvalidArgument);
    }
  }
}

TEST(PagedKvCache, ReserveIsAllOrNothing) {
  const auto cache = make(3);
  const SequenceId a = cache->open().value();
  ASSERT_TRUE(cache->reserve(a, 33).ok());
  EXPECT_EQ(cache->pages_free(), 1u);
  EXPECT_EQ(cache->pages(a).size(), 2u);
  const SequenceId b = cache->open().value();
  const Status full = cache->reserve(b, 64);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code(), ErrorCode::kExhausted);
  EXPECT_EQ(cache->pages_free(), 1u);
  EXPECT_TRUE(cache->pages(b).empty());
  cache->close(a);
  EXPECT_TRUE(cache->reserve(b, 96).ok());
  EXPECT_EQ(cache->pages_free(), 0u);
}

TEST(PagedKvCache, TruncateGivesPagesBack) {
  const auto cache = make(4);
  const SequenceId a = cache->open().value();
  ASSERT_TRUE(cache->reserve(a, 100).ok());
  cache->set_length(a, 100);
  cache->truncate(a, 32);
  EXPECT_EQ(cache->pages(a).size(), 1u);
  EXPECT_EQ(cache->length(a), 32u);
  cache->truncate(a, 50);
  EXPECT_EQ(cache->length(a), 32u);
}

TEST(PagedKvCache, ForkSharesAndCopiesOnWrite) {
  const auto cache = make(4);
  const SequenceId a = cache->open().value();
  ASSERT_TRUE(cache->reserve(a, 40).ok());
  cache->set_length(a, 40);
  std::memset(cache->pages(a)[1], 0x5a, 16);
  const SequenceId b = cache->fork(a, 40).value();
  EXPECT_EQ(cache->pages_free(), 2u);
  EXPECT_EQ(cache->pages(a)[0], cache->pages(b)[0]);
  ASSERT_TRUE(cache->reserve(b, 41).ok());
  EXPECT_EQ(cache->pages(a)[0], cache->pages(b)[0]) << "a full page stays shared";
  ASSERT_NE(cache->pages(a)[1], cache->pages(b)[1]);
  EXPECT_EQ(std::memcmp(cache->pages(a)[1], cache->pages(b)[1], 16), 0);
  EXPECT_EQ(cache->pages_free(), 1u);
  cache->close(a);
  EXPECT_EQ(cache->pages_free(), 2u);
  cache->close(b);
  EXPECT_EQ(cache->pages_free(), 4u);
}

TEST(PagedKvCache, ForkAtAPageBorderCopiesNothing) {
  const auto cache = make(2);
  const SequenceId a = cache->open().value();
  ASSERT_TRUE(cache->reserve(a, 32).ok());
  cache->set_length(a, 32);
  const SequenceId b = cache->fork(a, 32).value();
  ASSERT_TRUE(cache->reserve(b, 33).ok());
  EXPECT_EQ(cache->pages(a)[0], cache->pages(b)[0]);
}

TEST(PagedKvCache, ReusedPagesAreZero) {
  const auto cache = make(1);
  const SequenceId a = cache->open().value();
  ASSERT_TRUE(cache->reserve(a, 1).ok());
  std::memset(cache->pages(a)[0], 0xff, PagedKvCache::page_bytes(kLayout));
  cache->close(a);
  const SequenceId b = cache->open().value();
  ASSERT_TRUE(cache->reserve(b, 1).ok());
  const std::byte* page = cache->pages(b)[0];
  for (std::size_t i = 0; i < PagedKvCache::page_bytes(kLayout); ++i)
    ASSERT_EQ(page[i], std::byte{0}) << i;
}

// Oracle: a model that counts, for every page, the sequences that hold it.
TEST(PagedKvCache, RandomOperationsKeepTheBooks) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto cache = make(24);
    std::vector<SequenceId> open;
    for (int step = 0; step < 400; ++step) {
      const auto pick = [&] { return random() % open.size(); };
      switch (random() % 5) {
        case 0:
          open.push_back(cache->open().value());
          break;
        case 1:
        case 2: {
          if (open.empty()) break;
          const SequenceId id = open[pick()];
          const std::size_t want = cache->length(id) + random() % 70;
          if (cache->reserve(id, want).ok() && want > cache->length(id))
            cache->set_length(id, want);
          break;
        }
        case 3: {
          if (open.empty()) break;
          const SequenceId id = open[pick()];
          if (random() % 2 == 0) {
            cache->truncate(id, random() % 100);
          } else {
            open.push_back(cache->fork(id, random() % (cache->length(id) + 1)).value());
          }
          break;
        }
        default: {
          if (open.empty()) break;
          const std::size_t i = pick();
          cache->close(open[i]);
          open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
        }
      }
      std::set<const std::byte*> held;
      for (const SequenceId id : open) {
        ASSERT_GE(cache->pages(id).size(), PagedKvCache::pages_for(cache->length(id)));
        for (const std::byte* page : cache->pages(id)) held.insert(page);
      }
      ASSERT_EQ(held.size() + cache->pages_free(), cache->pages_total());
      ASSERT_EQ(cache->sequences_open(), open.size());
    }
  }
}

}  // namespace
}  // namespace holdfast::kvcache
