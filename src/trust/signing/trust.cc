#include "holdfast/signing/trust.h"

#include <algorithm>

namespace holdfast::signing {
namespace {

constexpr std::size_t kShownDigits = 12;

bool is_revoked(const Trust& trust, const crypto::Sha256Digest& id) {
  return std::find(trust.revoked.begin(), trust.revoked.end(), id) != trust.revoked.end();
}

Error revoked(const crypto::Sha256Digest& id) {
  return corrupt("the signing " + key_name(id) + " is revoked", to_hex(id))
      .with_hint("policy.revoked names it; ask the publisher for a model with another signature");
}

Status check(const PublicKey& key, const Bundle& bundle) {
  return key.verify(as_bytes_view(pre_authentication_encoding(bundle.payload)), bundle.signature);
}

Result<Verified> by_key(const Bundle& bundle, const Trust& trust) {
  for (const PublicKey& key : trust.keys) {
    if (!bundle.key_hint.empty() && bundle.key_hint != key.hint()) continue;
    if (!check(key, bundle).ok()) {
      // Without a hint any of the keys may be the one.
      if (bundle.key_hint.empty()) continue;
      return corrupt("the signature does not match: the statement was altered after it was signed");
    }
    if (is_revoked(trust, key.id())) return revoked(key.id());
    return Verified{key_name(key.id()), key.id()};
  }
  return corrupt("the model is signed by a key that is not trusted",
                 bundle.key_hint.empty() ? "" : "hint " + bundle.key_hint)
      .with_hint("if you know the publisher, name the key's file in policy.trust_keys");
}

Result<Verified> by_certificate(const Bundle& bundle, const Trust& trust, std::int64_t at_unix) {
  if (trust.authorities.empty()) {
    return corrupt("the model is signed with a certificate, and no authority is trusted")
        .with_hint("name the authority's certificate in policy.trust_keys, or with --ca");
  }
  HF_TRY_ASSIGN(const ChainResult chain,
                verify_chain(bundle.certificates, trust.authorities, at_unix));
  for (const crypto::Sha256Digest& id : chain.key_ids) {
    if (is_revoked(trust, id)) return revoked(id);
  }
  if (!check(chain.key, bundle).ok())
    return corrupt("the signature does not match: the statement was altered after it was signed");
  const auto& names = chain.names;
  if (!trust.identity.empty() &&
      std::find(names.begin(), names.end(), trust.identity) == names.end()) {
    return corrupt("the signing certificate is not that of " + trust.identity,
                   names.empty() ? "it has no name" : "it is that of " + names.front());
  }
  return Verified{names.empty() ? "certificate " + to_hex(chain.key.id()).substr(0, kShownDigits)
                                : names.front(),
                  chain.key.id()};
}

}  // namespace

std::string key_name(const crypto::Sha256Digest& id) {
  return "key " + to_hex(id).substr(0, kShownDigits);
}

Status add_trusted(Trust& trust, std::string_view pem) {
  if (pem.find("-----BEGIN CERTIFICATE-----") != std::string_view::npos) {
    HF_TRY_ASSIGN(std::vector<Bytes> all, certificates_from_pem(pem));
    std::move(all.begin(), all.end(), std::back_inserter(trust.authorities));
    return ok_status();
  }
  HF_TRY_ASSIGN(PublicKey key, PublicKey::from_pem(pem));
  trust.keys.push_back(std::move(key));
  return ok_status();
}

Result<Verified> verify_signature(const Bundle& bundle, const Trust& trust, std::int64_t at_unix) {
  return bundle.certificates.empty() ? by_key(bundle, trust)
                                     : by_certificate(bundle, trust, at_unix);
}

}  // namespace holdfast::signing
