// Holder: the root key and the keys under it, in memory, and everything that is done with them. It
// reads and writes no file: keyring and wrapped keys come in and go out as bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/crypto/sha256.h"
#include "holdfast/keyring/root_key.h"
#include "holdfast/keyring/wrapped_key.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/entropy.h"
#include "holdfast/vault/model_id.h"

namespace holdfast::keyring {

// Child keys that are held at once: KEK epochs, peppers, import and column keys.
inline constexpr std::size_t kHeldKeysMax = 256;
// Wrong secrets in a row before the next try has to wait, and the longest wait.
inline constexpr std::uint32_t kFreeAttempts = 5;
inline constexpr std::chrono::seconds kAttemptWaitMax{60};

struct HolderStatus {
  bool open = false;
  InstanceId instance_id{};
  std::uint64_t generation = 0;
  std::uint32_t irk_epoch = 0;
  SlotId slot{};                                                               // that opened it
  platform::SecretMemoryKind memory = platform::SecretMemoryKind::kNotLocked;  // of the root key
  bool stay_sealed = false;  // an operator sealed it: only an operator opens it again
};

struct SlotSecret {
  SlotId slot{};
  std::vector<FactorKey> keys;  // one per factor
};

// What a MAC is for decides the key and what stands before the data.
enum class MacUse : std::uint8_t { kApiKey = 1, kPseudonym = 2, kCacheDomain = 3 };

// What a signature is for decides the key and what a message must look like.
enum class SignUse : std::uint8_t { kImport = 1 };  // a DSSE envelope of an in-toto statement

// No function returns the root key or a KEK; only reveal_dek() and give_dek() return a data key.
// Everything but status, create, open and seal is kUnavailable while it is sealed. Owned by one
// thread. References outlive it.
class Holder {
 public:
  Holder(platform::Entropy& entropy, const platform::Clock& clock)
      : entropy_(entropy), clock_(clock) {}

  HolderStatus status() const;

  // A new root key with one slot: the keyring file, generation 1. kConflict while one is open.
  Result<Bytes> create(const SlotPlan& slot, std::span<const FactorKey> keys);
  // kDenied as unwrap_root(); kCorrupt for a wrong MAC, and for a file older than `generation_min`,
  // or than one that was open here before; kExhausted while the next try has to wait.
  Status open(ByteView file, const SlotSecret& secret, std::uint64_t generation_min);
  // Wipes every key. Where an operator asked for it, status() says so until the next open().
  void seal(bool by_operator = false);

  // The file with the change, its generation one higher; nothing changes here. The caller stores it
  // and then says accept().
  Result<Bytes> add_slot(ByteView file, const SlotPlan& slot, std::span<const FactorKey> keys);
  // kConflict for the last slot, kNotFound.
  Result<Bytes> remove_slot(ByteView file, const SlotId& slot);
  // The stored file is now this one. kCorrupt where it is not ours.
  Status accept(ByteView file);
  // Whether that secret would open the keyring. Counts as a try, as in open().
  Status test_slot(ByteView file, const SlotSecret& secret);

  // A fresh key under the root key: its blob. It is not held until load_key().
  Result<Bytes> make_key(std::string_view purpose, ByteView id);
  // Wraps bytes that came from outside, such as the pepper of an older version.
  Result<Bytes> wrap_value(std::string_view purpose, ByteView id, const crypto::Secret& value);
  Status load_key(std::string_view purpose, ByteView id, ByteView blob);
  void unload_key(std::string_view purpose, ByteView id);

  // A new root key: the file with the slots whose secrets are given, and no others. Both keys are
  // held until accept() of that file, or another rotation.
  Result<Bytes> begin_rotation(ByteView file, std::span<const SlotSecret> kept);
  // From the root key to the new one.
  Result<Bytes> rewrap_child(std::string_view purpose, ByteView id, ByteView blob);

  // The data key of a model: a new one under the newest kek.weights, or the one of `blob`.
  struct DataKey {
    Bytes blob;
    crypto::Secret key;
  };
  Result<DataKey> give_dek(const vault::ModelId& model, ByteView blob);
  // kNotFound where the KEK of the blob's epoch is not held: it was rotated away meanwhile.
  Result<crypto::Secret> unwrap_dek(const vault::ModelId& model, ByteView blob) const;
  // Under the newest kek.weights.
  Result<Bytes> rewrap_dek(const vault::ModelId& model, ByteView blob);
  std::uint32_t newest_kek() const;

  // Values under kek.store.
  Result<Bytes> seal_value(ByteView name, const crypto::Secret& value);
  Result<crypto::Secret> open_value(ByteView name, ByteView blob) const;

  // HMAC-SHA-256 with the key of that use; its domain string is put before `data`. `id` is the
  // pepper's version or the tenant; empty for cache domains. kNotFound where the key is not held.
  Result<crypto::Sha256Digest> mac(MacUse use, ByteView id, ByteView data);

  // ECDSA P-256/SHA-256 with the key of that use, in DER. kInvalidArgument for a message that is
  // not of that use; kNotFound where the key is not held. The public key is an SPKI in DER.
  Result<Bytes> sign(SignUse use, ByteView id, ByteView message) const;
  Result<Bytes> public_key(SignUse use, ByteView id) const;

 private:
  using KeyName = std::pair<std::string, Bytes>;
  struct Root {
    RootKey key;
    std::uint32_t epoch = 0;
  };
  struct Opened {
    Root root;
    InstanceId instance_id{};
    std::uint64_t generation = 0;
    SlotId slot{};
  };

  Status check_open() const;
  Result<DecodedKeyring> decode_own(ByteView file) const;
  Result<RootKey> try_slot(const DecodedKeyring& file, const SlotSecret& secret);
  Status check_attempt() const;
  void count_attempt(bool good);
  Result<const crypto::Secret*> held(std::string_view purpose, ByteView id) const;
  Result<const crypto::Secret*> kek(std::string_view purpose, std::uint32_t epoch) const;

  platform::Entropy& entropy_;
  const platform::Clock& clock_;
  std::optional<Opened> opened_;
  std::optional<Root> next_;  // during a rotation
  std::map<KeyName, crypto::Secret> keys_;
  crypto::Secret cache_key_;  // random per process, never stored
  std::uint64_t generation_seen_ = 0;
  bool stay_sealed_ = false;
  std::uint32_t failures_ = 0;
  std::int64_t next_attempt_ns_ = 0;
};

}  // namespace holdfast::keyring
