// One wrap slot of a pack's header: the pack's data key, wrapped under a key of the keyring.
// Format: docs/formats/pack.md, "Wrap slots".
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/crypto/aead.h"
#include "holdfast/crypto/secret.h"
#include "holdfast/vault/model_id.h"

namespace holdfast::vault {

inline constexpr std::size_t kWrapSlots = 12;
inline constexpr std::size_t kWrapSlotBytes = 256;
inline constexpr std::size_t kWrappedBytesMax = 48;

enum class WrapAlgorithm : std::uint8_t { kAes256Gcm = 1, kAesKwp = 2 };

using KekId = std::array<std::byte, 16>;

// An unused slot is all zeros. Thread-compatible value.
struct WrapSlot {
  bool used = false;
  WrapAlgorithm algorithm = WrapAlgorithm::kAes256Gcm;
  std::uint32_t kek_epoch = 0;
  KekId kek_id{};
  crypto::Nonce nonce{};
  // 48 bytes: a 32-byte key and its tag (AES-256-GCM), or 40 (AES-KWP).
  std::array<std::byte, kWrappedBytesMax> wrapped{};

  std::size_t wrapped_len() const { return algorithm == WrapAlgorithm::kAes256Gcm ? 48 : 40; }
  bool operator==(const WrapSlot&) const = default;
};

using WrapSlots = std::array<WrapSlot, kWrapSlots>;

std::array<std::byte, kWrapSlotBytes> encode_wrap_slot(const WrapSlot& slot);
// Precondition: 256 bytes. kCorrupt names the field; slots are under no tag, so this is the only
// check before the key is unwrapped.
Result<WrapSlot> decode_wrap_slot(ByteView bytes);

// A slot for the data key of the pack `model_id`. Precondition: `kek` and `dek` have 32 bytes.
WrapSlot fill_wrap_slot(const crypto::Secret& kek, std::uint32_t kek_epoch, const KekId& kek_id,
                        const crypto::Nonce& nonce, const ModelId& model_id,
                        const crypto::Secret& dek);
// The data key. kCorrupt where kek, model or any bit of the slot is not that of the wrapping;
// kUnsupported for AES-KWP; kNotFound for an unused slot.
Result<crypto::Secret> open_wrap_slot(const crypto::Secret& kek, const ModelId& model_id,
                                      const WrapSlot& slot);

}  // namespace holdfast::vault
