#include "holdfast/keyring/holder.h"

#include <algorithm>

#include "holdfast/base/check.h"
#include "holdfast/crypto/constant_time.h"
#include "holdfast/crypto/hmac.h"
#include "holdfast/crypto/p256.h"

namespace holdfast::keyring {
namespace {

constexpr std::string_view kApiKeyDomain = "holdfast/apikey/v1";
constexpr std::string_view kPseudonymDomain = "holdfast/pseudonym/v1";
constexpr std::string_view kCacheDomain = "holdfast/cache-domain/v1";
// How the bytes begin that a DSSE envelope of an in-toto statement signs: version, length and name
// of the payload's type.
constexpr std::string_view kImportMessage = "DSSEv1 28 application/vnd.in-toto+json ";

Error is_sealed() {
  return unavailable("the keyring is sealed").with_hint("open it: holdfast seal unseal");
}

// Keys of 32 bytes that the root key wraps.
bool is_root_child(std::string_view name) {
  return name == purpose::kKekWeights || name == purpose::kKekStore || name == purpose::kPepper ||
         name == purpose::kImport || name == purpose::kPseudonym || name == purpose::kAudit;
}

Status check_purpose(std::string_view name) {
  if (is_root_child(name)) return ok_status();
  return invalid_argument("the keyring has no keys of that purpose");
}

}  // namespace

HolderStatus Holder::status() const {
  HolderStatus s;
  s.stay_sealed = stay_sealed_;
  if (!opened_) return s;
  s.open = true;
  s.instance_id = opened_->instance_id;
  s.generation = opened_->generation;
  s.irk_epoch = opened_->root.epoch;
  s.slot = opened_->slot;
  s.memory = opened_->root.key.secret().kind();
  return s;
}

Status Holder::check_open() const { return opened_ ? ok_status() : Status(is_sealed()); }

Result<Bytes> Holder::create(const SlotPlan& slot, std::span<const FactorKey> keys) {
  if (opened_) return conflict("a keyring is open already");
  if (keys.size() != slot.factors.size()) return invalid_argument("a slot needs all its factors");
  Opened fresh;
  HF_TRY_ASSIGN(crypto::Secret root, crypto::Secret::random(crypto::kKeyBytes, entropy_));
  fresh.root = {RootKey(std::move(root)), 1};
  HF_TRY(entropy_.fill(fresh.instance_id));
  fresh.generation = 1;
  fresh.slot = slot.id;
  Keyring keyring{fresh.instance_id, 1, 1, {}};
  HF_TRY_ASSIGN(Bytes wrapped,
                wrap_root(fresh.root.key, keys, fresh.instance_id, 1, slot.id, entropy_));
  keyring.slots.push_back({slot, std::move(wrapped)});
  HF_TRY_ASSIGN(Bytes file, sign_keyring(keyring, fresh.root.key));
  opened_ = std::move(fresh);
  return file;
}

Status Holder::check_attempt() const {
  const std::int64_t wait_ns = next_attempt_ns_ - clock_.monotonic_ns();
  if (wait_ns <= 0) return ok_status();
  return exhausted("too many wrong attempts: the next is taken in " +
                   std::to_string(wait_ns / 1'000'000'000 + 1) + " s")
      .with_hint("wait, then give the right passphrase; the recovery code opens the keyring too");
}

void Holder::count_attempt(bool good) {
  if (good) {
    failures_ = 0;
    next_attempt_ns_ = 0;
    return;
  }
  ++failures_;
  if (failures_ < kFreeAttempts) return;
  const auto wait = std::min<std::int64_t>(
      std::int64_t{1} << std::min(failures_ - kFreeAttempts, 10u), kAttemptWaitMax.count());
  next_attempt_ns_ = clock_.monotonic_ns() + wait * 1'000'000'000;
}

// One way out for a slot that is not there, a wrong key and damage.
Result<RootKey> Holder::try_slot(const DecodedKeyring& file, const SlotSecret& secret) {
  HF_TRY(check_attempt());
  const Slot* slot = file.keyring.find(secret.slot);
  if (slot == nullptr || secret.keys.size() != slot->plan.factors.size()) return does_not_open();
  auto root = unwrap_root(*slot, secret.keys, file.keyring.instance_id, file.keyring.irk_epoch);
  count_attempt(root.ok());
  return root;
}

Status Holder::open(ByteView file, const SlotSecret& secret, std::uint64_t generation_min) {
  HF_TRY_ASSIGN(const DecodedKeyring decoded, decode_keyring(file));
  HF_TRY_ASSIGN(RootKey root, try_slot(decoded, secret));
  HF_TRY(check_keyring(file, decoded, root));
  const Keyring& keyring = decoded.keyring;
  if (keyring.generation < std::max(generation_min, generation_seen_)) {
    return corrupt("the keyring is older than the state database: an old copy was put in its place",
                   "generation " + std::to_string(keyring.generation))
        .with_hint("restore keyring.hfk and state.db from the same backup");
  }
  seal();
  opened_ = Opened{
      {std::move(root), keyring.irk_epoch}, keyring.instance_id, keyring.generation, secret.slot};
  generation_seen_ = keyring.generation;
  return ok_status();
}

void Holder::seal(bool by_operator) {
  stay_sealed_ = by_operator;
  opened_.reset();
  next_.reset();
  keys_.clear();
  cache_key_ = crypto::Secret();
}

// The file must be the one that is open: changes build on nothing else.
Result<DecodedKeyring> Holder::decode_own(ByteView file) const {
  HF_TRY(check_open());
  HF_TRY_ASSIGN(DecodedKeyring decoded, decode_keyring(file));
  HF_TRY(check_keyring(file, decoded, opened_->root.key));
  if (decoded.keyring.instance_id != opened_->instance_id ||
      decoded.keyring.generation != opened_->generation) {
    return conflict("the keyring changed meanwhile").with_hint("try again");
  }
  return decoded;
}

Result<Bytes> Holder::add_slot(ByteView file, const SlotPlan& slot,
                               std::span<const FactorKey> keys) {
  HF_TRY_ASSIGN(DecodedKeyring decoded, decode_own(file));
  Keyring& keyring = decoded.keyring;
  if (keyring.slots.size() == kSlotsMax) {
    return exhausted("the keyring has 16 slots, which is all it can hold")
        .with_hint("remove one first: holdfast seal slot rm ID");
  }
  if (keyring.find(slot.id) != nullptr) return conflict("the slot exists already");
  if (keys.size() != slot.factors.size()) return invalid_argument("a slot needs all its factors");
  HF_TRY_ASSIGN(Bytes wrapped, wrap_root(opened_->root.key, keys, keyring.instance_id,
                                         keyring.irk_epoch, slot.id, entropy_));
  keyring.slots.push_back({slot, std::move(wrapped)});
  ++keyring.generation;
  return sign_keyring(keyring, opened_->root.key);
}

Result<Bytes> Holder::remove_slot(ByteView file, const SlotId& slot) {
  HF_TRY_ASSIGN(DecodedKeyring decoded, decode_own(file));
  Keyring& keyring = decoded.keyring;
  if (keyring.find(slot) == nullptr) return not_found("there is no such slot");
  if (keyring.slots.size() == 1) {
    return conflict("this is the only slot: without it nothing opens the keyring")
        .with_hint("add another one first: holdfast seal slot add");
  }
  std::erase_if(keyring.slots, [&](const Slot& s) { return s.plan.id == slot; });
  ++keyring.generation;
  return sign_keyring(keyring, opened_->root.key);
}

Status Holder::accept(ByteView file) {
  HF_TRY(check_open());
  HF_TRY_ASSIGN(const DecodedKeyring decoded, decode_keyring(file));
  const bool rotated = next_ && decoded.keyring.irk_epoch == next_->epoch;
  HF_TRY(check_keyring(file, decoded, rotated ? next_->key : opened_->root.key));
  if (decoded.keyring.generation < opened_->generation)
    return corrupt("the keyring is older than the one that is open");
  if (rotated) opened_->root = std::move(*next_);
  next_.reset();
  opened_->generation = decoded.keyring.generation;
  generation_seen_ = opened_->generation;
  return ok_status();
}

Status Holder::test_slot(ByteView file, const SlotSecret& secret) {
  HF_TRY_ASSIGN(const DecodedKeyring decoded, decode_own(file));
  HF_TRY_ASSIGN(const RootKey root, try_slot(decoded, secret));
  if (crypto::constant_time_equal(root.view(), opened_->root.key.view())) return ok_status();
  return does_not_open();
}

Result<Bytes> Holder::make_key(std::string_view purpose, ByteView id) {
  HF_TRY_ASSIGN(crypto::Secret key, crypto::Secret::random(crypto::kKeyBytes, entropy_));
  // One in 2^32 is no key of the curve.
  while (purpose == purpose::kImport && !crypto::is_p256_key(key)) {
    HF_TRY_ASSIGN(key, crypto::Secret::random(crypto::kKeyBytes, entropy_));
  }
  return wrap_value(purpose, id, key);
}

Result<Bytes> Holder::wrap_value(std::string_view purpose, ByteView id,
                                 const crypto::Secret& value) {
  HF_TRY(check_open());
  HF_TRY(check_purpose(purpose));
  return wrap_child(opened_->root.key.secret(), opened_->root.epoch, purpose, id, value, entropy_);
}

Status Holder::load_key(std::string_view purpose, ByteView id, ByteView blob) {
  HF_TRY(check_open());
  HF_TRY(check_purpose(purpose));
  if (keys_.size() >= kHeldKeysMax) return exhausted("the keyring holds too many keys");
  HF_TRY_ASSIGN(crypto::Secret key,
                unwrap_child(opened_->root.key.secret(), opened_->root.epoch, purpose, id, blob));
  keys_[KeyName(purpose, Bytes(id.begin(), id.end()))] = std::move(key);
  return ok_status();
}

void Holder::unload_key(std::string_view purpose, ByteView id) {
  keys_.erase(KeyName(purpose, Bytes(id.begin(), id.end())));
}

Result<Bytes> Holder::begin_rotation(ByteView file, std::span<const SlotSecret> kept) {
  HF_TRY_ASSIGN(DecodedKeyring decoded, decode_own(file));
  if (kept.empty()) return invalid_argument("no slot would be left");
  Keyring& keyring = decoded.keyring;
  HF_TRY_ASSIGN(crypto::Secret fresh, crypto::Secret::random(crypto::kKeyBytes, entropy_));
  Root next{RootKey(std::move(fresh)), keyring.irk_epoch + 1};
  std::vector<Slot> slots;
  for (const SlotSecret& secret : kept) {
    // A key that does not open the slot now would not open it afterwards.
    HF_TRY(try_slot(decoded, secret));
    Slot slot = *keyring.find(secret.slot);
    HF_TRY_ASSIGN(slot.wrapped, wrap_root(next.key, secret.keys, keyring.instance_id, next.epoch,
                                          slot.plan.id, entropy_));
    slots.push_back(std::move(slot));
  }
  keyring.slots = std::move(slots);
  keyring.irk_epoch = next.epoch;
  ++keyring.generation;
  HF_TRY_ASSIGN(Bytes out, sign_keyring(keyring, next.key));
  next_ = std::move(next);
  return out;
}

Result<Bytes> Holder::rewrap_child(std::string_view purpose, ByteView id, ByteView blob) {
  HF_TRY(check_open());
  HF_TRY(check_purpose(purpose));
  if (!next_) return invalid_argument("no rotation of the root key is under way");
  HF_TRY_ASSIGN(const crypto::Secret key,
                unwrap_child(opened_->root.key.secret(), opened_->root.epoch, purpose, id, blob));
  return wrap_child(next_->key.secret(), next_->epoch, purpose, id, key, entropy_);
}

Result<const crypto::Secret*> Holder::held(std::string_view purpose, ByteView id) const {
  HF_TRY(check_open());
  const auto it = keys_.find(KeyName(purpose, Bytes(id.begin(), id.end())));
  if (it == keys_.end())
    return not_found("a key of the keyring is not there", std::string(purpose));
  return &it->second;
}

Result<const crypto::Secret*> Holder::kek(std::string_view purpose, std::uint32_t epoch) const {
  return held(purpose, epoch_id(epoch));
}

std::uint32_t Holder::newest_kek() const {
  std::uint32_t newest = 0;
  for (const auto& [name, key] : keys_) {
    if (name.first == purpose::kKekWeights)
      newest = std::max(newest, epoch_of_id(name.second).value_or(0));
  }
  return newest;
}

Result<Holder::DataKey> Holder::give_dek(const vault::ModelId& model, ByteView blob) {
  if (!blob.empty()) {
    HF_TRY_ASSIGN(crypto::Secret known, unwrap_dek(model, blob));
    return DataKey{Bytes(blob.begin(), blob.end()), std::move(known)};
  }
  const std::uint32_t epoch = newest_kek();
  HF_TRY_ASSIGN(const crypto::Secret* parent, kek(purpose::kKekWeights, epoch));
  HF_TRY_ASSIGN(crypto::Secret key, crypto::Secret::random(crypto::kKeyBytes, entropy_));
  HF_TRY_ASSIGN(Bytes wrapped,
                wrap_child(*parent, epoch, purpose::kDekWeights, model, key, entropy_));
  return DataKey{std::move(wrapped), std::move(key)};
}

Result<crypto::Secret> Holder::unwrap_dek(const vault::ModelId& model, ByteView blob) const {
  HF_TRY_ASSIGN(const std::uint32_t epoch, parent_epoch_of(blob));
  HF_TRY_ASSIGN(const crypto::Secret* parent, kek(purpose::kKekWeights, epoch));
  HF_TRY_ASSIGN(crypto::Secret key,
                unwrap_child(*parent, epoch, purpose::kDekWeights, model, blob));
  if (key.size() != crypto::kKeyBytes) return corrupt("a model's key has a wrong length");
  return key;
}

Result<Bytes> Holder::rewrap_dek(const vault::ModelId& model, ByteView blob) {
  HF_TRY_ASSIGN(const crypto::Secret key, unwrap_dek(model, blob));
  const std::uint32_t epoch = newest_kek();
  HF_TRY_ASSIGN(const crypto::Secret* parent, kek(purpose::kKekWeights, epoch));
  return wrap_child(*parent, epoch, purpose::kDekWeights, model, key, entropy_);
}

Result<Bytes> Holder::seal_value(ByteView name, const crypto::Secret& value) {
  HF_TRY_ASSIGN(const crypto::Secret* parent, kek(purpose::kKekStore, 1));
  return wrap_child(*parent, 1, purpose::kCredential, name, value, entropy_);
}

Result<crypto::Secret> Holder::open_value(ByteView name, ByteView blob) const {
  HF_TRY_ASSIGN(const crypto::Secret* parent, kek(purpose::kKekStore, 1));
  return unwrap_child(*parent, 1, purpose::kCredential, name, blob);
}

Result<crypto::Sha256Digest> Holder::mac(MacUse use, ByteView id, ByteView data) {
  const std::byte zero[1] = {};
  switch (use) {
    case MacUse::kApiKey: {
      HF_TRY_ASSIGN(const crypto::Secret* key, held(purpose::kPepper, id));
      return crypto::hmac_sha256(key->view(), {as_bytes_view(kApiKeyDomain), zero, data});
    }
    case MacUse::kPseudonym: {
      HF_TRY_ASSIGN(const crypto::Secret* key, held(purpose::kPseudonym, id));
      return crypto::hmac_sha256(key->view(), {as_bytes_view(kPseudonymDomain), zero, data});
    }
    case MacUse::kCacheDomain: {
      HF_TRY(check_open());
      if (cache_key_.empty()) {
        HF_TRY_ASSIGN(cache_key_, crypto::Secret::random(crypto::kKeyBytes, entropy_));
      }
      return crypto::hmac_sha256(cache_key_.view(), {as_bytes_view(kCacheDomain), zero, data});
    }
  }
  return invalid_argument("no MAC of that kind");
}

Result<Bytes> Holder::sign(SignUse use, ByteView id, ByteView message) const {
  if (use != SignUse::kImport) return invalid_argument("no signature of that kind");
  HF_TRY_ASSIGN(const crypto::Secret* key, held(purpose::kImport, id));
  if (!as_string_view(message).starts_with(kImportMessage))
    return invalid_argument("the import key signs statements about models and nothing else");
  return crypto::p256_sign(*key, message);
}

Result<Bytes> Holder::public_key(SignUse use, ByteView id) const {
  if (use != SignUse::kImport) return invalid_argument("no public key of that kind");
  HF_TRY_ASSIGN(const crypto::Secret* key, held(purpose::kImport, id));
  return crypto::p256_public_key(*key);
}

}  // namespace holdfast::keyring
