#include "holdfast/crypto/sha256.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "holdfast/base/check.h"

namespace holdfast::crypto {
namespace {

// Fetched once: a fetch per hash costs more than hashing a small object. Without the configuration
// file, because a jailed process may not open any.
const EVP_MD* algorithm() {
  static const EVP_MD* const kAlgorithm = [] {
    HF_CHECK(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1);
    const EVP_MD* md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    HF_CHECK(md != nullptr);
    return md;
  }();
  return kAlgorithm;
}

}  // namespace

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  Context() { HF_CHECK(md != nullptr); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  HF_CHECK(EVP_DigestInit_ex2(context_->md, algorithm(), nullptr) == 1);
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

Sha256& Sha256::update(ByteView bytes) {
  HF_CHECK(EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) == 1);
  return *this;
}

Sha256Digest Sha256::finish() {
  Sha256Digest digest;
  unsigned length = 0;
  HF_CHECK(EVP_DigestFinal_ex(context_->md, reinterpret_cast<unsigned char*>(digest.data()),
                              &length) == 1);
  HF_CHECK(length == digest.size());
  HF_CHECK(EVP_DigestInit_ex2(context_->md, algorithm(), nullptr) == 1);
  return digest;
}

Sha256Digest sha256(ByteView bytes) { return Sha256().update(bytes).finish(); }

}  // namespace holdfast::crypto
