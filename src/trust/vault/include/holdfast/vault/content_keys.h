// The keys of one sealed pack, and the messages in which the key holder hands them out: content
// keys to an engine, a new data key to an importer. Formats: docs/formats/pack.md, "Keys" and "Key
// messages".
#pragma once

#include <array>
#include <cstdint>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/aead.h"
#include "holdfast/crypto/secret.h"
#include "holdfast/platform/clock.h"
#include "holdfast/vault/model_id.h"

namespace holdfast::vault {

inline constexpr std::size_t kNoncePrefixBytes = 7;
using NoncePrefix = std::array<std::byte, kNoncePrefixBytes>;

// What opens one pack and no other. From it the pack's data key cannot be found. Thread-compatible.
struct ContentKeys {
  crypto::AeadAlgorithm algorithm = crypto::AeadAlgorithm::kAes256Gcm;
  crypto::Secret content_key;  // FK, 32 bytes
  NoncePrefix nonce_prefix{};  // not secret
  crypto::Secret header_key;   // HK, 32 bytes

  // kExhausted where there is no memory for a key.
  Result<ContentKeys> copy() const;
};

// From the pack's data key (32 bytes) and what its header says. kExhausted where there is no
// memory. Thread-safe.
Result<ContentKeys> derive_content_keys(const crypto::Secret& dek, crypto::AeadAlgorithm algorithm,
                                        const Salt& salt, const ModelId& model_id);

// A message's bytes in ordinary memory, which system calls can read (they do not read
// memfd_secret); wiped at its end. Thread-compatible.
template <std::size_t kBytes>
class KeyMessage {
 public:
  KeyMessage() = default;
  KeyMessage(const KeyMessage&) = delete;
  KeyMessage& operator=(const KeyMessage&) = delete;
  ~KeyMessage() { platform::wipe(bytes_); }

  ByteView view() const { return bytes_; }
  MutableBytes bytes() { return bytes_; }

 private:
  std::array<std::byte, kBytes> bytes_{};
};

// "HFCK" | be16 1 | u8 alg | u8 0 | FK[32] | prefix[7] | HK[32] | 0
inline constexpr std::size_t kContentKeyMessageBytes = 80;
class ContentKeyMessage : public KeyMessage<kContentKeyMessageBytes> {
 public:
  ContentKeyMessage() = default;
  explicit ContentKeyMessage(const ContentKeys& keys);
  // kCorrupt for anything but a whole, valid message; kUnsupported for another version or
  // algorithm.
  Result<ContentKeys> decode() const;
};

// "HFDK" | be16 1 | be16 0 | DEK[32]
inline constexpr std::size_t kDataKeyMessageBytes = 40;
class DataKeyMessage : public KeyMessage<kDataKeyMessageBytes> {
 public:
  DataKeyMessage() = default;
  // Precondition: 32 bytes.
  explicit DataKeyMessage(const crypto::Secret& dek);
  // As ContentKeyMessage::decode().
  Result<crypto::Secret> decode() const;
};

// One message over a connected socket. kUnavailable where the other side is gone, kDeadline, kIo;
// errors of decoding.
Status send_content_keys(int fd, const ContentKeys& keys, platform::Deadline deadline);
Result<ContentKeys> receive_content_keys(int fd, platform::Deadline deadline);
Status send_data_key(int fd, const crypto::Secret& dek, platform::Deadline deadline);
Result<crypto::Secret> receive_data_key(int fd, platform::Deadline deadline);

}  // namespace holdfast::vault
