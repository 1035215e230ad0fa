// Metrics of other programs: reads the Prometheus text format 0.0.4, as a scraper does.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::observe {

struct ScrapedSample {
  std::string suffix;  // after the family's name: "", or "_bucket", "_sum", "_count"
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
};

struct ScrapedFamily {
  std::string name;
  std::string kind;  // "counter", "gauge", "histogram", "summary", "untyped"
  std::string help;
  std::vector<ScrapedSample> samples;  // in their order
};

// Far above what an inference engine shows; a program that shows more is not read.
struct ExpositionLimits {
  std::size_t bytes_max = 1u << 20;
  std::size_t samples_max = 4096;
  std::size_t labels_max = 16;
  std::size_t name_bytes_max = 200;
  std::size_t value_bytes_max = 1024;  // of a label, and of a help text
};

// Families in the order of their first line; time stamps are dropped. kCorrupt: not that format, or
// a family that appears twice; kExhausted: above a limit. Thread-safe.
Result<std::vector<ScrapedFamily>> parse_exposition(std::string_view text,
                                                    const ExpositionLimits& limits = {});

}  // namespace holdfast::observe
