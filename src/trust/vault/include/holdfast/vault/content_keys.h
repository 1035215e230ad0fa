// The keys of one sealed pack, and the one message that carries them from the key holder to an
// engine. Formats: docs/formats/pack.md, "Keys" and "Content key message".
#pragma once

#include <array>
#include <cstdint>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/aead.h"
#include "holdfast/crypto/secret.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::vault {

inline constexpr std::size_t kNoncePrefixBytes = 7;
using NoncePrefix = std::array<std::byte, kNoncePrefixBytes>;

// What opens one pack and no other. From it the pack's data key cannot be found. Thread-compatible.
struct ContentKeys {
  crypto::AeadAlgorithm algorithm = crypto::AeadAlgorithm::kAes256Gcm;
  crypto::Secret content_key;  // FK, 32 bytes
  NoncePrefix nonce_prefix{};  // not secret
  crypto::Secret header_key;   // HK, 32 bytes

  // kExhausted where no memory can be locked.
  Result<ContentKeys> copy() const;
};

// From the pack's data key (32 bytes) and what its header says. kExhausted where no memory can be
// locked. Thread-safe.
Result<ContentKeys> derive_content_keys(const crypto::Secret& dek, crypto::AeadAlgorithm algorithm,
                                        const Salt& salt, const ModelId& model_id);

// The message: "HFCK" | be16 1 | u8 alg | u8 0 | FK[32] | prefix[7] | HK[32] | 0.
inline constexpr std::size_t kContentKeyMessageBytes = 80;

// The message's bytes in ordinary memory, which system calls can read (they do not read
// memfd_secret); wiped at its end. Thread-compatible.
class ContentKeyMessage {
 public:
  ContentKeyMessage() = default;
  explicit ContentKeyMessage(const ContentKeys& keys);
  ContentKeyMessage(const ContentKeyMessage&) = delete;
  ContentKeyMessage& operator=(const ContentKeyMessage&) = delete;
  ~ContentKeyMessage();

  ByteView view() const { return bytes_; }
  MutableBytes bytes() { return bytes_; }
  // kCorrupt for anything but a whole, valid message; kUnsupported for another version or
  // algorithm.
  Result<ContentKeys> decode() const;

 private:
  std::array<std::byte, kContentKeyMessageBytes> bytes_{};
};

}  // namespace holdfast::vault
