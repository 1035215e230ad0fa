#include "holdfast/platform/disk_probe.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>

#include "holdfast/base/units.h"

namespace holdfast::platform {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kReadBytesMax = 256 * kMiB;
constexpr std::uint64_t kPieceBytes = 4 * kMiB;
constexpr std::chrono::milliseconds kReadTime{500};

}  // namespace

Result<std::optional<double>> measure_disk_read(const File& file) {
  const std::uint64_t end = std::min(file.size(), kReadBytesMax);
  if (end < kDiskProbeBytesMin) return std::optional<double>();
  // A hint; pages that are dirty or mapped stay.
  ::posix_fadvise(file.fd(), 0, static_cast<off_t>(end), POSIX_FADV_DONTNEED);
  Bytes piece(kPieceBytes);
  std::uint64_t done = 0;
  const auto begin = Clock::now();
  while (done < end && Clock::now() - begin < kReadTime) {
    const std::uint64_t count = std::min(kPieceBytes, end - done);
    HF_TRY(file.read_at(done, MutableBytes(piece).first(count)));
    done += count;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return std::optional(static_cast<double>(done) / std::max(seconds, 1e-9));
}

}  // namespace holdfast::platform
