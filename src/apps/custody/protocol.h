// Bodies of requests and replies as this side writes and reads them (docs/formats/keyring.md).
#pragma once

#include <array>
#include <string_view>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/keyring/holder.h"

namespace holdfast::custody {

// Purposes of the keys that the root key wraps.
inline constexpr std::array<std::string_view, 6> kRootChildren = {
    keyring::purpose::kKekWeights, keyring::purpose::kKekStore,  keyring::purpose::kPepper,
    keyring::purpose::kImport,     keyring::purpose::kPseudonym, keyring::purpose::kAudit};

ByteWriter& append_file(ByteWriter& out, ByteView file);
// The slot's id and its number of factors.
void append_slot_secret(ByteWriter& out, const keyring::SlotPlan& slot);
Result<keyring::HolderStatus> decode_status(ByteView reply);
ByteWriter mac_body(keyring::MacUse use, std::string_view id, ByteView data);
Result<crypto::Sha256Digest> decode_mac(ByteView reply);

}  // namespace holdfast::custody
