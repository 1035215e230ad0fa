// Importance matrices: any bytes are a refusal or a consistent value, which the writer can write.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "holdfast/model/importance.h"
#include "holdfast/platform/testing/simulated_filesystem.h"

namespace {

using namespace holdfast;

void check(bool condition) {
  if (!condition) std::abort();
}

void use(const model::Importance& importance) {
  check(!importance.entries.empty());
  for (const auto& [name, entry] : importance.entries) {
    check(entry.columns > 0 && entry.matrices > 0);
    check(entry.sums.size() == entry.columns * entry.matrices);
    check(entry.counts.size() == entry.matrices);
    for (std::uint64_t m = 0; m < entry.matrices; ++m) {
      for (const float v : entry.means(m)) check(!std::isnan(v) && v >= 0);
    }
  }
  // A name may be too long for its two suffixes; anything else is written and read again.
  platform::testing::SimulatedFileSystem fs;
  const auto out = fs.create_exclusive("/m", 0600);
  check(out.ok());
  if (!model::write_importance(importance, **out).ok()) return;
  const auto again = model::read_importance(**out);
  check(again.ok() && again->entries.size() == importance.entries.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const platform::MemorySource source{std::as_bytes(std::span(data, size))};
  const auto importance = model::read_importance(source);
  if (importance.ok()) use(*importance);
  return 0;
}
