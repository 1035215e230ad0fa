// Oracles: hand arithmetic, and a search that tries every context.
#include "holdfast/footprint/fit.h"

#include <gmock/gmock.h>

#include <random>

#include "holdfast/footprint/kv_pages.h"

namespace holdfast::footprint {
namespace {

using ::testing::HasSubstr;

// Weights 1,000,000; 1,000 bytes a page; work space of 10 bytes a token and 5,000 besides.
FitRequest request() {
  FitRequest r;
  r.weights_bytes = 1'000'000;
  r.page_bytes = 1000;
  r.context_max = 4096;
  return r;
}

Result<std::uint64_t> scratch(std::uint32_t context) { return 5000 + 10 * std::uint64_t{context}; }

Fit fitted(const FitRequest& r) {
  auto result = fit(r, scratch);
  EXPECT_TRUE(std::holds_alternative<Fit>(result))
      << (std::holds_alternative<Fit>(result) ? "" : std::get<NoFit>(result).error.to_string());
  return std::holds_alternative<Fit>(result) ? std::get<Fit>(result) : Fit{};
}

NoFit refused(const FitRequest& r) {
  auto result = fit(r, scratch);
  if (auto* no = std::get_if<NoFit>(&result)) return std::move(*no);
  ADD_FAILURE() << "it fits";
  return {internal_error("it fits"), 0, 0};
}

// 4096 tokens are 128 pages: one context for each place, nine at most.
TEST(Fit, WithoutALimitThereIsAContextForEachPlace) {
  FitRequest r = request();
  for (const auto& [places, contexts] : {std::pair{1u, 1u}, {4u, 4u}, {9u, 9u}, {36u, 9u}}) {
    r.places = r.sequences = places;
    const Fit f = fitted(r);
    EXPECT_EQ(f.context, 4096u);
    EXPECT_EQ(f.pages, 128u * contexts);
    EXPECT_EQ(f.plan.weights_bytes, 1'000'000u);
    EXPECT_EQ(f.plan.kv_bytes, 128'000u * contexts);
    EXPECT_EQ(f.plan.scratch_bytes, 5000u + 40'960);
    EXPECT_FALSE(f.reduced);
  }
}

// One context needs 1,000,000 + 45,960 + 128,000 bytes.
TEST(Fit, TheLimitIsExact) {
  FitRequest r = request();
  r.context = 4096;
  r.limit_bytes = 1'173'960;
  EXPECT_EQ(fitted(r).plan.total_bytes(), 1'173'960u);
  r.limit_bytes -= 1;
  const NoFit no = refused(r);
  EXPECT_EQ(no.error.code(), ErrorCode::kExhausted);
  EXPECT_EQ(no.limit_bytes, 1'173'959u);
  EXPECT_EQ(no.needed_bytes, 1'173'960u);
  EXPECT_THAT(no.error.to_string(),
              HasSubstr("model does not fit: 1.2 MB needed (weights 1.0 MB, KV cache 128 kB for "
                        "a context of 4096, scratch 46.0 kB), 1.2 MB available; the largest "
                        "context that fits is 4064"));
}

// A context that was asked for is never cut down; the model's own is, down to what is worth having.
TEST(Fit, OnlyTheModelsOwnContextIsReduced) {
  FitRequest r = request();
  r.limit_bytes = 1'000'000 + 5000 + 5120 + 16'000;  // exactly 512 tokens, 16 pages
  const Fit f = fitted(r);
  EXPECT_EQ(f.context, 512u);
  EXPECT_TRUE(f.reduced);
  r.context = 1024;
  EXPECT_THAT(refused(r).error.to_string(), HasSubstr("largest context that fits is 512"));
  r.context = 0;
  r.limit_bytes -= 1;  // 480 would fit
  EXPECT_THAT(refused(r).error.to_string(), HasSubstr("largest context that fits is 480"));
  r.limit_bytes = 1;
  EXPECT_THAT(refused(r).error.to_string(), HasSubstr("no context fits"));
}

TEST(Fit, TheCacheHasALimitOfItsOwn) {
  FitRequest r = request();
  r.places = r.sequences = 8;
  r.kv_bytes_max = 300'500;
  EXPECT_EQ(fitted(r).pages, 300u);
  r.kv_bytes_max = 64'999;  // 64 pages are 2048 tokens
  const Fit f = fitted(r);
  EXPECT_EQ(f.context, 2048u);
  EXPECT_TRUE(f.reduced);
  r.context = 2080;
  EXPECT_THAT(refused(r).error.to_string(), HasSubstr(", of which 65.0 kB for the KV cache"));
}

// A third of the limit at most, where nothing is said: 6,000,000 / 3 / 1000 = 2000 pages, of which
// 4 contexts of 128 are wanted, 36 would be more.
TEST(Fit, PlannedPagesAreAThirdOfTheLimitAtMost) {
  FitRequest r = request();
  r.limit_bytes = 1'800'000;
  r.places = r.sequences = 9;
  EXPECT_EQ(fitted(r).pages, 600u);
  r.places = r.sequences = 4;
  EXPECT_EQ(fitted(r).pages, 512u);
}

// Capacity is one tenant's, guests come on top: 8000 tokens * 9 / 8 = 9000 = 282 pages.
TEST(Fit, CapacityThatWasAskedFor) {
  FitRequest r = request();
  r.sequences = 8;
  r.places = 9;
  r.kv_tokens = 8000;
  EXPECT_EQ(fitted(r).pages, 282u);
  r.kv_tokens = 100;  // one context at least
  EXPECT_EQ(fitted(r).pages, 128u);
  r.kv_tokens = 1u << 30;
  r.limit_bytes = 1'200'000;  // 154 pages are left
  EXPECT_EQ(fitted(r).pages, 154u);
  r.limit_bytes = 0;
  EXPECT_EQ(fitted(r).pages, kPagesMax);
}

TEST(Fit, AnErrorOfTheWorkSpaceIsTheAnswer) {
  const auto result = fit(request(), [](std::uint32_t) -> Result<std::uint64_t> {
    return unsupported("heads are not whole blocks");
  });
  ASSERT_TRUE(std::holds_alternative<NoFit>(result));
  EXPECT_EQ(std::get<NoFit>(result).error.code(), ErrorCode::kUnsupported);
  EXPECT_EQ(std::get<NoFit>(result).needed_bytes, 0u);
}

// The largest multiple of a page that fits, by trying each.
TEST(Fit, TheReducedContextIsTheLargest) {
  std::mt19937 random(7);
  for (int i = 0; i < 500; ++i) {
    FitRequest r = request();
    r.page_bytes = 64 + random() % 5000;
    r.context_max = 512 + random() % 20'000;
    r.limit_bytes = 1'000'000 + random() % 1'000'000;
    r.kv_bytes_max = random() % 2 == 0 ? 0 : 1 + random() % 500'000;
    const auto fits = [&](std::uint32_t context) {
      const std::uint64_t kv = kv_pages_for(context) * r.page_bytes;
      return 1'000'000 + *scratch(context) + kv <= r.limit_bytes &&
             (r.kv_bytes_max == 0 || kv <= r.kv_bytes_max);
    };
    std::uint32_t best = fits(r.context_max) ? r.context_max : 0;
    for (std::uint32_t c = r.context_max / kPageTokens * kPageTokens; best == 0 && c > 0;
         c -= kPageTokens) {
      if (fits(c)) best = c;
    }
    const auto result = fit(r, scratch);
    EXPECT_EQ(std::holds_alternative<Fit>(result), best >= kContextWorthHaving) << i;
    if (const Fit* f = std::get_if<Fit>(&result)) {
      EXPECT_EQ(f->context, best) << i;
      EXPECT_LE(f->plan.total_bytes(), r.limit_bytes) << i;
      EXPECT_GE(f->pages, kv_pages_for(best)) << i;
    }
  }
}

}  // namespace
}  // namespace holdfast::footprint
