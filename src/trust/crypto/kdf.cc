#include "holdfast/crypto/kdf.h"

#include <argon2.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <memory>

#include "holdfast/base/check.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::crypto {
namespace {

struct KdfDeleter {
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

// Fetched once, as for hashes.
EVP_KDF* hkdf() {
  static EVP_KDF* const kKdf = [] {
    HF_CHECK(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1);
    EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
    HF_CHECK(kdf != nullptr);
    return kdf;
  }();
  return kKdf;
}

// OpenSSL reads what it takes as not const, and takes an empty view's address for a mistake.
OSSL_PARAM octets(const char* name, ByteView bytes) {
  static std::byte nothing{};
  std::byte* const data = bytes.empty() ? &nothing : const_cast<std::byte*>(bytes.data());
  return OSSL_PARAM_construct_octet_string(name, data, bytes.size());
}

}  // namespace

Result<Secret> hkdf_sha256(ByteView key, ByteView salt, ByteView info, std::size_t bytes) {
  HF_CHECK(!key.empty() && bytes > 0 && bytes <= 255 * sizeof(Sha256Digest));
  HF_TRY_ASSIGN(Secret out, Secret::of_size(bytes));
  const std::unique_ptr<EVP_KDF_CTX, KdfDeleter> context(EVP_KDF_CTX_new(hkdf()));
  HF_CHECK(context != nullptr);
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      octets(OSSL_KDF_PARAM_KEY, key), octets(OSSL_KDF_PARAM_SALT, salt),
      octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
  HF_CHECK(EVP_KDF_derive(context.get(), reinterpret_cast<unsigned char*>(out.bytes().data()),
                          bytes, parameters) == 1);
  return out;
}

Result<Secret> argon2id(ByteView passphrase, ByteView salt, const Argon2Cost& cost) {
  HF_TRY_ASSIGN(Secret out, Secret::of_size(kKeyBytes));
  const int status =
      argon2id_hash_raw(cost.passes, cost.memory_kib, cost.lanes, passphrase.data(),
                        passphrase.size(), salt.data(), salt.size(), out.bytes().data(), kKeyBytes);
  if (status == ARGON2_OK) return out;
  if (status == ARGON2_MEMORY_ALLOCATION_ERROR || status == ARGON2_THREAD_FAIL)
    return exhausted("not enough memory for the passphrase",
                     "Argon2id needs " + std::to_string(cost.memory_kib / 1024) + " MiB");
  return invalid_argument("the passphrase's parameters are out of range",
                          argon2_error_message(status));
}

Result<Secret> pbkdf2_sha256(ByteView passphrase, ByteView salt, std::uint32_t iterations) {
  HF_TRY_ASSIGN(Secret out, Secret::of_size(kKeyBytes));
  HF_CHECK(PKCS5_PBKDF2_HMAC(reinterpret_cast<const char*>(passphrase.data()),
                             static_cast<int>(passphrase.size()),
                             reinterpret_cast<const unsigned char*>(salt.data()),
                             static_cast<int>(salt.size()), static_cast<int>(iterations),
                             EVP_sha256(), static_cast<int>(kKeyBytes),
                             reinterpret_cast<unsigned char*>(out.bytes().data())) == 1);
  return out;
}

}  // namespace holdfast::crypto
