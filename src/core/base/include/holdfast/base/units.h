// Sizes and durations as people write them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"

namespace holdfast {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;

// "8MiB", "64 KiB", "1.5GiB", "4096": bytes. kInvalidArgument names the accepted units.
Result<std::uint64_t> parse_size_bytes(std::string_view text);
// "250ms", "30s", "15m", "12h", "90d". kInvalidArgument names the accepted units.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// "1.2 GB" in decimal units, as disks and models are advertised.
std::string format_bytes(std::uint64_t bytes);
// "3.2s", "4m10s".
std::string format_duration(std::chrono::milliseconds duration);
// Levenshtein distance with transposition, for "did you mean"; stops counting above `limit`.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

}  // namespace holdfast
