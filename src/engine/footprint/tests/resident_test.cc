// Oracles: hand arithmetic, and a map of pages. What a kernel counts: tests/memory.
#include "holdfast/footprint/resident.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace holdfast::footprint {
namespace {

constexpr std::uint64_t kHuge = 2 * 1024 * 1024;

TEST(ResidentBytes, OfAPrefix) {
  EXPECT_EQ(resident_bytes(10 * kHuge, std::uint64_t{0}, true), 0u);
  EXPECT_EQ(resident_bytes(10 * kHuge, std::uint64_t{1}, true), kHuge);
  EXPECT_EQ(resident_bytes(10 * kHuge, std::uint64_t{1}, false), 4096u);
  EXPECT_EQ(resident_bytes(10 * kHuge, 3 * kHuge, true), 3 * kHuge);
  EXPECT_EQ(resident_bytes(10 * kHuge, 3 * kHuge + 1, true), 4 * kHuge);
  EXPECT_EQ(resident_bytes(10 * kHuge, 3 * kHuge + 1, false), 3 * kHuge + 4096);
  EXPECT_EQ(resident_bytes(5000, 1'000'000, true), 8192u);
}

// The last huge page would go beyond the buffer: small ones there.
TEST(ResidentBytes, TheEndOfABufferHasSmallPages) {
  EXPECT_EQ(resident_bytes(kHuge + 10'000, kHuge + 1, true), kHuge + 4096);
  EXPECT_EQ(resident_bytes(kHuge + 10'000, kHuge + 10'000, true), kHuge + 12'288);
  EXPECT_EQ(resident_bytes(2 * kHuge - 1, kHuge + 1, true), 2 * kHuge);
}

// Every page that a part reaches, once.
TEST(ResidentBytes, OfPartsIsTheUnionOfTheirPages) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const std::uint64_t buffer = 1 + random() % (6 * kHuge);
    const bool huge = random() % 2 == 0;
    std::vector<Touched> parts(random() % 6);
    std::set<std::uint64_t> pages;  // of 4096 bytes
    for (Touched& t : parts) {
      t.offset = random() % buffer;
      t.bytes = random() % (std::min<std::uint64_t>(buffer - t.offset, 300'000) + 1);
      if (t.bytes == 0) continue;
      for (std::uint64_t p = t.offset / 4096; p <= (t.offset + t.bytes - 1) / 4096; ++p) {
        const std::uint64_t first = p / 512 * 512;
        const bool whole = huge && (first + 512) * 4096 <= (buffer + 4095) / 4096 * 4096;
        for (std::uint64_t q = whole ? first : p; q <= (whole ? first + 511 : p); ++q)
          pages.insert(q);
      }
    }
    EXPECT_EQ(resident_bytes(buffer, parts, huge), pages.size() * 4096) << round;
  }
}

// Lengths of the tokenizer objects in packs of real models: 48,900 merges and 49,152 tokens in
// byte-level BPE (SmolLM2), 262,144 tokens with scores (Gemma 3), as `holdfast import` writes them.
TEST(VocabularyBytes, OfRealModels) {
  EXPECT_NEAR(static_cast<double>(vocabulary_bytes(49'152, 48'900, false)), 3'319'384,
              3'319'384 * 0.05);
  EXPECT_NEAR(static_cast<double>(vocabulary_bytes(262'144, 0, true)), 16'439'944,
              16'439'944 * 0.05);
}

TEST(ProcessBytes, GrowsByWhatEachPartTakes) {
  const ProcessShape one{.threads = 2, .pages = 1000, .sequences = 2, .context = 512};
  ProcessShape more = one;
  more.kept_bytes = 12'345;
  EXPECT_EQ(process_bytes(more) - process_bytes(one), 12'345u);
  more = one;
  more.pages += 10;  // 17 bytes each: two numbers of 4, an address of 8, two bits
  EXPECT_EQ(process_bytes(more) - process_bytes(one), 170u);
  more = one;
  more.context += 100;  // three numbers a token and sequence
  EXPECT_EQ(process_bytes(more) - process_bytes(one), 2u * 100 * 12);
  more = one;
  more.threads += 3;
  EXPECT_EQ(process_bytes(more) - process_bytes(one), 3u * 36 * 1024);
}

// 2 sequences of 100 tokens are 8 pages of 1,000,000 bytes: four huge pages, 8,388,608 bytes; of
// 4096 bytes 1954 pages.
TEST(PeakResident, IsTheSumOfItsParts) {
  ResidentRequest r;
  r.weights_bytes = 100'000'000;
  r.process = {.threads = 1, .kept_bytes = 0, .pages = 100, .sequences = 2, .context = 512};
  r.page_bytes = 1'000'000;
  r.filled_tokens = 100;
  r.scratch_bytes = 777;
  Resident out = predict_peak_resident(r);
  EXPECT_EQ(out.weights_bytes, 100'000'000u);
  EXPECT_EQ(out.kv_bytes, 8'388'608u);
  EXPECT_EQ(out.scratch_bytes, 777u);
  EXPECT_EQ(out.process_bytes, process_bytes(r.process));
  EXPECT_EQ(out.total_bytes(), 100'000'000 + 8'388'608 + 777 + out.process_bytes);
  r.huge_pages = false;
  EXPECT_EQ(predict_peak_resident(r).kv_bytes, 1954u * 4096);
  // More than there are cannot be touched.
  r.filled_tokens = 1u << 20;
  EXPECT_EQ(predict_peak_resident(r).kv_bytes, (100'000'000u + 4095) / 4096 * 4096);
}

}  // namespace
}  // namespace holdfast::footprint
