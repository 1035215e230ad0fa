#include "holdfast/platform/huge_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <string>
#include <utility>

#include "holdfast/base/checked.h"
#include "holdfast/base/units.h"

namespace holdfast::platform {

Status MemoryBudget::reserve(std::uint64_t bytes) {
  std::uint64_t used = used_bytes_.load();
  do {
    if (bytes > limit_bytes_ - used) {
      return exhausted("not enough memory: " + format_bytes(bytes) + " needed, " +
                       format_bytes(limit_bytes_ - used) + " left of " +
                       format_bytes(limit_bytes_));
    }
  } while (!used_bytes_.compare_exchange_weak(used, used + bytes));
  return {};
}

void MemoryBudget::release(std::uint64_t bytes) {
  const std::uint64_t before = used_bytes_.fetch_sub(bytes);
  HF_CHECK(before >= bytes);
}

Result<LargeBuffer> LargeBuffer::allocate(std::uint64_t bytes, MemoryBudget* budget,
                                          const LargeBufferOptions& options) {
  LargeBuffer buffer;
  if (bytes == 0) return buffer;
  const auto padded = checked_add<std::uint64_t>(bytes, kLargeBufferAlignment);
  if (!padded) return exhausted("not enough memory: " + format_bytes(bytes) + " needed");
  if (budget != nullptr) {
    HF_TRY(budget->reserve(bytes));
    buffer.budget_ = budget;
    buffer.budgeted_bytes_ = bytes;
  }
  void* mapping = ::mmap(nullptr, *padded, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED)
    return os_error(errno, "reserve " + format_bytes(bytes) + " of memory");
  buffer.mapping_ = static_cast<std::byte*>(mapping);
  buffer.mapping_bytes_ = *padded;
  const auto address = reinterpret_cast<std::uintptr_t>(mapping);
  buffer.data_ =
      buffer.mapping_ + (round_up<std::uintptr_t>(address, kLargeBufferAlignment) - address);
  buffer.size_ = bytes;
  // Hints: a kernel without huge pages or core dumps loses nothing.
  if (options.huge_pages) ::madvise(buffer.data_, buffer.size_, MADV_HUGEPAGE);
  if (options.keep_out_of_dumps) {
    ::madvise(mapping, *padded, MADV_DONTDUMP);
    ::madvise(mapping, *padded, MADV_DONTFORK);
  }
  if (options.lock && ::mlock(buffer.data_, buffer.size_) != 0) {
    return os_error(errno, "lock " + format_bytes(bytes) + " of memory");
  }
  return buffer;
}

LargeBuffer::~LargeBuffer() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_bytes_);
  if (budget_ != nullptr) budget_->release(budgeted_bytes_);
}

void LargeBuffer::discard() {
  if (data_ != nullptr) ::madvise(data_, size_, MADV_DONTNEED);
}

void LargeBuffer::swap(LargeBuffer& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  std::swap(budget_, other.budget_);
  std::swap(budgeted_bytes_, other.budgeted_bytes_);
}

}  // namespace holdfast::platform
