// ECDSA over NIST P-256 with SHA-256 (FIPS 186-5), for keys that are 32 secret bytes.
#pragma once

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/secret.h"

namespace holdfast::crypto {

// Whether 32 bytes, big-endian, are a private key of the curve: 1 to its order less one.
bool is_p256_key(const Secret& key);

// All are thread-safe, open no file, and answer kInvalidArgument for what is no private key.

// The public key as SubjectPublicKeyInfo in DER (RFC 5480), 91 bytes.
Result<Bytes> p256_public_key(const Secret& key);
// A signature of `message` (which is hashed here) in DER (RFC 3279), with a random nonce.
Result<Bytes> p256_sign(const Secret& key, ByteView message);

}  // namespace holdfast::crypto
