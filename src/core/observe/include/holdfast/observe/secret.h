// Secret<T>: a value that cannot be printed, logged or compared by accident: prompts, answers,
// keys, tokens.
#pragma once

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace holdfast::observe {

// Overwrites memory in a way that the compiler keeps.
void wipe_memory(void* data, std::size_t bytes);

// Holds a std::string or a std::vector of trivial elements, and wipes what it held on destruction
// and when it is moved from. Reading takes reveal(), which a reviewer can search for. Move-only;
// thread-compatible.
template <typename T>
class Secret {
  static_assert(std::is_trivially_copyable_v<typename T::value_type>);

 public:
  Secret() = default;
  explicit Secret(T value) : value_(std::move(value)) {}
  Secret(Secret&& other) noexcept : value_(std::move(other.value_)) { other.wipe(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe();
      value_ = std::move(other.value_);
      other.wipe();
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(); }

  const T& reveal() const { return value_; }
  std::size_t size() const { return value_.size(); }
  bool empty() const { return value_.empty(); }
  Secret clone() const { return Secret(T(value_)); }

  // Comparison needs a constant-time function of trust/crypto; printing needs reveal().
  template <typename Other>
  bool operator==(const Other&) const = delete;
  template <typename Stream>
  friend Stream& operator<<(Stream&, const Secret&) = delete;

 private:
  void wipe() {
    // The whole capacity: a shrunken string keeps old bytes behind its end.
    value_.resize(value_.capacity());
    wipe_memory(value_.data(), value_.size() * sizeof(typename T::value_type));
    value_.clear();
  }
  T value_;
};

using SecretText = Secret<std::string>;
using SecretTokens = Secret<std::vector<int>>;

}  // namespace holdfast::observe
