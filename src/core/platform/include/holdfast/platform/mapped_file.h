// MappedFile: a part of a file as memory, without a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/platform/file.h"

namespace holdfast::platform {

// Read-only; the pages are those of the page cache, shared by all who map the file. The descriptor
// may be closed afterwards. What changes in the file changes here too, and a file that gets shorter
// ends a reader with SIGBUS: only for files that nobody writes to. Thread-safe to read.
class MappedFile {
 public:
  // kCorrupt where the range is not inside the file, kUnsupported for a file without a descriptor
  // or on a file system that cannot map. `bytes` may be 0. The view starts at a multiple of 4096 if
  // `offset` is one.
  static Result<MappedFile> map(const OpenFile& file, std::uint64_t offset, std::uint64_t bytes);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept { swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    MappedFile(std::move(other)).swap(*this);
    return *this;
  }
  ~MappedFile();

  ByteView view() const { return {data_, size_}; }

 private:
  void swap(MappedFile& other) noexcept;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  void* mapping_ = nullptr;
  std::size_t mapping_bytes_ = 0;
};

}  // namespace holdfast::platform
