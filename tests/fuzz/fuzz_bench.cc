// Results of `bench` that somebody else wrote: what is accepted holds positive speeds within the
// limits, and a file compared with itself has ratio 1.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "holdfast/cli/bench_compare.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace holdfast;
  const auto file = cli::parse_bench_file({reinterpret_cast<const char*>(data), size});
  if (!file.ok()) return 0;
  if (file->rates.empty() || file->rates.size() > cli::kBenchTestsMax) std::abort();
  for (const auto& [test, rates] : file->rates) {
    if (rates.empty() || rates.size() > cli::kBenchRatesMax || test.label().empty()) std::abort();
    for (const double r : rates) {
      if (!(r > 0)) std::abort();
    }
    // Intervals of long lists take the smoke test too long.
    if (rates.size() > 64) return 0;
  }
  const auto c = cli::compare_benches(*file, *file);
  if (!c.only_a.empty() || !c.only_b.empty() || !c.differences.empty()) std::abort();
  for (const auto& r : c.ratios) {
    if (r.ratio != 1) std::abort();
  }
  return 0;
}
