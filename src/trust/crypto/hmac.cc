#include "holdfast/crypto/hmac.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <memory>

#include "holdfast/base/check.h"

namespace holdfast::crypto {
namespace {

struct ContextDeleter {
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MAC_CTX, ContextDeleter>;

// A context without key that is copied for each use: fetching costs more than hashing a key. No
// configuration file is read, because a jailed process may not open any.
const EVP_MAC_CTX* prototype() {
  static const EVP_MAC_CTX* const kPrototype = [] {
    HF_CHECK(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1);
    EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    HF_CHECK(mac != nullptr);
    EVP_MAC_CTX* context = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);  // the context keeps it
    HF_CHECK(context != nullptr);
    char digest[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    HF_CHECK(EVP_MAC_CTX_set_params(context, parameters) == 1);
    return context;
  }();
  return kPrototype;
}

const unsigned char* bytes_of(ByteView view) {
  // An empty view may have no address, which OpenSSL takes for "no key given".
  static const unsigned char kNothing = 0;
  return view.empty() ? &kNothing : reinterpret_cast<const unsigned char*>(view.data());
}

}  // namespace

Sha256Digest hmac_sha256(ByteView key, std::initializer_list<ByteView> parts) {
  const Context context(EVP_MAC_CTX_dup(prototype()));
  HF_CHECK(context != nullptr);
  HF_CHECK(EVP_MAC_init(context.get(), bytes_of(key), key.size(), nullptr) == 1);
  for (const ByteView part : parts) {
    HF_CHECK(EVP_MAC_update(context.get(), bytes_of(part), part.size()) == 1);
  }
  Sha256Digest out;
  std::size_t length = 0;
  HF_CHECK(EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(out.data()), &length,
                         out.size()) == 1);
  HF_CHECK(length == out.size());
  return out;
}

}  // namespace holdfast::crypto
