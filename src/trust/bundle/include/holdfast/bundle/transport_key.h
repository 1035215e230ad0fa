// The key of a sealed pack on its way to another site: wrapped under a passphrase, in the pack's
// first wrap slot. Format: docs/formats/bundle.md, "Key".
#pragma once

#include <string>

#include "holdfast/base/result.h"
#include "holdfast/crypto/kdf.h"
#include "holdfast/crypto/secret.h"
#include "holdfast/json/json.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::bundle {

// The id of the slot's key.
inline constexpr std::string_view kTransportKekId = "holdfast.bundle1";

// Costs that a bundle may ask of the site that opens it: the passphrase's owner chose them, who is
// not trusted with the machine.
inline constexpr std::uint32_t kTransportMemoryKibMin = 64 * 1024;
inline constexpr std::uint32_t kTransportMemoryKibMax = 4u << 20;
inline constexpr std::uint32_t kTransportPassesMax = 16;
inline constexpr std::uint32_t kTransportLanesMax = 16;

// The slot for `dek`, the data key of the pack with that header. The same passphrase, pack and cost
// give the same bytes: a pack's data key never changes, so its nonce is used for it alone.
// kInvalidArgument for a cost outside the limits; kExhausted where memory is short.
Result<vault::WrapSlot> wrap_for_transport(ByteView passphrase, const vault::PackHeader& header,
                                           const crypto::Argon2Cost& cost,
                                           const crypto::Secret& dek);
// The data key. kDenied for another passphrase; kCorrupt for a pack without such a slot; as
// wrap_for_transport().
Result<crypto::Secret> unwrap_from_transport(ByteView passphrase, const vault::PackHeader& header,
                                             const crypto::Argon2Cost& cost);

json::Object transport_key_json(const vault::PackHeader& header, const crypto::Argon2Cost& cost);
// kCorrupt, kUnsupported for another kind of key, kInvalidArgument for a cost outside the limits.
Result<crypto::Argon2Cost> decode_transport_key(const json::Value& value);

}  // namespace holdfast::bundle
