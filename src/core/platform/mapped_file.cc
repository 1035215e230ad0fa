#include "holdfast/platform/mapped_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace holdfast::platform {

Result<MappedFile> MappedFile::map(const OpenFile& file, std::uint64_t offset,
                                   std::uint64_t bytes) {
  HF_TRY(check_range(offset, bytes, file.size()));
  MappedFile m;
  if (bytes == 0) return m;
  if (file.fd() < 0) return unsupported("this file cannot be mapped");
  // The kernel maps whole pages, which may be larger than 4 KiB.
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t before = offset % page;
  void* mapping = ::mmap(nullptr, before + bytes, PROT_READ, MAP_SHARED, file.fd(),
                         static_cast<off_t>(offset - before));
  if (mapping == MAP_FAILED) {
    if (errno == ENODEV) return unsupported("the file system cannot map files");
    return os_error(errno, "map a file");
  }
  m.mapping_ = mapping;
  m.mapping_bytes_ = before + bytes;
  m.data_ = static_cast<const std::byte*>(mapping) + before;
  m.size_ = bytes;
  // Hints: reading ahead where the cache is cold, and large pages where the file system has them.
  ::madvise(mapping, m.mapping_bytes_, MADV_WILLNEED);
  ::madvise(mapping, m.mapping_bytes_, MADV_HUGEPAGE);
  return m;
}

MappedFile::~MappedFile() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_bytes_);
}

void MappedFile::swap(MappedFile& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
}

}  // namespace holdfast::platform
