#include "holdfast/platform/secret_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <vector>

#include "holdfast/base/check.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kBytesMax = std::size_t{1} << 20;

// Older headers do not name it.
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

// Puts secret pages over [at, at + bytes); false where the kernel has none for us.
bool map_secret_file(std::byte* at, std::size_t bytes) {
  // Not inherited by programs that are started. Memory of this kind is locked by nature.
  const UniqueFd fd(static_cast<int>(::syscall(SYS_memfd_secret, O_CLOEXEC)));
  if (!fd.valid() || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) return false;
  return ::mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd.get(), 0) !=
         MAP_FAILED;
}

bool map_anonymous(std::byte* at, std::size_t bytes) {
  if (::mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
      MAP_FAILED)
    return false;
  return ::madvise(at, bytes, MADV_DONTDUMP) == 0;
}

struct Reserve {
  std::mutex mutex;
  std::vector<SecretMemory> pieces;
};
// Never destroyed: other objects of static life may still hold secrets then.
Reserve& reserve() {
  static auto* const instance = new Reserve;
  return *instance;
}

}  // namespace

void reserve_secret_memory(std::size_t pieces) {
  Reserve& r = reserve();
  for (std::size_t i = 0; i < pieces; ++i) {
    auto made = SecretMemory::allocate_new(kPage);
    if (!made.ok()) return;
    const std::lock_guard lock(r.mutex);
    r.pieces.push_back(std::move(*made));
  }
}

Result<SecretMemory> SecretMemory::allocate(std::size_t bytes) {
  HF_CHECK(bytes > 0 && bytes <= kBytesMax);
  if (bytes <= kPage) {
    Reserve& r = reserve();
    const std::lock_guard lock(r.mutex);
    if (!r.pieces.empty()) {
      SecretMemory memory = std::move(r.pieces.back());
      r.pieces.pop_back();
      memory.size_ = bytes;
      return memory;
    }
  }
  return allocate_new(bytes);
}

std::string_view secret_memory_kind_name(SecretMemoryKind kind) {
  if (kind == SecretMemoryKind::kSecretFile) return "memfd_secret";
  return kind == SecretMemoryKind::kLocked ? "mlock" : "not locked";
}

void wipe(MutableBytes bytes) {
  if (!bytes.empty()) ::explicit_bzero(bytes.data(), bytes.size());
}

Result<SecretMemory> SecretMemory::allocate_new(std::size_t bytes) {
  const std::size_t inner = (bytes + kPage - 1) / kPage * kPage;
  SecretMemory memory;
  memory.mapping_bytes_ = inner + 2 * kPage;
  void* mapping =
      ::mmap(nullptr, memory.mapping_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    memory.mapping_bytes_ = 0;
    return os_error(errno, "mmap of secret memory");
  }
  memory.mapping_ = static_cast<std::byte*>(mapping);
  std::byte* const at = memory.mapping_ + kPage;
  if (map_secret_file(at, inner)) {
    memory.kind_ = SecretMemoryKind::kSecretFile;
  } else if (map_anonymous(at, inner)) {
    memory.kind_ =
        ::mlock(at, inner) == 0 ? SecretMemoryKind::kLocked : SecretMemoryKind::kNotLocked;
  } else {
    return os_error(errno, "mmap of secret memory");
  }
  ::madvise(at, inner, MADV_DONTFORK);
  memory.data_ = at;
  memory.size_ = bytes;
  return memory;
}

SecretMemory::~SecretMemory() {
  if (mapping_ == nullptr) return;
  wipe({data_, size_});
  ::munmap(mapping_, mapping_bytes_);
}

void SecretMemory::swap(SecretMemory& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  std::swap(kind_, other.kind_);
}

}  // namespace holdfast::platform
