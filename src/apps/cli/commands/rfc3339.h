// Instants as RFC 3339 writes them, with their own zone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"

namespace holdfast::cli {

struct Instant {
  std::int64_t unix_seconds = 0;
  std::int32_t utc_offset_seconds = 0;
  std::string zone_name;  // "UTC", "UTC+02:00"
};

// "2025-06-15T12:00:00Z", "2025-06-15T12:00:00.5+02:00"; fractions are dropped. kInvalidArgument
// otherwise.
Result<Instant> parse_rfc3339(std::string_view text);

}  // namespace holdfast::cli
