#include "holdfast/signing/bundle.h"

#include "holdfast/json/json.h"
#include "holdfast/signing/certificate.h"

namespace holdfast::signing {
namespace {

constexpr std::string_view kMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json";
constexpr std::string_view kPayloadType = "application/vnd.in-toto+json";
constexpr std::size_t kSignatureBytesMax = 256;
constexpr std::size_t kCertificateBytesMax = 64 * 1024;

Error malformed(std::string_view what) {
  return corrupt("not a bundle of a model signature", std::string(what));
}

Result<std::string> text_of(const json::Value& value, std::string_view member) {
  const json::Value* v = value.find(member);
  if (v == nullptr || !v->is_string()) return malformed(member);
  return v->as_string();
}

Result<Bytes> bytes_of(const json::Value& value, std::string_view member, std::size_t bytes_max) {
  HF_TRY_ASSIGN(const std::string text, text_of(value, member));
  auto bytes = from_base64(text);
  if (!bytes.ok() || bytes->empty() || bytes->size() > bytes_max) return malformed(member);
  return bytes;
}

Status decode_certificates(const json::Value& chain, Bundle& out) {
  const json::Value* list = chain.find("certificates");
  if (list == nullptr || !list->is_array() || list->as_array().empty() ||
      list->as_array().size() > kChainMax)
    return malformed("certificates");
  for (const json::Value& one : list->as_array()) {
    HF_TRY_ASSIGN(Bytes der, bytes_of(one, "rawBytes", kCertificateBytesMax));
    out.certificates.push_back(std::move(der));
  }
  return ok_status();
}

Status decode_material(const json::Value& bundle, Bundle& out) {
  const json::Value* material = bundle.find("verificationMaterial");
  if (material == nullptr || !material->is_object()) return malformed("verificationMaterial");
  const json::Value* log = material->find("tlogEntries");
  const bool logged = log != nullptr && !(log->is_array() && log->as_array().empty());
  const json::Value* key = material->find("publicKey");
  const json::Value* chain = material->find("x509CertificateChain");
  if (logged || material->find("certificate") != nullptr) {
    return unsupported("unsupported signature: made without a key of the signer's (keyless)")
        .with_hint("signatures with a key or a certificate of an own authority are understood");
  }
  if ((key != nullptr) == (chain != nullptr)) return malformed("verificationMaterial");
  if (chain != nullptr) return decode_certificates(*chain, out);
  // `rawBytes` of older bundles names the key as well, and is believed as little.
  if (const json::Value* hint = key->find("hint"); hint != nullptr && hint->is_string())
    out.key_hint = hint->as_string();
  return ok_status();
}

Status decode_envelope(const json::Value& bundle, Bundle& out) {
  const json::Value* envelope = bundle.find("dsseEnvelope");
  if (envelope == nullptr || !envelope->is_object()) return malformed("dsseEnvelope");
  HF_TRY_ASSIGN(const std::string type, text_of(*envelope, "payloadType"));
  if (type != kPayloadType) return malformed("payloadType");
  HF_TRY_ASSIGN(const Bytes payload, bytes_of(*envelope, "payload", kStatementBytesMax));
  out.payload = as_string_view(payload);
  const json::Value* signatures = envelope->find("signatures");
  if (signatures == nullptr || !signatures->is_array() || signatures->as_array().size() != 1)
    return malformed("signatures");
  const json::Value& one = signatures->as_array().front();
  const json::Value* key_id = one.find("keyid");
  if (key_id != nullptr && !key_id->is_null() && !key_id->is_string()) return malformed("keyid");
  HF_TRY_ASSIGN(out.signature, bytes_of(one, "sig", kSignatureBytesMax));
  return ok_status();
}

}  // namespace

std::string pre_authentication_encoding(std::string_view payload) {
  std::string out = "DSSEv1 " + std::to_string(kPayloadType.size()) + " ";
  out += kPayloadType;
  out += " " + std::to_string(payload.size()) + " ";
  out += payload;
  return out;
}

Result<Bundle> decode_bundle(std::string_view text) {
  const auto parsed = json::parse(text, {.bytes_max = kBundleBytesMax});
  if (!parsed.ok()) return malformed(parsed.error().client_message());
  HF_TRY_ASSIGN(const std::string media_type, text_of(*parsed, "mediaType"));
  if (media_type != kMediaType)
    return unsupported("unsupported version of a signature bundle", media_type);
  Bundle out;
  HF_TRY(decode_material(*parsed, out));
  HF_TRY(decode_envelope(*parsed, out));
  HF_TRY_ASSIGN(out.statement, decode_statement(as_bytes_view(out.payload)));
  return out;
}

Result<std::string> sign_statement(const Statement& statement, Signer& signer,
                                   std::span<const Bytes> certificates) {
  HF_TRY_ASSIGN(const PublicKey key, signer.public_key());
  json::Object material;
  if (certificates.empty()) {
    material.set("publicKey", json::Object{{"hint", key.hint()}});
  } else {
    HF_TRY_ASSIGN(const PublicKey certified, key_of_certificate(certificates.front()));
    if (certified.spki() != key.spki()) {
      return invalid_argument("the certificate is not that of the key")
          .with_hint("the signing certificate comes first in the file");
    }
    json::Array chain;
    for (const Bytes& der : certificates)
      chain.emplace_back(json::Object{{"rawBytes", to_base64(der)}});
    material.set("x509CertificateChain", json::Object{{"certificates", std::move(chain)}});
  }
  material.set("tlogEntries", json::Array{});
  const std::string payload = encode_statement(statement);
  HF_TRY_ASSIGN(const Bytes signature,
                signer.sign(as_bytes_view(pre_authentication_encoding(payload))));
  json::Object one{{"sig", to_base64(signature)}, {"keyid", ""}};
  json::Object envelope{{"payload", to_base64(as_bytes_view(payload))},
                        {"payloadType", kPayloadType},
                        {"signatures", json::Array{std::move(one)}}};
  return json::write(json::Object{{"mediaType", kMediaType},
                                  {"verificationMaterial", std::move(material)},
                                  {"dsseEnvelope", std::move(envelope)}});
}

}  // namespace holdfast::signing
