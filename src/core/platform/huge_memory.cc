#include "holdfast/platform/huge_memory.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>
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

namespace {

// Linux 5.18; not in every libc's headers.
constexpr int kMadvDontneedLocked = 24;

// Locks pages as they are touched, so that the threads that fill the memory zero it in parallel;
// mlock() would zero all of it here.
bool lock_on_fault(void* at, std::size_t bytes) { return ::mlock2(at, bytes, MLOCK_ONFAULT) == 0; }

Error cannot_lock(std::uint64_t bytes, int error) {
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  return exhausted("cannot lock " + format_bytes(bytes) + " of memory: the limit is " +
                       format_bytes(limit.rlim_cur),
                   std::string("mlock2: ") + std::strerror(error))
      .with_hint("Raise the limit on locked memory to at least " +
                 std::to_string(bytes / 1024 + 1) +
                 " KiB (LimitMEMLOCK=, ulimit -l), or set memory.lock = \"best-effort\".");
}

}  // namespace

std::uint64_t raise_locked_memory_limit() {
  const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_MEMLOCK, &none) == 0) return ~std::uint64_t{0};
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_MEMLOCK, &limit);
  return limit.rlim_cur == RLIM_INFINITY ? ~std::uint64_t{0} : limit.rlim_cur;
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
  if (options.lock != MemoryLock::kOff) {
    buffer.locked_ = lock_on_fault(buffer.data_, buffer.size_);
    if (!buffer.locked_ && options.lock == MemoryLock::kRequired) return cannot_lock(bytes, errno);
  }
  return buffer;
}

LargeBuffer::~LargeBuffer() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_bytes_);
  if (budget_ != nullptr) budget_->release(budgeted_bytes_);
}

void LargeBuffer::discard() {
  if (data_ == nullptr) return;
  // The ordinary advice is refused for locked pages; kernels before 5.18 know no other.
  if (locked_ && ::madvise(data_, size_, kMadvDontneedLocked) == 0) return;
  if (locked_) {
    std::memset(data_, 0, size_);
  } else {
    ::madvise(data_, size_, MADV_DONTNEED);
  }
}

void LargeBuffer::swap(LargeBuffer& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  std::swap(budget_, other.budget_);
  std::swap(budgeted_bytes_, other.budgeted_bytes_);
  std::swap(locked_, other.locked_);
}

}  // namespace holdfast::platform
