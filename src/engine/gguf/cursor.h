// Sequential, bounds-checked reads of the header of one part through a small buffer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/gguf/metadata.h"
#include "holdfast/platform/byte_source.h"

namespace holdfast::gguf {

// Bytes of one array element of this type; 0 for strings and arrays.
std::uint64_t element_width(ValueType type);

// Reads past the end of the source, or past `bytes_max` from its start, are kCorrupt and allocate
// nothing. Owned by one parse. Thread-compatible.
class Cursor {
 public:
  Cursor(const platform::ByteSource& source, std::uint64_t bytes_max)
      : source_(source), end_(std::min(source.size(), bytes_max)), capped_(end_ != source.size()) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return end_ - position_; }

  template <typename T>
  Result<T> number() {
    HF_TRY(need(sizeof(T)));
    const T v = load_le<T>(buffer_.data() + (position_ - buffer_begin_));
    position_ += sizeof(T);
    return v;
  }
  // A view of the next bytes, into the buffer or into `scratch`; valid until the next read.
  Result<std::string_view> view(std::uint64_t length, std::string& scratch);
  Result<std::string> string(std::uint64_t length);
  Result<Bytes> bytes(std::uint64_t length);

 private:
  // One system call per 256 KiB keeps the header of a large vocabulary (10 MiB) at about forty
  // reads.
  static constexpr std::uint64_t kBufferBytes = 256 * 1024;

  Status check(std::uint64_t length) const;
  // Makes the next `length` (<= kBufferBytes) bytes present in the buffer.
  Status need(std::uint64_t length);
  Status read_direct(MutableBytes out);

  const platform::ByteSource& source_;
  std::uint64_t end_;
  bool capped_;
  std::uint64_t position_ = 0;
  std::uint64_t buffer_begin_ = 0;
  Bytes buffer_;
};

}  // namespace holdfast::gguf
