// SHA-256, one-shot and streaming, over OpenSSL.
#pragma once

#include <array>
#include <memory>

#include "holdfast/base/bytes.h"

namespace holdfast::crypto {

using Sha256Digest = std::array<std::byte, 32>;

// Streaming hash. Owned by one thread at a time (thread-compatible). Opens no file, so it works
// inside the jail.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  Sha256& update(ByteView bytes);
  // The digest of everything so far; afterwards the object is as new.
  Sha256Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// Thread-safe.
Sha256Digest sha256(ByteView bytes);

}  // namespace holdfast::crypto
