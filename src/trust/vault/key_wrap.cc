#include "holdfast/vault/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kDomain = "holdfast/wrap/v1";
// The longest key that anything wraps is a TPM or signing key of some hundred bytes.
constexpr std::size_t kKeyBytesMax = 4096;

Error does_not_open() {
  return corrupt("a wrapped key does not open: it is damaged, or was wrapped under another key");
}

}  // namespace

Bytes wrap_aad(std::string_view purpose, ByteView id, std::uint32_t epoch) {
  ByteWriter out;
  out.raw(kDomain).be<std::uint8_t>(0).lp(purpose).lp(id).be(epoch);
  return std::move(out).take();
}

Bytes wrap_key(const crypto::Secret& kek, const crypto::Nonce& nonce, std::string_view purpose,
               ByteView id, std::uint32_t epoch, const crypto::Secret& key) {
  Bytes wrapped(key.size() + crypto::kTagBytes);
  const MutableBytes out(wrapped);
  crypto::Aead aead(crypto::AeadAlgorithm::kAes256Gcm, kek.view());
  aead.seal(nonce, wrap_aad(purpose, id, epoch), key.view(), out.first(key.size()),
            out.subspan(key.size()));
  return wrapped;
}

Result<crypto::Secret> unwrap_key(const crypto::Secret& kek, const crypto::Nonce& nonce,
                                  std::string_view purpose, ByteView id, std::uint32_t epoch,
                                  ByteView wrapped) {
  if (wrapped.size() <= crypto::kTagBytes || wrapped.size() > kKeyBytesMax) return does_not_open();
  const std::size_t bytes = wrapped.size() - crypto::kTagBytes;
  HF_TRY_ASSIGN(crypto::Secret key, crypto::Secret::of_size(bytes));
  crypto::Aead aead(crypto::AeadAlgorithm::kAes256Gcm, kek.view());
  if (!aead.open(nonce, wrap_aad(purpose, id, epoch), wrapped.first(bytes), wrapped.subspan(bytes),
                 key.bytes())) {
    return does_not_open();
  }
  return key;
}

}  // namespace holdfast::vault
