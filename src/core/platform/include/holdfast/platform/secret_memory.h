// Memory for keys: out of swap, core dumps and, where the kernel has memfd_secret, out of the
// kernel's own address space; between pages that fault; wiped before it is given back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"

namespace holdfast::platform {

void reserve_secret_memory(std::size_t pieces);

// What protects secret memory on this machine.
enum class SecretMemoryKind : std::uint8_t {
  kSecretFile,  // memfd_secret: not even the kernel maps it
  kLocked,      // mlock, no dump; the kernel can read it
  kNotLocked,   // no dump; the limit on locked memory is too low to keep it out of swap
};
std::string_view secret_memory_kind_name(SecretMemoryKind kind);

// Whole pages of its own, zeroed, of the best kind to be had: who demands more looks at kind(). A
// child that fork() makes does not get them. Buffers from memfd_secret cannot be passed to system
// calls: copy, or use them in user space alone. Thread-compatible.
class SecretMemory {
 public:
  // kExhausted where there is no memory. `bytes` is 1..1 MiB.
  static Result<SecretMemory> allocate(std::size_t bytes);
  SecretMemory() = default;
  SecretMemory(SecretMemory&& other) noexcept { swap(other); }
  SecretMemory& operator=(SecretMemory&& other) noexcept {
    SecretMemory(std::move(other)).swap(*this);
    return *this;
  }
  SecretMemory(const SecretMemory&) = delete;
  SecretMemory& operator=(const SecretMemory&) = delete;
  ~SecretMemory();

  MutableBytes bytes() { return {data_, size_}; }
  ByteView view() const { return {data_, size_}; }
  std::size_t size() const { return size_; }
  SecretMemoryKind kind() const { return kind_; }

 private:
  friend void reserve_secret_memory(std::size_t pieces);
  static Result<SecretMemory> allocate_new(std::size_t bytes);
  void swap(SecretMemory& other) noexcept;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::byte* mapping_ = nullptr;  // data_ with a guard page on each side
  std::size_t mapping_bytes_ = 0;
  SecretMemoryKind kind_ = SecretMemoryKind::kNotLocked;
};

// Makes pieces of one page each, which allocate() takes first for what fits: before a sandbox
// closes that has no memfd_secret. What cannot be made is left to allocate(). Thread-safe.
void reserve_secret_memory(std::size_t pieces);

// Overwrites, in a way that no optimiser removes.
void wipe(MutableBytes bytes);

}  // namespace holdfast::platform
