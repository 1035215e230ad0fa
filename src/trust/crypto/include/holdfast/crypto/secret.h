// Secret bytes: keys and what opens them. They cannot be printed, copied by accident or compared
// with ==, live in memory of their own kind (platform/secret_memory.h) and are wiped at their end.
#pragma once

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/platform/secret_memory.h"

namespace holdfast::crypto {

inline constexpr std::size_t kKeyBytes = 32;

// Thread-compatible.
class Secret {
 public:
  Secret() = default;
  Secret(Secret&&) noexcept = default;
  Secret& operator=(Secret&&) noexcept = default;

  // Zeros. kExhausted where there is no memory for a key.
  static Result<Secret> of_size(std::size_t bytes);
  static Result<Secret> copy_of(ByteView bytes);
  // From `entropy`: kIo where it has none.
  static Result<Secret> random(std::size_t bytes, platform::Entropy& entropy);
  Result<Secret> copy() const { return copy_of(view()); }

  bool empty() const { return memory_.size() == 0; }
  std::size_t size() const { return memory_.size(); }
  ByteView view() const { return memory_.view(); }
  MutableBytes bytes() { return memory_.bytes(); }
  platform::SecretMemoryKind kind() const { return memory_.kind(); }

 private:
  platform::SecretMemory memory_;
};

// A key with one purpose; another purpose is another type. `Tag` is never defined.
template <typename Tag>
class Key {
 public:
  Key() = default;
  explicit Key(Secret secret) : secret_(std::move(secret)) {}
  bool empty() const { return secret_.empty(); }
  ByteView view() const { return secret_.view(); }
  const Secret& secret() const { return secret_; }
  Secret release() && { return std::move(secret_); }

 private:
  Secret secret_;
};

}  // namespace holdfast::crypto
