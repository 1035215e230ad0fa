// API keys as text: "hk_<id>_<secret>_<crc>", and the verifier that is stored in their place.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/crypto/sha256.h"
#include "holdfast/observe/secret.h"

namespace holdfast::identity {

inline constexpr std::size_t kKeyLength = 70;
inline constexpr std::size_t kKeyIdLength = 16;       // 10 bytes in lower-case base32
inline constexpr std::size_t kKeySecretLength = 43;   // 32 bytes in base64url without padding
inline constexpr std::size_t kKeyChecksumLength = 6;  // CRC-32 of all before it, in base62
static_assert(kKeyLength == 3 + kKeyIdLength + 1 + kKeySecretLength + 1 + kKeyChecksumLength);

using KeyIdBytes = std::array<std::byte, 10>;
using KeySecretBytes = std::array<std::byte, 32>;
// Keys the verifiers: whoever reads the key file alone learns nothing that can be tested.
using Pepper = std::array<std::byte, 32>;

// Views into the text that was parsed.
struct ParsedKey {
  std::string_view id;
  std::string_view secret;
};

// By position, as the secret may hold '_'. kUnauthenticated for every text that format_key cannot
// have made. Thread-safe.
Result<ParsedKey> parse_key(std::string_view text);

observe::SecretText format_key(const KeyIdBytes& id, const KeySecretBytes& secret);
// True for 16 characters of lower-case base32.
bool is_key_id(std::string_view text);

// HMAC-SHA-256(pepper, "holdfast/apikey/v1" | 0 | id | 0 | secret), both as text.
crypto::Sha256Digest key_verifier(const Pepper& pepper, const ParsedKey& key);

}  // namespace holdfast::identity
