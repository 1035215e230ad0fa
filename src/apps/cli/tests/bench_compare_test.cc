// Reading and comparing results of `bench`. Oracles: figures worked out by hand, and properties of
// the interval (constant samples have none to spare; a scaled copy is off by its factor).
#include "holdfast/cli/bench_compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const char* const kLine =
    R"({"test":"prefill","n_prompt":512,"n_gen":0,"depth":0,"batch":1,"tokens_per_second":3,)"
    R"("repetitions":[4,2,3],"threads":2,"isa":"avx2","logits_sha256":"ab",)"
    R"("limits":{"placement":"near","barrier_ns":30.5}})";

BenchFile parsed(const std::string& text) {
  auto file = parse_bench_file(text);
  EXPECT_TRUE(file.ok()) << file.error().to_string();
  return file.ok() ? *file : BenchFile{};
}

std::string error_of(const std::string& text) {
  const auto file = parse_bench_file(text);
  if (file.ok()) return "accepted";
  EXPECT_EQ(file.error().code(), ErrorCode::kInvalidArgument);
  return file.error().client_message();
}

BenchFile file_of(std::vector<double> rates) {
  BenchFile f;
  f.rates[{"decode", 0, 64, 0, 1}] = std::move(rates);
  return f;
}

BenchRatio ratio_of(std::vector<double> a, std::vector<double> b) {
  const BenchComparison c = compare_benches(file_of(std::move(a)), file_of(std::move(b)));
  EXPECT_THAT(c.ratios, SizeIs(1));
  return c.ratios.at(0);
}

TEST(BenchFile, ReadsRatesAndFacts) {
  const BenchFile f = parsed(std::string(kLine) + "\n");
  const BenchTest test{"prefill", 512, 0, 0, 1};
  ASSERT_TRUE(f.rates.contains(test));
  EXPECT_THAT(f.rates.at(test), ElementsAre(4, 2, 3));
  EXPECT_THAT(f.facts.at("threads"), ElementsAre("2"));
  EXPECT_THAT(f.facts.at("isa"), ElementsAre("avx2"));
  EXPECT_THAT(f.facts.at("placement"), ElementsAre("near"));
}

TEST(BenchFile, LinesOfTheSameTestAreJoined) {
  const BenchFile f = parsed(std::string(kLine) + "\n\n" + kLine + "\r\n" +
                             R"({"test":"decode","n_gen":8,"tokens_per_second":7.5})");
  EXPECT_THAT(f.rates, SizeIs(2));
  EXPECT_THAT(f.rates.at({"prefill", 512, 0, 0, 1}), SizeIs(6));
  EXPECT_THAT(f.rates.at({"decode", 0, 8, 0, 1}), ElementsAre(7.5));
}

TEST(BenchFile, OtherKindsOfLinesAreSkipped) {
  const BenchFile f = parsed(std::string(R"({"test":"memory","peak_rss_bytes":1})") + "\n" + kLine);
  EXPECT_THAT(f.rates, SizeIs(1));
}

TEST(BenchFile, TruncatedAnywhereIsRefused) {
  const std::string line = kLine;
  for (std::size_t n = 0; n < line.size(); ++n)
    EXPECT_FALSE(parse_bench_file(line.substr(0, n)).ok()) << n;
}

TEST(BenchFile, RefusalsNameTheLine) {
  const std::string good = std::string(kLine) + "\n";
  EXPECT_THAT(error_of(""), HasSubstr("no result"));
  EXPECT_THAT(error_of("\n \n"), HasSubstr("no result"));
  EXPECT_THAT(error_of(good + "tokens/s 3"), HasSubstr("line 2"));
  for (const char* bad : {
           R"([1])",
           R"("prefill")",
           R"({"tokens_per_second":3})",
           R"({"test":7})",
           R"({"test":"decode"})",
           R"({"test":"decode","tokens_per_second":0})",
           R"({"test":"decode","tokens_per_second":-1})",
           R"({"test":"decode","tokens_per_second":"9"})",
           R"({"test":"decode","tokens_per_second":1e999})",
           R"({"test":"decode","repetitions":3,"tokens_per_second":3})",
           R"({"test":"decode","repetitions":[3,null],"tokens_per_second":3})",
           R"({"test":"decode","n_gen":-1,"tokens_per_second":3})",
           R"({"test":"decode","n_gen":1.5,"tokens_per_second":3})",
           R"({"test":"decode","n_gen":1099511627777,"tokens_per_second":3})",
           R"({"test":"decode","x":[[[[[[[[[1]]]]]]]]],"tokens_per_second":3})",
       }) {
    EXPECT_THAT(error_of(good + bad), HasSubstr("line 2: ")) << bad;
  }
}

TEST(BenchFile, Limits) {
  EXPECT_THAT(error_of(std::string(kBenchFileBytesMax + 1, '\n')), HasSubstr("too large"));
  EXPECT_THAT(error_of(std::string(kBenchFileBytesMax, '\n')), HasSubstr("no result"));
  const auto padded = [](std::size_t bytes) {
    std::string line = kLine;
    line.insert(1, std::string(bytes - line.size(), ' '));
    return line;
  };
  parsed(padded(kBenchLineBytesMax));
  EXPECT_THAT(error_of(padded(kBenchLineBytesMax + 1)), HasSubstr("line 1: it is too long"));
  std::string many;
  for (std::size_t i = 0; i < kBenchTestsMax; ++i)
    many += R"({"test":"decode","n_gen":)" + std::to_string(i) +
            R"(,"tokens_per_second":3})"
            "\n";
  EXPECT_THAT(parsed(many).rates, SizeIs(kBenchTestsMax));
  EXPECT_THAT(error_of(many + kLine), HasSubstr("too many tests"));
  std::string rates = "1";
  for (std::size_t i = 1; i < kBenchRatesMax; ++i) rates += ",1";
  const auto line = [&](const std::string& list) {
    return R"({"test":"decode","repetitions":[)" + list + "]}\n";
  };
  parsed(line(rates));
  EXPECT_THAT(error_of(line(rates) + line("1")), HasSubstr("too many repetitions"));
}

TEST(BenchTest, Labels) {
  EXPECT_EQ((BenchTest{"prefill", 512, 0, 0, 1}.label()), "prefill 512");
  EXPECT_EQ((BenchTest{"decode", 0, 64, 2048, 1}.label()), "decode 64 after 2048");
  EXPECT_EQ((BenchTest{"batch", 0, 64, 32, 8}.label()), "batch 64 x 8 after 32");
  EXPECT_EQ((BenchTest{"start", 0, 0, 0, 1}.label()), "start");
}

TEST(Compare, MediansAndRanges) {
  const BenchRatio r = ratio_of({10, 30, 20}, {60, 40, 80, 20});
  EXPECT_EQ(r.a.median, 20);
  EXPECT_EQ(r.a.low, 10);
  EXPECT_EQ(r.a.high, 30);
  EXPECT_EQ(r.b.median, 50);
  EXPECT_EQ(r.ratio, 2.5);
  EXPECT_FALSE(r.low.has_value());  // too few to say more
  EXPECT_EQ(r.verdict, BenchVerdict::kOpen);
}

TEST(Compare, ConstantSamplesLeaveNoDoubt) {
  const BenchRatio r = ratio_of({2, 2, 2, 2, 2}, {3, 3, 3, 3, 3});
  EXPECT_EQ(r.low, 1.5);
  EXPECT_EQ(r.high, 1.5);
  EXPECT_EQ(r.verdict, BenchVerdict::kFaster);
  EXPECT_EQ(ratio_of({3, 3, 3, 3, 3}, {2, 2, 2, 2, 2}).verdict, BenchVerdict::kSlower);
  EXPECT_EQ(ratio_of({3, 3, 3, 3, 3}, {3, 3, 3, 3, 3}).verdict, BenchVerdict::kSame);
}

TEST(Compare, TheIntervalHoldsTheFactorAndWidensWithNoise) {
  const std::vector<double> a = {100, 97, 103, 99, 101, 102, 98, 100.5};
  std::vector<double> b;
  for (const double v : a) b.push_back(1.3 * v);
  const BenchRatio r = ratio_of(a, b);
  ASSERT_TRUE(r.low && r.high);
  EXPECT_LT(*r.low, 1.3);
  EXPECT_GT(*r.high, 1.3);
  EXPECT_EQ(r.verdict, BenchVerdict::kFaster);
  const BenchRatio noisy = ratio_of({100, 50, 150, 80, 120}, {101, 60, 160, 90, 130});
  ASSERT_TRUE(noisy.low && noisy.high);
  EXPECT_GT(*noisy.high - *noisy.low, *r.high - *r.low);
  EXPECT_EQ(noisy.verdict, BenchVerdict::kOpen);
}

TEST(Compare, SameInputSameInterval) {
  const BenchRatio one = ratio_of({1, 2, 3, 4, 5}, {2, 3, 4, 5, 9});
  const BenchRatio two = ratio_of({1, 2, 3, 4, 5}, {2, 3, 4, 5, 9});
  EXPECT_EQ(one.low, two.low);
  EXPECT_EQ(one.high, two.high);
}

TEST(Compare, TestsOfOneSideAndFactsThatDiffer) {
  BenchFile a = parsed(kLine);
  std::string other = kLine;
  other.replace(other.find("avx2"), 4, "avx512");
  other.replace(other.find("\"near\""), 6, "\"far\"");
  BenchFile b = parsed(other + "\n" + R"({"test":"start","tokens_per_second":8,"cpu":"X"})");
  a.rates[{"decode", 0, 4, 0, 1}] = {1};
  const BenchComparison c = compare_benches(a, b);
  EXPECT_THAT(c.ratios, SizeIs(1));
  ASSERT_THAT(c.only_a, SizeIs(1));
  EXPECT_EQ(c.only_a[0].name, "decode");
  ASSERT_THAT(c.only_b, SizeIs(1));
  EXPECT_EQ(c.only_b[0].name, "start");
  ASSERT_THAT(c.differences, SizeIs(3));
  EXPECT_EQ(c.differences[0].fact, "cpu");
  EXPECT_EQ(c.differences[0].a, "");
  EXPECT_EQ(c.differences[0].b, "X");
  EXPECT_EQ(c.differences[1].fact, "isa");
  EXPECT_EQ(c.differences[2].fact, "placement");
  EXPECT_THAT(compare_benches(a, a).differences, IsEmpty());
}

}  // namespace
}  // namespace holdfast::cli
