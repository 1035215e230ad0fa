#include "holdfast/crypto/aead.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <limits>

#include "holdfast/base/check.h"

namespace holdfast::crypto {
namespace {

const EVP_CIPHER* fetch(const char* name) {
  HF_CHECK(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1);
  const EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, name, nullptr);
  HF_CHECK(cipher != nullptr);
  return cipher;
}

// Fetched once, as for hashes.
const EVP_CIPHER* cipher_of(AeadAlgorithm algorithm) {
  static const EVP_CIPHER* const kAes = fetch("AES-256-GCM");
  static const EVP_CIPHER* const kChaCha = fetch("ChaCha20-Poly1305");
  return algorithm == AeadAlgorithm::kAes256Gcm ? kAes : kChaCha;
}

unsigned char* raw(MutableBytes bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }
const unsigned char* raw(ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

int length_of(ByteView bytes) {
  HF_CHECK(bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  return static_cast<int>(bytes.size());
}

}  // namespace

std::optional<AeadAlgorithm> aead_algorithm(std::uint8_t number) {
  if (number != 1 && number != 2) return std::nullopt;
  return static_cast<AeadAlgorithm>(number);
}

std::string_view aead_algorithm_name(AeadAlgorithm algorithm) {
  return algorithm == AeadAlgorithm::kAes256Gcm ? "AES-256-GCM" : "ChaCha20-Poly1305";
}

AeadAlgorithm fastest_aead() {
#if defined(__x86_64__)
  const bool fast = __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#else
  const bool fast = false;  // where it is not known, the one that is fast everywhere
#endif
  return fast ? AeadAlgorithm::kAes256Gcm : AeadAlgorithm::kChaCha20Poly1305;
}

struct Aead::Context {
  EVP_CIPHER_CTX* evp = EVP_CIPHER_CTX_new();
  Context() { HF_CHECK(evp != nullptr); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { EVP_CIPHER_CTX_free(evp); }
};

Aead::Aead(AeadAlgorithm algorithm, ByteView key) : context_(std::make_unique<Context>()) {
  HF_CHECK(key.size() == 32);
  HF_CHECK(EVP_CipherInit_ex2(context_->evp, cipher_of(algorithm), raw(key), nullptr, 1, nullptr) ==
           1);
}
Aead::Aead(Aead&&) noexcept = default;
Aead& Aead::operator=(Aead&&) noexcept = default;
Aead::~Aead() = default;

void Aead::seal(const Nonce& nonce, ByteView associated, ByteView plain, MutableBytes out,
                MutableBytes tag) {
  HF_CHECK(out.size() == plain.size() && tag.size() == kTagBytes);
  EVP_CIPHER_CTX* evp = context_->evp;
  int n = 0;
  HF_CHECK(EVP_CipherInit_ex2(evp, nullptr, nullptr, raw(ByteView(nonce)), 1, nullptr) == 1);
  if (!associated.empty())
    HF_CHECK(EVP_CipherUpdate(evp, nullptr, &n, raw(associated), length_of(associated)) == 1);
  if (!plain.empty()) {
    HF_CHECK(EVP_CipherUpdate(evp, raw(out), &n, raw(plain), length_of(plain)) == 1);
    HF_CHECK(n == length_of(plain));
  }
  unsigned char rest[kTagBytes];
  HF_CHECK(EVP_CipherFinal_ex(evp, rest, &n) == 1 && n == 0);
  HF_CHECK(EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag.data()) == 1);
}

bool Aead::open(const Nonce& nonce, ByteView associated, ByteView sealed, ByteView tag,
                MutableBytes out) {
  HF_CHECK(out.size() == sealed.size());
  if (tag.size() != kTagBytes) return false;
  EVP_CIPHER_CTX* evp = context_->evp;
  int n = 0;
  HF_CHECK(EVP_CipherInit_ex2(evp, nullptr, nullptr, raw(ByteView(nonce)), 0, nullptr) == 1);
  unsigned char expected[kTagBytes];
  std::memcpy(expected, tag.data(), kTagBytes);
  HF_CHECK(EVP_CIPHER_CTX_ctrl(evp, EVP_CTRL_AEAD_SET_TAG, kTagBytes, expected) == 1);
  if (!associated.empty())
    HF_CHECK(EVP_CipherUpdate(evp, nullptr, &n, raw(associated), length_of(associated)) == 1);
  bool good =
      sealed.empty() || EVP_CipherUpdate(evp, raw(out), &n, raw(sealed), length_of(sealed)) == 1;
  unsigned char rest[kTagBytes];
  good = good && EVP_CipherFinal_ex(evp, rest, &n) == 1;
  if (!good && !out.empty()) OPENSSL_cleanse(out.data(), out.size());
  return good;
}

}  // namespace holdfast::crypto
