#include "holdfast/vault/wrap_slot.h"

#include <algorithm>

#include "holdfast/vault/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr std::size_t kReservedAt = 84;
static_assert(1 + 1 + 2 + 4 + sizeof(KekId) + crypto::kNonceBytes + kWrappedBytesMax ==
              kReservedAt);

Error bad_slot(std::string_view field) {
  return corrupt("the model pack is damaged: wrap slot, field " + std::string(field));
}

template <std::size_t N>
void copy_field(ByteView from, std::array<std::byte, N>& to) {
  std::copy_n(from.begin(), N, to.begin());
}

}  // namespace

std::array<std::byte, kWrapSlotBytes> encode_wrap_slot(const WrapSlot& slot) {
  std::array<std::byte, kWrapSlotBytes> out{};
  if (!slot.used) return out;
  out[0] = std::byte{1};
  out[1] = static_cast<std::byte>(slot.algorithm);
  store_be(out.data() + 2, static_cast<std::uint16_t>(slot.wrapped_len()));
  store_be(out.data() + 4, slot.kek_epoch);
  std::ranges::copy(slot.kek_id, out.begin() + 8);
  std::ranges::copy(slot.nonce, out.begin() + 24);
  std::copy_n(slot.wrapped.begin(), slot.wrapped_len(), out.begin() + 36);
  return out;
}

Result<WrapSlot> decode_wrap_slot(ByteView bytes) {
  HF_CHECK(bytes.size() == kWrapSlotBytes);
  WrapSlot slot;
  if (bytes[0] == std::byte{0}) {
    if (!all_zero(bytes)) return bad_slot("used");
    return slot;
  }
  if (bytes[0] != std::byte{1}) return bad_slot("used");
  if (bytes[1] != std::byte{1} && bytes[1] != std::byte{2}) return bad_slot("alg");
  slot.used = true;
  slot.algorithm = static_cast<WrapAlgorithm>(bytes[1]);
  if (load_be<std::uint16_t>(bytes.data() + 2) != slot.wrapped_len()) {
    return bad_slot("wrapped_len");
  }
  slot.kek_epoch = load_be<std::uint32_t>(bytes.data() + 4);
  copy_field(bytes.subspan(8), slot.kek_id);
  copy_field(bytes.subspan(24), slot.nonce);
  copy_field(bytes.subspan(36), slot.wrapped);
  if (!all_zero(bytes.subspan(36 + slot.wrapped_len()))) return bad_slot("reserved");
  return slot;
}

WrapSlot fill_wrap_slot(const crypto::Secret& kek, std::uint32_t kek_epoch, const KekId& kek_id,
                        const crypto::Nonce& nonce, const ModelId& model_id,
                        const crypto::Secret& dek) {
  HF_CHECK(dek.size() == crypto::kKeyBytes);
  WrapSlot slot;
  slot.used = true;
  slot.kek_epoch = kek_epoch;
  slot.kek_id = kek_id;
  slot.nonce = nonce;
  const Bytes wrapped = wrap_key(kek, nonce, kDekWeightsPurpose, model_id, kek_epoch, dek);
  std::ranges::copy(wrapped, slot.wrapped.begin());
  return slot;
}

Result<crypto::Secret> open_wrap_slot(const crypto::Secret& kek, const ModelId& model_id,
                                      const WrapSlot& slot) {
  if (!slot.used) return not_found("the wrap slot is not used");
  if (slot.algorithm != WrapAlgorithm::kAes256Gcm) {
    return unsupported("unsupported wrap slot: AES-KWP");
  }
  return unwrap_key(kek, slot.nonce, kDekWeightsPurpose, model_id, slot.kek_epoch, slot.wrapped);
}

}  // namespace holdfast::vault
