// Whose signatures count.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/signing/bundle.h"
#include "holdfast/signing/certificate.h"

namespace holdfast::signing {

struct Trust {
  std::vector<PublicKey> keys;
  std::vector<Bytes> authorities;             // certificates, DER
  std::vector<crypto::Sha256Digest> revoked;  // of SPKIs: keys and authorities that count no more
  // For certificates: one of its names must be this; empty: any that an authority certified.
  std::string identity;
};

// A PEM file of policy.trust_keys or a command: a public key, or certificates of authorities.
// kInvalidArgument for neither.
Status add_trusted(Trust& trust, std::string_view pem);

// "key " and twelve digits of the id: how a key without a certificate is shown.
std::string key_name(const crypto::Sha256Digest& id);

struct Verified {
  std::string name;               // of the certificate, or key_name()
  crypto::Sha256Digest key_id{};  // of the signing key
};
// Whether somebody who is trusted signed the bundle's statement. kCorrupt with the reason: a key
// that nobody trusts, one that is revoked, a certificate that is not accepted at `at_unix`, a
// signature that does not match.
Result<Verified> verify_signature(const Bundle& bundle, const Trust& trust, std::int64_t at_unix);

}  // namespace holdfast::signing
