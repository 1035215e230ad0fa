// Metrics of another program must be refused, or shown again in a form that reads as the same.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "holdfast/observe/exposition.h"
#include "holdfast/observe/metrics.h"

namespace observe = holdfast::observe;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto families = observe::parse_exposition(text);
  if (!families.ok()) return 0;
  std::size_t samples = 0;
  for (const auto& family : *families) samples += family.samples.size();
  observe::Registry registry;
  registry.show_scraped(std::move(*families));
  observe::ExpositionLimits wide;
  wide.bytes_max = wide.value_bytes_max = wide.samples_max = 64u << 20;
  const auto again = observe::parse_exposition(registry.expose_text(), wide);
  if (!again.ok()) abort();
  std::size_t shown = 0;
  for (const auto& family : *again) shown += family.samples.size();
  if (shown != samples) abort();
  registry.expose_openmetrics();
  return 0;
}
