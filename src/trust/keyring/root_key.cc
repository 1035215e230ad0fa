#include "holdfast/keyring/root_key.h"

#include <algorithm>

#include "holdfast/base/check.h"
#include "holdfast/crypto/aead.h"
#include "holdfast/crypto/constant_time.h"
#include "holdfast/crypto/hmac.h"
#include "holdfast/crypto/kdf.h"

namespace holdfast::keyring {
namespace {

constexpr std::string_view kSlotDomain = "holdfast/slot-irk/v1";
constexpr std::string_view kMacDomain = "holdfast/keyring/v1";
constexpr auto kAlgorithm = crypto::AeadAlgorithm::kAes256Gcm;

Bytes slot_aad(const InstanceId& instance, const SlotId& slot, std::uint32_t irk_epoch,
               std::size_t factor) {
  ByteWriter out;
  out.raw(kSlotDomain).be<std::uint8_t>(0).raw(instance).raw(slot).be(irk_epoch);
  out.be(static_cast<std::uint8_t>(factor));
  return std::move(out).take();
}

// nonce | ciphertext | tag.
Result<Bytes> seal(const FactorKey& key, ByteView aad, ByteView plain, platform::Entropy& entropy) {
  Bytes out(crypto::kNonceBytes + plain.size() + crypto::kTagBytes);
  crypto::Nonce nonce;
  HF_TRY(entropy.fill(nonce));
  std::copy(nonce.begin(), nonce.end(), out.begin());
  const MutableBytes body = MutableBytes(out).subspan(nonce.size());
  crypto::Aead(kAlgorithm, key.view())
      .seal(nonce, aad, plain, body.first(plain.size()), body.subspan(plain.size()));
  return out;
}

// Precondition: `sealed` is longer than nonce and tag. Empty: it does not open.
Result<crypto::Secret> open(const FactorKey& key, ByteView aad, ByteView sealed) {
  crypto::Nonce nonce;
  std::copy_n(sealed.begin(), nonce.size(), nonce.begin());
  const ByteView body = sealed.subspan(nonce.size());
  const std::size_t bytes = body.size() - crypto::kTagBytes;
  HF_TRY_ASSIGN(crypto::Secret plain, crypto::Secret::of_size(bytes));
  if (!crypto::Aead(kAlgorithm, key.view())
           .open(nonce, aad, body.first(bytes), body.subspan(bytes), plain.bytes()))
    return does_not_open();
  return plain;
}

std::string_view factor_domain(FactorKind kind) {
  switch (kind) {
    case FactorKind::kTpm2:
      return "holdfast/slot/v1/tpm2";
    case FactorKind::kPkcs11:
      return "holdfast/slot/v1/pkcs11";
    case FactorKind::kCredential:
      return "holdfast/slot/v1/systemd";
    default:
      return "holdfast/slot/v1/file";
  }
}

Result<KeyringMac> mac_of(ByteView bytes, const InstanceId& instance, const RootKey& root) {
  HF_TRY_ASSIGN(const crypto::Secret key,
                crypto::hkdf_sha256(root.view(), instance, as_bytes_view(kMacDomain), 32));
  return crypto::hmac_sha256(key.view(), {bytes});
}

}  // namespace

Error does_not_open() {
  return Error(ErrorCode::kDenied,
               "the slot does not open: the secret is wrong, or the slot damaged")
      .with_hint("try again, or another slot: `holdfast seal status` lists them");
}

Result<FactorKey> derive_factor_key(FactorKind kind, const crypto::Secret& secret,
                                    const SlotId& slot) {
  HF_CHECK(kind != FactorKind::kPassphrase && kind != FactorKind::kPbkdf2);
  if (secret.size() < kFactorSecretBytesMin)
    return invalid_argument("the key that opens a slot must have at least 32 bytes");
  HF_TRY_ASSIGN(crypto::Secret key,
                crypto::hkdf_sha256(secret.view(), slot, as_bytes_view(factor_domain(kind)),
                                    crypto::kKeyBytes));
  return FactorKey(std::move(key));
}

Result<Bytes> wrap_root(const RootKey& root, std::span<const FactorKey> keys,
                        const InstanceId& instance, std::uint32_t irk_epoch, const SlotId& slot,
                        platform::Entropy& entropy) {
  HF_CHECK(!keys.empty() && keys.size() <= kFactorsMax);
  const std::size_t last = keys.size() - 1;
  HF_TRY_ASSIGN(Bytes wrapped,
                seal(keys[last], slot_aad(instance, slot, irk_epoch, last), root.view(), entropy));
  if (last == 0) return wrapped;
  return seal(keys[0], slot_aad(instance, slot, irk_epoch, 0), wrapped, entropy);
}

Result<RootKey> unwrap_root(const Slot& slot, std::span<const FactorKey> keys,
                            const InstanceId& instance, std::uint32_t irk_epoch) {
  HF_CHECK(keys.size() == slot.plan.factors.size());
  HF_CHECK(slot.wrapped.size() == wrapped_root_bytes(keys.size()));
  const SlotId& id = slot.plan.id;
  crypto::Secret inner;
  ByteView sealed = slot.wrapped;
  if (keys.size() == 2) {
    HF_TRY_ASSIGN(inner, open(keys[0], slot_aad(instance, id, irk_epoch, 0), sealed));
    sealed = inner.view();
  }
  const std::size_t last = keys.size() - 1;
  HF_TRY_ASSIGN(crypto::Secret root,
                open(keys[last], slot_aad(instance, id, irk_epoch, last), sealed));
  return RootKey(std::move(root));
}

Result<Bytes> sign_keyring(const Keyring& keyring, const RootKey& root) {
  Bytes file = encode_keyring(keyring);
  HF_TRY_ASSIGN(const KeyringMac mac, mac_of(file, keyring.instance_id, root));
  file.insert(file.end(), mac.begin(), mac.end());
  return file;
}

Status check_keyring(ByteView file, const DecodedKeyring& decoded, const RootKey& root) {
  HF_TRY_ASSIGN(const KeyringMac mac,
                mac_of(file.first(decoded.signed_bytes), decoded.keyring.instance_id, root));
  if (crypto::constant_time_equal(mac, decoded.mac)) return ok_status();
  return corrupt("the keyring was changed by something other than Holdfast",
                 "its MAC does not match")
      .with_hint("restore keyring.hfk from a backup (docs/operating/custody.md)");
}

}  // namespace holdfast::keyring
