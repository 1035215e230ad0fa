// ByteSource: random access to a fixed number of bytes, whatever holds them.
#pragma once

#include <cstdint>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"

namespace holdfast::platform {

// A seam between code that parses and code that owns bytes (files, sealed containers, memory).
// Thread-safe: any number of threads may read at once.
class ByteSource {
 public:
  ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  virtual ~ByteSource() = default;

  virtual std::uint64_t size() const = 0;
  // Fills all of `out` from `offset`. kCorrupt where the range is not inside the source, kIo on a
  // device error.
  virtual Status read_at(std::uint64_t offset, MutableBytes out) const = 0;
};

// kCorrupt unless [offset, offset + n) lies inside `size` bytes.
Status check_range(std::uint64_t offset, std::uint64_t n, std::uint64_t size);

// Bytes in memory, owned or viewed; viewed bytes must outlive the source.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(Bytes owned) : owned_(std::move(owned)), view_(owned_) {}
  explicit MemorySource(ByteView view) : view_(view) {}

  std::uint64_t size() const override { return view_.size(); }
  Status read_at(std::uint64_t offset, MutableBytes out) const override;
  ByteView view() const { return view_; }

 private:
  Bytes owned_;
  ByteView view_;
};

}  // namespace holdfast::platform
