#include "holdfast/platform/byte_source.h"

#include <cstring>

namespace holdfast::platform {

Status check_range(std::uint64_t offset, std::uint64_t n, std::uint64_t size) {
  if (offset > size || n > size - offset) {
    return corrupt("the data ends early", "range of " + std::to_string(n) + " bytes at " +
                                              std::to_string(offset) + " of " +
                                              std::to_string(size));
  }
  return {};
}

Status MemorySource::read_at(std::uint64_t offset, MutableBytes out) const {
  HF_TRY(check_range(offset, out.size(), view_.size()));
  if (!out.empty()) std::memcpy(out.data(), view_.data() + offset, out.size());
  return {};
}

}  // namespace holdfast::platform
