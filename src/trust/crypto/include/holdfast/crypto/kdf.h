// Key derivation: HKDF-SHA-256 (RFC 5869) from secrets with enough entropy, Argon2id (RFC 9106)
// and PBKDF2 (RFC 8018) from passphrases.
#pragma once

#include "holdfast/crypto/secret.h"

namespace holdfast::crypto {

// Extract and expand. `key` is not empty, `bytes` is 1..8160. Thread-safe. kExhausted where there
// is no memory.
Result<Secret> hkdf_sha256(ByteView key, ByteView salt, ByteView info, std::size_t bytes);

struct Argon2Cost {
  std::uint32_t memory_kib = 1 << 20;
  std::uint32_t passes = 3;
  std::uint32_t lanes = 4;
};

// Version 1.3, 32 bytes. Memory in the open while it runs: it holds no passphrase, but what is
// derived from it, and is wiped. kExhausted where it is not to be had. Takes as long as `cost`
// says. Thread-safe.
Result<Secret> argon2id(ByteView passphrase, ByteView salt, const Argon2Cost& cost);

// 32 bytes, for profiles that do not allow Argon2id.
Result<Secret> pbkdf2_sha256(ByteView passphrase, ByteView salt, std::uint32_t iterations);

}  // namespace holdfast::crypto
