// Certificates of signing keys, issued by an authority of one's own (RFC 5280).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/signing/ec_key.h"

namespace holdfast::signing {

inline constexpr std::size_t kChainMax = 16;

// In DER, in the order of the file. kInvalidArgument for none, or for more than kChainMax.
Result<std::vector<Bytes>> certificates_from_pem(std::string_view pem);
Result<PublicKey> key_of_certificate(ByteView der);

struct ChainResult {
  PublicKey key;                              // of the signing certificate
  std::vector<std::string> names;             // its subject's alternative names and common name
  std::vector<crypto::Sha256Digest> key_ids;  // of every certificate up to the authority
};
// `chain`: the signing certificate, then those that may lie between it and an authority. kCorrupt
// with the reason: not issued by one of `authorities`, expired or not valid yet at `at_unix`
// (seconds), not meant for signatures (neither key usage digitalSignature nor extended key usage
// codeSigning).
Result<ChainResult> verify_chain(std::span<const Bytes> chain, std::span<const Bytes> authorities,
                                 std::int64_t at_unix);

}  // namespace holdfast::signing
