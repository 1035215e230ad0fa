#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "layers.h"

namespace holdfast::jail {

Missing close_descriptors(const Profile& profile) {
  std::vector<unsigned> keep = {0, 1, 2};
  for (const int fd : profile.keep_fds) {
    if (fd < 0) return "a negative descriptor is listed";
    keep.push_back(static_cast<unsigned>(fd));
  }
  std::ranges::sort(keep);
  unsigned next = 0;
  for (const unsigned fd : keep) {
    if (fd > next && ::syscall(SYS_close_range, next, fd - 1, 0u) != 0) {
      return errno_reason("close_range");
    }
    next = std::max(next, fd + 1);
  }
  if (::syscall(SYS_close_range, next, ~0u, 0u) != 0) return errno_reason("close_range");
  return std::nullopt;
}

}  // namespace holdfast::jail
