// How fast files can be read from where they lie, past the page cache.
#pragma once

#include <cstdint>
#include <optional>

#include "holdfast/base/result.h"
#include "holdfast/platform/file.h"

namespace holdfast::platform {

// Less than this says more about the first request than about the device.
inline constexpr std::uint64_t kDiskProbeBytesMin = std::uint64_t{16} << 20;

// Bytes per second of reading the beginning of the file in order, after the system was asked to
// forget what it has of it: up to 256 MiB, or as far as half a second goes. An upper bound where
// the system does not forget, because other processes have the file mapped. nullopt for files below
// kDiskProbeBytesMin; errors of reading.
Result<std::optional<double>> measure_disk_read(const File& file);

}  // namespace holdfast::platform
