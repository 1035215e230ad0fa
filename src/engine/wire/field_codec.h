// Writes and reads the fields of a message. One function per message lists its fields for both
// directions, so the two cannot disagree. Errors are sticky: after the first one every call does
// nothing.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"

namespace holdfast::wire {

// Smallest encoding of one list element, by which a count is compared with the bytes that remain.
inline constexpr std::size_t kCountBytes = 4;

class FieldWriter {
 public:
  static constexpr bool kReading = false;
  // Starts with zero bytes for a header that the caller fills in.
  explicit FieldWriter(std::size_t header_bytes) { out_.raw(Bytes(header_bytes)); }

  template <typename T>
  requires std::is_arithmetic_v<T>
  void number(T& v) {
    if constexpr (std::is_same_v<T, bool>) {
      out_.le(static_cast<std::uint8_t>(v ? 1 : 0));
    } else {
      out_.le(v);
    }
  }
  void finite(double& v) {
    if (!std::isfinite(v)) fail(invalid_argument("a number is not finite"));
    out_.le(v);
  }
  template <typename E>
  void enumeration(E& v, E last) {
    if (v > last) fail(invalid_argument("value out of its enumeration"));
    out_.le(static_cast<std::uint8_t>(v));
  }
  void text(std::string& v, std::size_t bytes_max) {
    if (!count(v.size(), bytes_max)) return;
    out_.raw(std::string_view(v));
  }
  template <typename T>
  requires std::is_arithmetic_v<T>
  void numbers(std::vector<T>& v, std::size_t count_max) {
    if (!count(v.size(), count_max)) return;
    out_.raw(ByteView(reinterpret_cast<const std::byte*>(v.data()), v.size() * sizeof(T)));
  }
  template <typename T, typename Each>
  void list(std::vector<T>& v, std::size_t count_max, std::size_t /*element_bytes_min*/,
            Each each) {
    if (!count(v.size(), count_max)) return;
    for (T& element : v) each(element);
  }
  template <typename T>
  void optional(std::optional<T>& v) {
    out_.le(static_cast<std::uint8_t>(v.has_value() ? 1 : 0));
    if (v) out_.le(*v);
  }
  void require(bool condition, const char* what) {
    if (!condition) fail(invalid_argument("contradiction in a message", what));
  }

  Result<Bytes> finish() && {
    if (error_) return std::move(*error_);
    return std::move(out_).take();
  }

 private:
  bool count(std::size_t n, std::size_t max) {
    if (n > max) {
      fail(exhausted("internal message too large",
                     std::to_string(n) + " of at most " + std::to_string(max)));
    }
    if (error_) return false;
    out_.le(static_cast<std::uint32_t>(n));
    return true;
  }
  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }
  ByteWriter out_;
  std::optional<Error> error_;
};

class FieldReader {
 public:
  static constexpr bool kReading = true;
  explicit FieldReader(ByteView payload) : in_(payload) {}

  template <typename T>
  requires std::is_arithmetic_v<T>
  void number(T& v) {
    if constexpr (std::is_same_v<T, bool>) {
      v = flag();
    } else {
      v = raw<T>();
    }
  }
  void finite(double& v) {
    v = raw<double>();
    if (!std::isfinite(v)) fail("a number is not finite");
  }
  template <typename E>
  void enumeration(E& v, E last) {
    const auto number = raw<std::uint8_t>();
    if (number > static_cast<std::uint8_t>(last)) {
      fail("value out of its enumeration");
      return;
    }
    v = static_cast<E>(number);
  }
  void text(std::string& v, std::size_t bytes_max) {
    const std::size_t n = count(bytes_max, 1);
    if (error_) return;
    auto taken = in_.take_string(n);
    if (!taken.ok()) return fail("cut text");
    v.assign(*taken);
  }
  template <typename T>
  requires std::is_arithmetic_v<T>
  void numbers(std::vector<T>& v, std::size_t count_max) {
    const std::size_t n = count(count_max, sizeof(T));
    if (error_) return;
    auto taken = in_.take(n * sizeof(T));
    if (!taken.ok()) return fail("cut list");
    v.resize(n);
    if (n != 0) std::memcpy(v.data(), taken->data(), n * sizeof(T));
  }
  template <typename T, typename Each>
  void list(std::vector<T>& v, std::size_t count_max, std::size_t element_bytes_min, Each each) {
    const std::size_t n = count(count_max, element_bytes_min);
    for (std::size_t i = 0; i < n && !error_; ++i) each(v.emplace_back());
  }
  template <typename T>
  void optional(std::optional<T>& v) {
    if (flag()) v = raw<T>();
  }
  void require(bool condition, const char* what) {
    if (!condition) fail(what);
  }

  Status finish() && {
    if (!error_ && !in_.at_end()) fail("bytes after the last field");
    return error_ ? Status(std::move(*error_)) : ok_status();
  }

 private:
  template <typename T>
  T raw() {
    if (error_) return T{};
    auto value = in_.le<T>();
    if (!value.ok()) {
      fail("cut message");
      return T{};
    }
    return *value;
  }
  bool flag() {
    const auto v = raw<std::uint8_t>();
    if (v > 1) fail("a flag is neither 0 nor 1");
    return v == 1;
  }
  std::size_t count(std::size_t max, std::size_t element_bytes_min) {
    const std::size_t n = raw<std::uint32_t>();
    if (n > max) {
      fail("a count is above its limit");
    } else if (n > in_.remaining() / element_bytes_min) {
      fail("a count is above what the message holds");
    }
    return error_ ? 0 : n;
  }
  void fail(const char* what) {
    if (!error_) error_ = corrupt("internal protocol error", what);
  }
  ByteReader in_;
  std::optional<Error> error_;
};

}  // namespace holdfast::wire
