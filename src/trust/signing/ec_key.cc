#include "holdfast/signing/ec_key.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "holdfast/base/check.h"
#include "openssl_types.h"

namespace holdfast::signing {
namespace {

// nullptr for another curve.
const char* hash_of(const EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return nullptr;
  char name[32] = {};
  std::size_t length = 0;
  if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof name, &length) !=
      1)
    return nullptr;
  const std::string_view curve(name, length);
  if (curve == "prime256v1") return "SHA256";
  if (curve == "secp384r1") return "SHA384";
  return curve == "secp521r1" ? "SHA512" : nullptr;
}

std::shared_ptr<EVP_PKEY> shared(EVP_PKEY* key) { return {key, EVP_PKEY_free}; }

const unsigned char* data_of(ByteView bytes) {
  static const unsigned char kNothing = 0;
  return bytes.empty() ? &kNothing : reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace

Result<PublicKey> PublicKey::from_key(std::shared_ptr<EVP_PKEY> key) {
  if (hash_of(key.get()) == nullptr) {
    return unsupported("unsupported kind of signing key")
        .with_hint(
            "keys are of the curves P-256, P-384 or P-521: openssl ecparam -genkey -name "
            "prime256v1 -noout");
  }
  unsigned char* der = nullptr;
  const int length = i2d_PUBKEY(key.get(), &der);
  if (length <= 0) return internal_error("a public key could not be encoded");
  PublicKey out;
  const auto* bytes = reinterpret_cast<const std::byte*>(der);
  out.spki_.assign(bytes, bytes + length);
  OPENSSL_free(der);
  out.key_ = std::move(key);
  return out;
}

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  ERR_clear_error();
  const auto bio = memory_bio(pem);
  auto key = shared(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr) {
    return invalid_argument("not a public key in PEM form")
        .with_hint("openssl ec -in KEY.pem -pubout gives one");
  }
  return from_key(std::move(key));
}

Result<PublicKey> PublicKey::from_spki(ByteView der) {
  const unsigned char* in = data_of(der);
  auto key = shared(d2i_PUBKEY(nullptr, &in, static_cast<long>(der.size())));
  if (key == nullptr || in != data_of(der) + der.size())
    return invalid_argument("not a public key in DER form");
  return from_key(std::move(key));
}

std::string PublicKey::pem() const {
  const Owned<BIO, BIO_free> bio(BIO_new(BIO_s_mem()));
  HF_CHECK(bio != nullptr && PEM_write_bio_PUBKEY(bio.get(), key_.get()) == 1);
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(length));
}

std::string PublicKey::hint() const { return to_hex(crypto::sha256(as_bytes_view(pem()))); }

Status PublicKey::verify(ByteView message, ByteView signature) const {
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  HF_CHECK(context != nullptr);
  HF_CHECK(EVP_DigestVerifyInit_ex(context.get(), nullptr, hash_of(key_.get()), nullptr, nullptr,
                                   key_.get(), nullptr) == 1);
  const int good = EVP_DigestVerify(context.get(), data_of(signature), signature.size(),
                                    data_of(message), message.size());
  ERR_clear_error();
  if (good == 1) return ok_status();
  return corrupt("the signature is not that of this key, or what it signs was altered");
}

Result<PemSigner> PemSigner::load(std::string_view pem) {
  ERR_clear_error();
  const auto bio = memory_bio(pem);
  // An encrypted key must not make the library ask on the terminal.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  auto key = shared(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (key == nullptr) {
    return invalid_argument("not a private key in PEM form without a passphrase")
        .with_hint("openssl ec -in KEY.pem -out PLAIN.pem takes a passphrase off");
  }
  HF_TRY_ASSIGN(PublicKey both, PublicKey::from_key(std::move(key)));
  return PemSigner(std::move(both));
}

Result<Bytes> PemSigner::sign(ByteView message) {
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  HF_CHECK(context != nullptr);
  std::size_t length = 0;
  Bytes out;
  const bool sized =
      EVP_DigestSignInit_ex(context.get(), nullptr, hash_of(public_.key_.get()), nullptr, nullptr,
                            public_.key_.get(), nullptr) == 1 &&
      EVP_DigestSign(context.get(), nullptr, &length, data_of(message), message.size()) == 1;
  if (sized) out.resize(length);
  if (!sized || EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &length,
                               data_of(message), message.size()) != 1)
    return invalid_argument("the key cannot sign").with_hint("is it a private key?");
  out.resize(length);
  return out;
}

}  // namespace holdfast::signing
