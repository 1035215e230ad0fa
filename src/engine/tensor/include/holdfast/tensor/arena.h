// Arena: one block of memory cut into arrays once, at load; nothing is given back before the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "holdfast/base/checked.h"
#include "holdfast/base/result.h"
#include "holdfast/platform/huge_memory.h"

namespace holdfast::tensor {

// The same code that takes arrays can first measure: a default Arena counts bytes and hands out
// empty spans of the right size over no memory, which must not be touched. Owner: whoever computes.
// Thread-compatible.
class Arena {
 public:
  // Arrays start at cache lines, so that threads that write neighbouring arrays do not slow each
  // other down.
  static constexpr std::size_t kAlignment = 64;

  // Only measures.
  Arena() = default;
  // Zeroed memory. kExhausted if it cannot be had. `budget` may be null; otherwise it outlives the
  // arena.
  static Result<Arena> create(std::uint64_t bytes, platform::MemoryBudget* budget = nullptr);

  // `count` elements. Precondition: they fit into what create() was asked for.
  template <typename T>
  std::span<T> take(std::uint64_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    return {static_cast<T*>(take_bytes(count * sizeof(T))), static_cast<std::size_t>(count)};
  }
  // What the arrays taken so far need.
  std::uint64_t bytes_used() const { return peak_; }
  // Whether create() asks for huge pages.
  static bool wants_huge_pages(std::uint64_t bytes);

  // One array that was taken, its length as asked for.
  struct Array {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
  };
  // All of them, in order, where the arena only measures; else empty.
  std::span<const Array> arrays() const { return arrays_; }

  // Arrays that are not in use at the same time may share memory: take the first ones, rewind to
  // the mark from before them, take the others. Which array comes to lie where is the same in every
  // arena.
  std::uint64_t mark() const { return used_; }
  void rewind(std::uint64_t mark) { used_ = mark; }
  // Goes on after everything that was ever taken.
  void advance_past_all() { used_ = peak_; }

 private:
  void* take_bytes(std::uint64_t bytes);

  platform::LargeBuffer memory_;
  bool measuring_ = true;
  std::vector<Array> arrays_;
  std::uint64_t used_ = 0;
  std::uint64_t peak_ = 0;
};

}  // namespace holdfast::tensor
