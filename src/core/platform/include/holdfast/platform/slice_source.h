// SliceSource: a part of another source, as a source.
#pragma once

#include <memory>

#include "holdfast/platform/byte_source.h"

namespace holdfast::platform {

// `whole` outlives it. Thread-safe.
class SliceSource final : public ByteSource {
 public:
  // kCorrupt unless [offset, offset + size) lies inside `whole`.
  static Result<std::unique_ptr<SliceSource>> of(const ByteSource& whole, std::uint64_t offset,
                                                 std::uint64_t size) {
    HF_TRY(check_range(offset, size, whole.size()));
    return std::unique_ptr<SliceSource>(new SliceSource(whole, offset, size));
  }

  std::uint64_t size() const override { return size_; }
  Status read_at(std::uint64_t offset, MutableBytes out) const override {
    HF_TRY(check_range(offset, out.size(), size_));
    return whole_.read_at(offset_ + offset, out);
  }

 private:
  SliceSource(const ByteSource& whole, std::uint64_t offset, std::uint64_t size)
      : whole_(whole), offset_(offset), size_(size) {}
  const ByteSource& whole_;
  const std::uint64_t offset_;
  const std::uint64_t size_;
};

}  // namespace holdfast::platform
