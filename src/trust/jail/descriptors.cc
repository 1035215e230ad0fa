#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "holdfast/platform/filesystem.h"
#include "layers.h"

namespace holdfast::jail {
namespace {

// For kernels before 5.9 and sandboxes around us that refuse close_range.
Missing close_one_by_one(const std::vector<unsigned>& keep) {
  platform::PosixFileSystem fs;
  const auto open_now = fs.list("/proc/self/fd");
  if (!open_now.ok()) return "close_range and /proc/self/fd are both missing";
  for (const platform::DirectoryEntry& entry : *open_now) {
    unsigned fd = 0;
    const char* end = entry.name.data() + entry.name.size();
    if (std::from_chars(entry.name.data(), end, fd).ptr != end) continue;
    // The listing's own descriptor is among them, closed by now: an error here means nothing.
    if (std::ranges::find(keep, fd) == keep.end()) ::close(static_cast<int>(fd));
  }
  return std::nullopt;
}

bool close_gaps(const std::vector<unsigned>& keep) {
  unsigned next = 0;
  for (const unsigned fd : keep) {
    if (fd > next && ::syscall(SYS_close_range, next, fd - 1, 0u) != 0) return false;
    next = std::max(next, fd + 1);
  }
  return ::syscall(SYS_close_range, next, ~0u, 0u) == 0;
}

}  // namespace

Missing close_descriptors(const Profile& profile) {
  std::vector<unsigned> keep = {0, 1, 2};
  for (const int fd : profile.keep_fds) {
    if (fd < 0) return "a negative descriptor is listed";
    keep.push_back(static_cast<unsigned>(fd));
  }
  std::ranges::sort(keep);
  return close_gaps(keep) ? std::nullopt : close_one_by_one(keep);
}

}  // namespace holdfast::jail
