#include "holdfast/vault/content_keys.h"

#include <algorithm>

#include "holdfast/base/check.h"
#include "holdfast/crypto/kdf.h"
#include "holdfast/platform/socket.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kWeightsDomain = "holdfast/weights/v1";
constexpr std::string_view kHeaderDomain = "holdfast/weights/v1/header";
constexpr std::string_view kMagic = "HFCK";
constexpr std::string_view kDataKeyMagic = "HFDK";
constexpr std::uint16_t kVersion = 1;

// Field offsets of the message.
constexpr std::size_t kFixedBytes = 8;
constexpr std::size_t kPrefixAt = kFixedBytes + crypto::kKeyBytes;
constexpr std::size_t kHeaderKeyAt = kPrefixAt + kNoncePrefixBytes;
constexpr std::size_t kPaddingAt = kHeaderKeyAt + crypto::kKeyBytes;
static_assert(kPaddingAt + 1 == kContentKeyMessageBytes);
static_assert(kFixedBytes + crypto::kKeyBytes == kDataKeyMessageBytes);

Error bad_message() { return corrupt("the message with a pack's keys is damaged"); }

}  // namespace

Result<ContentKeys> ContentKeys::copy() const {
  ContentKeys out{algorithm, {}, nonce_prefix, {}};
  HF_TRY_ASSIGN(out.content_key, content_key.copy());
  HF_TRY_ASSIGN(out.header_key, header_key.copy());
  return out;
}

Result<ContentKeys> derive_content_keys(const crypto::Secret& dek, crypto::AeadAlgorithm algorithm,
                                        const Salt& salt, const ModelId& model_id) {
  HF_CHECK(dek.size() == crypto::kKeyBytes);
  ContentKeys keys;
  keys.algorithm = algorithm;
  ByteWriter info;
  info.raw(kWeightsDomain).be(static_cast<std::uint8_t>(algorithm)).raw(model_id);
  HF_TRY_ASSIGN(
      const crypto::Secret okm,
      crypto::hkdf_sha256(dek.view(), salt, info.view(), crypto::kKeyBytes + kNoncePrefixBytes));
  HF_TRY_ASSIGN(keys.content_key, crypto::Secret::copy_of(okm.view().first(crypto::kKeyBytes)));
  std::ranges::copy(okm.view().subspan(crypto::kKeyBytes), keys.nonce_prefix.begin());
  HF_TRY_ASSIGN(keys.header_key, crypto::hkdf_sha256(dek.view(), salt, as_bytes_view(kHeaderDomain),
                                                     crypto::kKeyBytes));
  return keys;
}

ContentKeyMessage::ContentKeyMessage(const ContentKeys& keys) {
  HF_CHECK(keys.content_key.size() == crypto::kKeyBytes &&
           keys.header_key.size() == crypto::kKeyBytes);
  const MutableBytes out = bytes();
  std::ranges::copy(as_bytes_view(kMagic), out.begin());
  store_be(out.data() + 4, kVersion);
  out[6] = static_cast<std::byte>(keys.algorithm);
  std::ranges::copy(keys.content_key.view(), out.begin() + kFixedBytes);
  std::ranges::copy(keys.nonce_prefix, out.begin() + kPrefixAt);
  std::ranges::copy(keys.header_key.view(), out.begin() + kHeaderKeyAt);
}

Result<ContentKeys> ContentKeyMessage::decode() const {
  const ByteView in = view();
  if (as_string_view(in.first(kMagic.size())) != kMagic) return bad_message();
  if (load_be<std::uint16_t>(in.data() + 4) != kVersion) {
    return unsupported("unsupported version of the message with a pack's keys");
  }
  const auto algorithm = crypto::aead_algorithm(std::to_integer<std::uint8_t>(in[6]));
  if (!algorithm) return unsupported("unsupported algorithm in the message with a pack's keys");
  if (in[7] != std::byte{0} || in[kPaddingAt] != std::byte{0}) return bad_message();
  ContentKeys keys;
  keys.algorithm = *algorithm;
  HF_TRY_ASSIGN(keys.content_key,
                crypto::Secret::copy_of(in.subspan(kFixedBytes, crypto::kKeyBytes)));
  std::ranges::copy(in.subspan(kPrefixAt, kNoncePrefixBytes), keys.nonce_prefix.begin());
  HF_TRY_ASSIGN(keys.header_key,
                crypto::Secret::copy_of(in.subspan(kHeaderKeyAt, crypto::kKeyBytes)));
  return keys;
}

DataKeyMessage::DataKeyMessage(const crypto::Secret& dek) {
  HF_CHECK(dek.size() == crypto::kKeyBytes);
  std::ranges::copy(as_bytes_view(kDataKeyMagic), bytes().begin());
  store_be(bytes().data() + 4, kVersion);
  std::ranges::copy(dek.view(), bytes().begin() + kFixedBytes);
}

Result<crypto::Secret> DataKeyMessage::decode() const {
  const ByteView in = view();
  if (as_string_view(in.first(kDataKeyMagic.size())) != kDataKeyMagic) return bad_message();
  if (load_be<std::uint16_t>(in.data() + 4) != kVersion) {
    return unsupported("unsupported version of the message with a pack's key");
  }
  if (load_be<std::uint16_t>(in.data() + 6) != 0) return bad_message();
  return crypto::Secret::copy_of(in.subspan(kFixedBytes));
}

Status send_content_keys(int fd, const ContentKeys& keys, platform::Deadline deadline) {
  const ContentKeyMessage message(keys);
  return platform::send_all(fd, message.view(), deadline);
}

Result<ContentKeys> receive_content_keys(int fd, platform::Deadline deadline) {
  ContentKeyMessage message;
  HF_TRY(platform::receive_exact(fd, message.bytes(), deadline).context("the pack's keys"));
  return message.decode();
}

Status send_data_key(int fd, const crypto::Secret& dek, platform::Deadline deadline) {
  const DataKeyMessage message(dek);
  return platform::send_all(fd, message.view(), deadline);
}

Result<crypto::Secret> receive_data_key(int fd, platform::Deadline deadline) {
  DataKeyMessage message;
  HF_TRY(platform::receive_exact(fd, message.bytes(), deadline).context("the pack's key"));
  return message.decode();
}

}  // namespace holdfast::vault
