// Large memory: anonymous, aligned for huge pages, taken from a budget, refused with a number
// instead of the OOM killer.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"

namespace holdfast::platform {

// A number of bytes that buffers share. Thread-safe. Must outlive its buffers.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // kExhausted, with need and have, where it does not fit.
  Status reserve(std::uint64_t bytes);
  void release(std::uint64_t bytes);
  std::uint64_t limit_bytes() const { return limit_bytes_; }
  std::uint64_t used_bytes() const { return used_bytes_.load(); }

 private:
  const std::uint64_t limit_bytes_;
  std::atomic<std::uint64_t> used_bytes_ = 0;
};

// Whether pages stay out of swap.
enum class MemoryLock : std::uint8_t {
  kOff,
  kBestEffort,  // where the limit on locked memory allows it; LargeBuffer::locked() tells
  kRequired,    // else allocate() fails
};

struct LargeBufferOptions {
  bool huge_pages = true;  // MADV_HUGEPAGE; a hint that the kernel may ignore
  MemoryLock lock = MemoryLock::kOff;
  bool keep_out_of_dumps = true;  // MADV_DONTDUMP and MADV_DONTFORK
};

inline constexpr std::size_t kLargeBufferAlignment = std::size_t{2} << 20;

// Zeroed on allocation by the kernel; pages are populated on first touch, so the thread that writes
// first decides the NUMA node. Thread-compatible.
class LargeBuffer {
 public:
  // kExhausted where the budget, the address space or (with kRequired) the lockable memory is too
  // small.
  // `bytes` may be 0. `budget` may be null: then nothing is counted.
  static Result<LargeBuffer> allocate(std::uint64_t bytes, MemoryBudget* budget,
                                      const LargeBufferOptions& options = {});
  LargeBuffer() = default;
  LargeBuffer(LargeBuffer&& other) noexcept { swap(other); }
  LargeBuffer& operator=(LargeBuffer&& other) noexcept {
    LargeBuffer(std::move(other)).swap(*this);
    return *this;
  }
  ~LargeBuffer();

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool locked() const { return locked_; }
  MutableBytes bytes() { return {data_, size_}; }
  ByteView view() const { return {data_, size_}; }
  // Gives the pages back to the system and keeps the addresses: reads give zeros again.
  void discard();

 private:
  void swap(LargeBuffer& other) noexcept;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::byte* mapping_ = nullptr;
  std::size_t mapping_bytes_ = 0;
  MemoryBudget* budget_ = nullptr;
  std::uint64_t budgeted_bytes_ = 0;
  bool locked_ = false;
};

// Raises this process's limit on locked memory as far as its privileges allow: to the hard limit,
// or to none. Children inherit it, and it stays when privileges are given up. What is then allowed,
// in bytes; ~0 for any amount.
std::uint64_t raise_locked_memory_limit();

}  // namespace holdfast::platform
