// CRC-32 (IEEE 802.3, as in zip and PNG): finds typing errors, proves nothing.
#pragma once

#include <cstdint>

#include "holdfast/base/bytes.h"

namespace holdfast::crypto {

// Thread-safe.
std::uint32_t crc32(ByteView bytes);

}  // namespace holdfast::crypto
