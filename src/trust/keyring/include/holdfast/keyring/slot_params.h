// The parameters of each kind of factor (docs/formats/keyring.md, "Factors"), bounded before
// anything is allocated or derived from them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/kdf.h"

namespace holdfast::keyring {

inline constexpr std::uint32_t kArgon2MemoryKibMin = 64 * 1024;
inline constexpr std::uint32_t kArgon2MemoryKibMax = 16u << 20;
inline constexpr std::uint32_t kArgon2PassesMin = 3;
inline constexpr std::uint32_t kArgon2PassesMax = 1000;
inline constexpr std::uint32_t kArgon2LanesMax = 64;
inline constexpr std::uint32_t kPbkdf2IterationsMin = 600'000;
inline constexpr std::uint32_t kPbkdf2IterationsMax = 100'000'000;
inline constexpr std::size_t kTextParamBytesMax = 2048;  // paths, names and URIs
inline constexpr std::size_t kTpmBlobBytesMax = 2048;

using FactorSalt = std::array<std::byte, 16>;

struct PassphraseParams {
  FactorSalt salt{};
  crypto::Argon2Cost cost;
};
struct Pbkdf2Params {
  FactorSalt salt{};
  std::uint32_t iterations = kPbkdf2IterationsMin;
};
struct Tpm2Params {
  bool pin = false;
  std::uint32_t pcr_mask = 0;
  std::array<std::byte, 32> policy_digest{};
  Bytes public_area;   // TPM2B_PUBLIC
  Bytes private_area;  // TPM2B_PRIVATE
};
// At least one of the 24 registers of a PC, and no other bit.
constexpr bool is_pcr_mask(std::uint32_t mask) { return mask != 0 && (mask >> 24) == 0; }

struct Pkcs11Params {
  std::string uri;
  std::uint8_t mechanism = 2;  // 1 AES-KEY-WRAP, 2 AES-GCM
  Bytes iv;
  Bytes wrapped;
};

Bytes encode_params(const PassphraseParams& p);
Bytes encode_params(const Pbkdf2Params& p);
Bytes encode_params(const Tpm2Params& p);
Bytes encode_params(const Pkcs11Params& p);
// A key file's path, a credential's name.
Bytes encode_text_params(std::string_view text);

// kCorrupt for what encode_params cannot have written, or cost outside the limits.
Result<PassphraseParams> decode_passphrase_params(ByteView bytes);
Result<Pbkdf2Params> decode_pbkdf2_params(ByteView bytes);
Result<Tpm2Params> decode_tpm2_params(ByteView bytes);
Result<Pkcs11Params> decode_pkcs11_params(ByteView bytes);
Result<std::string> decode_text_params(ByteView bytes);

// The file that a PKCS#11 URI names for the PIN (RFC 7512 pin-source, file: or a path), or empty.
// kInvalidArgument where it names something else.
Result<std::string> pin_source_of(std::string_view uri);

}  // namespace holdfast::keyring
