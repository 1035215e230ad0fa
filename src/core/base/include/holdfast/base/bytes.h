// Views of bytes, fixed-width loads and stores, a bounds-checked reader and a growing writer.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast {

using ByteView = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;
using Bytes = std::vector<std::byte>;

inline ByteView as_bytes_view(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_string_view(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Unaligned loads and stores in a given byte order. The caller checked the length.
template <typename T>
T load_le(const std::byte* p) {
  static_assert(std::is_trivially_copyable_v<T>);
  static_assert(std::endian::native == std::endian::little, "big-endian hosts are not supported");
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <typename T>
void store_le(std::byte* p, T v) {
  std::memcpy(p, &v, sizeof v);
}
template <typename T>
T load_be(const std::byte* p) {
  static_assert(std::is_integral_v<T>);
  std::make_unsigned_t<T> v = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    v = static_cast<std::make_unsigned_t<T>>((static_cast<std::uint64_t>(v) << 8) |
                                             std::to_integer<std::uint8_t>(p[i]));
  }
  return static_cast<T>(v);
}
template <typename T>
void store_be(std::byte* p, T value) {
  static_assert(std::is_integral_v<T>);
  auto v = static_cast<std::uint64_t>(static_cast<std::make_unsigned_t<T>>(value));
  for (std::size_t i = sizeof(T); i-- > 0; v >>= 8) p[i] = static_cast<std::byte>(v & 0xff);
}

// Reads fields from a byte view; every read is bounds-checked and past the end is kCorrupt.
// Thread-compatible.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : bytes_(bytes) {}

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }
  bool at_end() const { return remaining() == 0; }

  // A view of the next `n` bytes, which stays valid as long as the underlying bytes.
  Result<ByteView> take(std::uint64_t n);
  Result<std::string_view> take_string(std::uint64_t n);
  Status skip(std::uint64_t n);
  // A 16-bit big-endian length, then so many bytes.
  Result<ByteView> take_lp();
  template <std::size_t N>
  Status take_array(std::array<std::byte, N>& out) {
    HF_TRY_ASSIGN(const ByteView b, take(N));
    std::copy(b.begin(), b.end(), out.begin());
    return ok_status();
  }

  template <typename T>
  Result<T> le() {
    HF_TRY_ASSIGN(const ByteView b, take(sizeof(T)));
    return load_le<T>(b.data());
  }
  template <typename T>
  Result<T> be() {
    HF_TRY_ASSIGN(const ByteView b, take(sizeof(T)));
    return load_be<T>(b.data());
  }

 private:
  ByteView bytes_;
  std::size_t position_ = 0;
};

// Appends fields to a buffer that it owns. Thread-compatible.
class ByteWriter {
 public:
  template <typename T>
  ByteWriter& le(T v) {
    const std::size_t at = grow(sizeof v);
    store_le(bytes_.data() + at, v);
    return *this;
  }
  template <typename T>
  ByteWriter& be(T v) {
    const std::size_t at = grow(sizeof v);
    store_be(bytes_.data() + at, v);
    return *this;
  }
  ByteWriter& raw(ByteView v);
  ByteWriter& raw(std::string_view v) { return raw(as_bytes_view(v)); }
  // A 16-bit big-endian length, then the bytes. Precondition: at most 65,535 of them.
  ByteWriter& lp(ByteView v);
  ByteWriter& lp(std::string_view v) { return lp(as_bytes_view(v)); }
  // Zero bytes up to a multiple of `unit`.
  ByteWriter& align(std::size_t unit);
  std::size_t size() const { return bytes_.size(); }
  ByteView view() const { return bytes_; }
  Bytes take() && { return std::move(bytes_); }

 private:
  std::size_t grow(std::size_t n) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + n);
    return at;
  }
  Bytes bytes_;
};

bool all_zero(ByteView bytes);
std::string to_hex(ByteView bytes);
// Lower- or upper-case hexadecimal; kInvalidArgument otherwise.
Result<Bytes> from_hex(std::string_view hex);
// RFC 4648 section 4 with padding.
std::string to_base64(ByteView bytes);
Result<Bytes> from_base64(std::string_view text);

}  // namespace holdfast
