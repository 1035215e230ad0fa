#include "holdfast/crypto/secret.h"

#include <algorithm>

namespace holdfast::crypto {

Result<Secret> Secret::of_size(std::size_t bytes) {
  Secret secret;
  HF_TRY_ASSIGN(secret.memory_, platform::SecretMemory::allocate(bytes));
  return secret;
}

Result<Secret> Secret::copy_of(ByteView bytes) {
  HF_TRY_ASSIGN(Secret secret, of_size(bytes.size()));
  std::copy(bytes.begin(), bytes.end(), secret.bytes().begin());
  return secret;
}

Result<Secret> Secret::random(std::size_t bytes, platform::Entropy& entropy) {
  HF_TRY_ASSIGN(Secret secret, of_size(bytes));
  // By way of ordinary memory: system calls do not write to memfd_secret.
  std::byte piece[64];
  MutableBytes left = secret.bytes();
  while (!left.empty()) {
    const MutableBytes part = MutableBytes(piece).first(std::min(left.size(), sizeof piece));
    const Status filled = entropy.fill(part);
    if (filled.ok()) std::copy(part.begin(), part.end(), left.begin());
    platform::wipe(part);
    HF_TRY(filled);
    left = left.subspan(part.size());
  }
  return secret;
}

}  // namespace holdfast::crypto
