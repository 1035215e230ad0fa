// Two outputs of `holdfast bench --json` side by side (`bench --compare A B`): reading them, and
// what can be said about their ratio. Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::cli {

// Limits of a file: far above what a night of measuring writes.
inline constexpr std::size_t kBenchFileBytesMax = std::size_t{16} << 20;
inline constexpr std::size_t kBenchLineBytesMax = std::size_t{1} << 20;
inline constexpr std::size_t kBenchTestsMax = 4096;
inline constexpr std::size_t kBenchRatesMax = 1u << 16;  // of one test, over all its lines

// What is measured: the sizes that the lines of two files must share to be compared.
struct BenchTest {
  std::string name;  // prefill, decode, batch, start
  std::int64_t prompt = 0;
  std::int64_t generate = 0;
  std::int64_t depth = 0;
  std::int64_t batch = 1;
  auto operator<=>(const BenchTest&) const = default;

  // "prefill 512", "decode 64 x 4 after 2048", "start".
  std::string label() const;
};

struct BenchFile {
  std::map<BenchTest, std::vector<double>> rates;  // tokens/s of every repetition, in file order
  // What was said of machine and computation, by key: threads, isa, cpu, ... More than one value
  // where lines differ.
  std::map<std::string, std::set<std::string>> facts;
};

// The tests of a file; the same test on several lines is one with all repetitions. Lines of kinds
// that are not speeds are skipped. kInvalidArgument names the line: no JSON object, a field that is
// missing or of the wrong kind, a speed that is not positive, a limit above, or no test at all.
Result<BenchFile> parse_bench_file(std::string_view text);

struct Spread {
  double median = 0;
  double low = 0;
  double high = 0;
};
Spread spread_of(std::vector<double> values);  // precondition: not empty

enum class BenchVerdict : std::uint8_t { kFaster, kSlower, kSame, kOpen };
std::string_view verdict_name(BenchVerdict verdict);

struct BenchRatio {
  BenchTest test;
  Spread a;
  Spread b;
  double ratio = 0;  // of the medians, B / A
  // 90 % bootstrap interval of the ratio; absent with fewer than kBenchPairsMin repetitions on a
  // side.
  std::optional<double> low;
  std::optional<double> high;
  // kFaster and kSlower: the whole interval lies beyond 1 %. kSame: it lies within. Else kOpen.
  BenchVerdict verdict = BenchVerdict::kOpen;
};
// Below it even smallest to largest holds the median less often than the interval would say.
inline constexpr std::size_t kBenchPairsMin = 5;

struct BenchDifference {
  std::string fact;
  std::string a;  // its values, separated by commas; empty: not told
  std::string b;
};

struct BenchComparison {
  std::vector<BenchRatio> ratios;
  std::vector<BenchTest> only_a;
  std::vector<BenchTest> only_b;
  std::vector<BenchDifference> differences;
};

// The same input gives the same intervals: the resampling is seeded.
BenchComparison compare_benches(const BenchFile& a, const BenchFile& b);

}  // namespace holdfast::cli
