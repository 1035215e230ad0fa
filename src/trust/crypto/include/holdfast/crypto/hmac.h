// HMAC-SHA-256 (RFC 2104) over OpenSSL.
#pragma once

#include <initializer_list>

#include "holdfast/base/bytes.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::crypto {

// Of all parts, one after the other; the caller separates them so that they cannot be read in two
// ways. Thread-safe. Opens no file.
Sha256Digest hmac_sha256(ByteView key, std::initializer_list<ByteView> parts);

}  // namespace holdfast::crypto
