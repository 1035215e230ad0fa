// A child key as the state database stores it (docs/formats/keyring.md, "Wrapped keys").
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/aead.h"
#include "holdfast/crypto/secret.h"
#include "holdfast/vault/key_wrap.h"
#include "holdfast/vault/wrap_slot.h"

namespace holdfast::keyring {

// Every purpose of the hierarchy: the first element of a key's path.
namespace purpose {
inline constexpr std::string_view kKekWeights = "kek.weights";
inline constexpr std::string_view kKekStore = "kek.store";
inline constexpr std::string_view kPepper = "pepper";
inline constexpr std::string_view kImport = "import";
inline constexpr std::string_view kPseudonym = "pseud";
inline constexpr std::string_view kAudit = "audit";
inline constexpr std::string_view kDekWeights = vault::kDekWeightsPurpose;
// Rows alone: wrapped as kDekWeights, the key that a rotation under way gives to a model's packs.
inline constexpr std::string_view kDekNext = "dek.next";
inline constexpr std::string_view kCredential = "credential";  // a value under kek.store
}  // namespace purpose

// Keys and values: a PEM key or the credential of an upstream is the longest.
inline constexpr std::size_t kWrappedBytesMax = 4096;

// Under a fresh nonce: u8 1 | u8 1 | be32 epoch | nonce[12] | ciphertext | tag[16]. Precondition:
// `key` has at most kWrappedBytesMax - 34 bytes.
Result<Bytes> wrap_child(const crypto::Secret& parent, std::uint32_t parent_epoch,
                         std::string_view purpose, ByteView id, const crypto::Secret& key,
                         platform::Entropy& entropy);
// kCorrupt unless `blob` is what wrap_child made with the same arguments.
Result<crypto::Secret> unwrap_child(const crypto::Secret& parent, std::uint32_t parent_epoch,
                                    std::string_view purpose, ByteView id, ByteView blob);
// The epoch of the key that wrapped it. kCorrupt, kUnsupported.
Result<std::uint32_t> parent_epoch_of(ByteView blob);

// A pack's wrap slot and its stored data key say the same. The blob of a slot that is used and of
// AES-256-GCM; the slot of a data key's blob, kCorrupt for one of another length.
Bytes blob_of_slot(const vault::WrapSlot& slot);
Result<vault::WrapSlot> slot_of_blob(ByteView blob, const vault::KekId& kek_id);

// A KEK's id is its epoch in decimal (ruling of the format); nullopt for anything else.
Bytes epoch_id(std::uint32_t epoch);
std::optional<std::uint32_t> epoch_of_id(ByteView id);

}  // namespace holdfast::keyring
