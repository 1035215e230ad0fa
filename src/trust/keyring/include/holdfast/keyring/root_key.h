// The instance root key: how slots wrap it, how it signs the keyring, and the keys that factors
// give.
#pragma once

#include <span>
#include <vector>

#include "holdfast/crypto/secret.h"
#include "holdfast/keyring/keyring_file.h"

namespace holdfast::keyring {

using RootKey = crypto::Key<struct RootKeyTag>;
// What one factor of a slot gives: 32 bytes.
using FactorKey = crypto::Key<struct FactorKeyTag>;

// For kinds whose secret has enough entropy (TPM, token, credential, file): HKDF with the slot's id
// and a string of the kind. kInvalidArgument for less than 32 bytes; passphrases go through
// Argon2id instead (crypto/kdf.h).
inline constexpr std::size_t kFactorSecretBytesMin = 32;
Result<FactorKey> derive_factor_key(FactorKind kind, const crypto::Secret& secret,
                                    const SlotId& slot);

// The wrapped field of a slot. Precondition: one key per factor, in their order.
Result<Bytes> wrap_root(const RootKey& root, std::span<const FactorKey> keys,
                        const InstanceId& instance, std::uint32_t irk_epoch, const SlotId& slot,
                        platform::Entropy& entropy);
// kDenied, in the same words whether a key is wrong or the slot damaged. Precondition as wrap_root.
Result<RootKey> unwrap_root(const Slot& slot, std::span<const FactorKey> keys,
                            const InstanceId& instance, std::uint32_t irk_epoch);
// Those words.
Error does_not_open();

// The file: encode_keyring() and its MAC.
Result<Bytes> sign_keyring(const Keyring& keyring, const RootKey& root);
// kCorrupt unless the MAC over `file` is that of `root`.
Status check_keyring(ByteView file, const DecodedKeyring& decoded, const RootKey& root);

}  // namespace holdfast::keyring
