// Keys wrapped under other keys: AES-256-GCM whose associated data says what the key is for.
// Format: docs/formats/pack.md, "Wrapped keys".
#pragma once

#include <cstdint>
#include <string_view>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/aead.h"
#include "holdfast/crypto/secret.h"

namespace holdfast::vault {

// The purpose of a data key of a model; its id is the 16 bytes of model_id.
inline constexpr std::string_view kDekWeightsPurpose = "dek.weights";

// "holdfast/wrap/v1" | 0x00 | lp(purpose) | lp(id) | be32(epoch of the wrapping key). Precondition:
// purpose and id have at most 65,535 bytes. Thread-safe.
Bytes wrap_aad(std::string_view purpose, ByteView id, std::uint32_t epoch);

// ciphertext | tag: 16 bytes longer than `key`. `kek` has 32 bytes; the caller never gives one
// nonce twice with one `kek`. Thread-safe.
Bytes wrap_key(const crypto::Secret& kek, const crypto::Nonce& nonce, std::string_view purpose,
               ByteView id, std::uint32_t epoch, const crypto::Secret& key);

// kCorrupt where purpose, id, epoch, nonce, kek or any bit of `wrapped` is not that of the
// wrapping; kExhausted where there is no memory for a key. Thread-safe.
Result<crypto::Secret> unwrap_key(const crypto::Secret& kek, const crypto::Nonce& nonce,
                                  std::string_view purpose, ByteView id, std::uint32_t epoch,
                                  ByteView wrapped);

}  // namespace holdfast::vault
