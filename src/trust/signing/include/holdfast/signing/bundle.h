// The file of a model signature, `model.sig`: a Sigstore bundle v0.3 around a DSSE envelope.
// Format: docs/formats/signatures.md.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/signing/ec_key.h"
#include "holdfast/signing/statement.h"

namespace holdfast::signing {

// 65,536 resources of usual names.
inline constexpr std::size_t kBundleBytesMax = 24u << 20;
inline constexpr std::string_view kBundleFileName = "model.sig";

// Decoded, and not verified: nothing of it may be believed yet. Value.
struct Bundle {
  std::string payload;  // the statement's bytes, which are what is signed
  Bytes signature;
  std::vector<Bytes> certificates;  // DER, the signing one first; empty: signed with a bare key
  std::string key_hint;             // hexadecimal; may be empty
  Statement statement;
};

// kCorrupt for what is no bundle, or one of several signatures; kUnsupported for other versions,
// and for signatures of the keyless kind. Linear in the text.
Result<Bundle> decode_bundle(std::string_view text);

// What is signed of a payload: the pre-authentication encoding of DSSE 1.0.
std::string pre_authentication_encoding(std::string_view payload);

// Signs with `signer`; with `certificates` (DER, the signer's first) instead of its key's name.
// kInvalidArgument where the certificate is not the signer's.
Result<std::string> sign_statement(const Statement& statement, Signer& signer,
                                   std::span<const Bytes> certificates = {});

}  // namespace holdfast::signing
