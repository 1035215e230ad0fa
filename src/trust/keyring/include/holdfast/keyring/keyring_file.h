// The keyring file keyring.hfk as typed values: the slots that open the instance root key. Format:
// docs/formats/keyring.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"

namespace holdfast::keyring {

inline constexpr std::size_t kSlotsMax = 16;
inline constexpr std::size_t kSlotBytesMax = 8192;
inline constexpr std::size_t kFactorsMax = 2;
inline constexpr std::size_t kLabelBytesMax = 128;
inline constexpr std::size_t kKeyringHeaderBytes = 64;
inline constexpr std::size_t kKeyringMacBytes = 32;
inline constexpr std::size_t kKeyringBytesMax =
    kKeyringHeaderBytes + kSlotsMax * (4 + kSlotBytesMax) + kKeyringMacBytes;

using InstanceId = std::array<std::byte, 16>;
using SlotId = std::array<std::byte, 16>;
using KeyringMac = std::array<std::byte, kKeyringMacBytes>;

// Numbers as in the format.
enum class FactorKind : std::uint8_t {
  kPassphrase = 1,
  kTpm2 = 2,
  kPkcs11 = 3,
  kCredential = 4,
  kPbkdf2 = 5,
  kFile = 8,
};
// "passphrase", "tpm2", "pkcs11", "systemd", "pbkdf2", "file".
std::string_view factor_kind_name(FactorKind kind);
// nullopt for a name of none.
std::optional<FactorKind> find_factor_kind(std::string_view name);

struct Factor {
  FactorKind kind = FactorKind::kPassphrase;
  Bytes params;  // slot_params.h
  bool operator==(const Factor&) const = default;
};

// Everything of a slot that is not secret, before the root key is wrapped into it.
struct SlotPlan {
  SlotId id{};
  bool recovery = false;
  std::uint64_t created = 0;  // Unix seconds
  std::string label;
  std::vector<Factor> factors;  // one or two
  bool operator==(const SlotPlan&) const = default;
};

struct Slot {
  SlotPlan plan;
  Bytes wrapped;  // the root key: wrapped_root_bytes(factors) bytes
  bool operator==(const Slot&) const = default;
};

struct Keyring {
  InstanceId instance_id{};
  std::uint64_t generation = 1;  // grows with every change
  std::uint32_t irk_epoch = 1;   // grows with every new root key
  std::vector<Slot> slots;       // 1..kSlotsMax, ids differ

  // nullptr if there is none.
  const Slot* find(const SlotId& id) const;
};

// Nonce, 32 bytes, tag; nested once more for a second factor.
std::size_t wrapped_root_bytes(std::size_t n_factors);

// A slot alone, without its length: what the holder is asked to fill. kCorrupt, kUnsupported for
// kinds of a later version.
Bytes encode_slot_plan(const SlotPlan& plan);
Result<SlotPlan> decode_slot_plan(ByteView bytes);

// Everything before the MAC. Precondition: within the limits above.
Bytes encode_keyring(const Keyring& keyring);

struct DecodedKeyring {
  Keyring keyring;
  std::size_t signed_bytes = 0;  // from the start: what the MAC covers
  KeyringMac mac{};
};
// The whole file. Nothing in it is to be trusted before the MAC was checked with the root key that
// a slot gave. kCorrupt names what is wrong; kUnsupported for another version.
Result<DecodedKeyring> decode_keyring(ByteView file);

}  // namespace holdfast::keyring
