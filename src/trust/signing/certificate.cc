#include "holdfast/signing/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "holdfast/base/check.h"
#include "openssl_types.h"

namespace holdfast::signing {
namespace {

using Certificate = Owned<X509, X509_free>;

constexpr std::size_t kNamesMax = 64;

void free_stack(STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); }

Certificate decode(ByteView der) {
  const auto* in = reinterpret_cast<const unsigned char*>(der.data());
  return Certificate(d2i_X509(nullptr, &in, static_cast<long>(der.size())));
}

Result<PublicKey> key_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  if (length <= 0) return invalid_argument("a certificate has no public key");
  auto key = PublicKey::from_spki(
      {reinterpret_cast<const std::byte*>(der), static_cast<std::size_t>(length)});
  OPENSSL_free(der);
  return key;
}

// Of any kind of key: authorities may have others than signers.
crypto::Sha256Digest key_id_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  const crypto::Sha256Digest id = crypto::sha256(
      {reinterpret_cast<const std::byte*>(der), static_cast<std::size_t>(std::max(length, 0))});
  OPENSSL_free(der);
  return id;
}

std::string text_of(const ASN1_STRING* text) {
  const auto* data = reinterpret_cast<const char*>(ASN1_STRING_get0_data(text));
  return std::string(data, static_cast<std::size_t>(ASN1_STRING_length(text)));
}

std::vector<std::string> names_of(X509* certificate) {
  std::vector<std::string> out;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names); ++i) {
    int kind = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &kind);
    if (out.size() < kNamesMax && (kind == GEN_EMAIL || kind == GEN_DNS || kind == GEN_URI))
      out.push_back(text_of(static_cast<const ASN1_STRING*>(value)));
  }
  GENERAL_NAMES_free(names);
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) out.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  return out;
}

bool may_sign(X509* certificate) {
  constexpr std::uint32_t kAbsent = UINT32_MAX;
  const std::uint32_t usage = X509_get_key_usage(certificate);
  if (usage != kAbsent && (usage & KU_DIGITAL_SIGNATURE) != 0) return true;
  const std::uint32_t extended = X509_get_extended_key_usage(certificate);
  return extended != kAbsent && (extended & XKU_CODE_SIGN) != 0;
}

}  // namespace

Result<std::vector<Bytes>> certificates_from_pem(std::string_view pem) {
  ERR_clear_error();
  const auto bio = memory_bio(pem);
  std::vector<Bytes> out;
  while (true) {
    const Certificate one(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (one == nullptr) break;
    if (out.size() == kChainMax) return invalid_argument("too many certificates in one file");
    unsigned char* der = nullptr;
    const int length = i2d_X509(one.get(), &der);
    if (length <= 0) return internal_error("a certificate could not be encoded");
    const auto* bytes = reinterpret_cast<const std::byte*>(der);
    out.emplace_back(bytes, bytes + length);
    OPENSSL_free(der);
  }
  ERR_clear_error();
  if (out.empty()) return invalid_argument("no certificate in PEM form");
  return out;
}

Result<PublicKey> key_of_certificate(ByteView der) {
  const Certificate certificate = decode(der);
  if (certificate == nullptr) return invalid_argument("not a certificate in DER form");
  return key_of(certificate.get());
}

Result<ChainResult> verify_chain(std::span<const Bytes> chain, std::span<const Bytes> authorities,
                                 std::int64_t at_unix) {
  if (chain.empty() || chain.size() > kChainMax)
    return corrupt("the signature has no chain of certificates, or too long a one");
  const Owned<X509_STORE, X509_STORE_free> store(X509_STORE_new());
  const Owned<STACK_OF(X509), free_stack> between(sk_X509_new_null());
  const Owned<X509_STORE_CTX, X509_STORE_CTX_free> context(X509_STORE_CTX_new());
  HF_CHECK(store != nullptr && between != nullptr && context != nullptr);
  for (const Bytes& der : authorities) {
    const Certificate root = decode(der);
    if (root != nullptr) X509_STORE_add_cert(store.get(), root.get());
  }
  const Certificate leaf = decode(chain.front());
  for (const Bytes& der : chain.subspan(1)) {
    Certificate one = decode(der);
    if (one == nullptr) return corrupt("a certificate of the signature is damaged");
    HF_CHECK(sk_X509_push(between.get(), one.release()) > 0);
  }
  if (leaf == nullptr) return corrupt("the signing certificate is damaged");
  HF_CHECK(X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), between.get()) == 1);
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(parameters, static_cast<time_t>(at_unix));
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (!good) {
    const int why = X509_STORE_CTX_get_error(context.get());
    return corrupt("the signing certificate is not accepted: " +
                   std::string(X509_verify_cert_error_string(why)));
  }
  if (!may_sign(leaf.get())) return corrupt("the signing certificate is not meant for signatures");
  HF_TRY_ASSIGN(PublicKey key, key_of(leaf.get()));
  ChainResult out{std::move(key), names_of(leaf.get()), {}};
  STACK_OF(X509)* path = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(path); ++i)
    out.key_ids.push_back(key_id_of(sk_X509_value(path, i)));
  return out;
}

}  // namespace holdfast::signing
