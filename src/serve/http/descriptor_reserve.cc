#include "descriptor_reserve.h"

#include <sys/eventfd.h>

namespace holdfast::http {

bool DescriptorReserve::release() {
  if (held_.empty()) return false;
  held_.pop_back();
  return true;
}

void DescriptorReserve::refill() {
  while (held_.size() < kDescriptors) {
    // The kind of descriptor that costs the kernel least.
    platform::UniqueFd fd(::eventfd(0, EFD_CLOEXEC));
    if (fd.get() < 0) return;
    held_.push_back(std::move(fd));
  }
}

}  // namespace holdfast::http
