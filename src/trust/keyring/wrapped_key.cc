#include "holdfast/keyring/wrapped_key.h"

#include <algorithm>

#include "holdfast/vault/key_wrap.h"

namespace holdfast::keyring {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kAes256Gcm = 1;
constexpr std::size_t kHeadBytes = 1 + 1 + 4 + crypto::kNonceBytes;

}  // namespace

Result<Bytes> wrap_child(const crypto::Secret& parent, std::uint32_t parent_epoch,
                         std::string_view purpose, ByteView id, const crypto::Secret& key,
                         platform::Entropy& entropy) {
  crypto::Nonce nonce;
  HF_TRY(entropy.fill(nonce));
  ByteWriter out;
  out.be(kVersion).be(kAes256Gcm).be(parent_epoch).raw(nonce);
  out.raw(vault::wrap_key(parent, nonce, purpose, id, parent_epoch, key));
  return std::move(out).take();
}

Result<std::uint32_t> parent_epoch_of(ByteView blob) {
  if (blob.size() <= kHeadBytes + crypto::kTagBytes || blob.size() > kWrappedBytesMax)
    return corrupt("a wrapped key has a wrong length");
  if (blob[0] != std::byte{kVersion} || blob[1] != std::byte{kAes256Gcm})
    return unsupported("a wrapped key was written by another version of Holdfast");
  return load_be<std::uint32_t>(blob.data() + 2);
}

Result<crypto::Secret> unwrap_child(const crypto::Secret& parent, std::uint32_t parent_epoch,
                                    std::string_view purpose, ByteView id, ByteView blob) {
  HF_TRY_ASSIGN(const std::uint32_t epoch, parent_epoch_of(blob));
  if (epoch != parent_epoch) {
    return corrupt("a wrapped key belongs to another epoch", std::string(purpose) + ": " +
                                                                 std::to_string(epoch) + ", not " +
                                                                 std::to_string(parent_epoch));
  }
  crypto::Nonce nonce;
  std::copy_n(blob.begin() + 6, nonce.size(), nonce.begin());
  return vault::unwrap_key(parent, nonce, purpose, id, parent_epoch, blob.subspan(kHeadBytes));
}

}  // namespace holdfast::keyring
