#include "holdfast/keyring/wrapped_key.h"

#include <algorithm>
#include <charconv>

namespace holdfast::keyring {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kAes256Gcm = 1;
constexpr std::size_t kNonceAt = 1 + 1 + 4;
constexpr std::size_t kHeadBytes = kNonceAt + crypto::kNonceBytes;

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
  std::copy_n(blob.begin() + kNonceAt, nonce.size(), nonce.begin());
  return vault::unwrap_key(parent, nonce, purpose, id, parent_epoch, blob.subspan(kHeadBytes));
}

Bytes blob_of_slot(const vault::WrapSlot& slot) {
  ByteWriter out;
  out.be(kVersion).be(kAes256Gcm).be(slot.kek_epoch).raw(slot.nonce).raw(slot.wrapped);
  return std::move(out).take();
}

Result<vault::WrapSlot> slot_of_blob(ByteView blob, const vault::KekId& kek_id) {
  vault::WrapSlot slot;
  HF_TRY_ASSIGN(slot.kek_epoch, parent_epoch_of(blob));
  ByteReader in(blob.subspan(kNonceAt));
  HF_TRY(in.take_array(slot.nonce));
  HF_TRY(in.take_array(slot.wrapped));
  if (!in.at_end()) return corrupt("a model's key has a wrong length");
  slot.used = true;
  slot.kek_id = kek_id;
  return slot;
}

Bytes epoch_id(std::uint32_t epoch) {
  const std::string text = std::to_string(epoch);
  const ByteView view = as_bytes_view(text);
  return Bytes(view.begin(), view.end());
}

std::optional<std::uint32_t> epoch_of_id(ByteView id) {
  const std::string_view text = as_string_view(id);
  std::uint32_t epoch = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), epoch);
  if (error != std::errc() || end != text.data() + text.size() || epoch == 0) return std::nullopt;
  return epoch;
}

}  // namespace holdfast::keyring
