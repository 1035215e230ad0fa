// Custody: the keys of one data directory, for commands and servers. It joins the keyring file, the
// state database, the key holder and the slot openers, and orders their changes so that a crash at
// any point leaves the old or the new state.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "holdfast/crypto/kdf.h"
#include "holdfast/crypto/secret.h"
#include "holdfast/custody/holder_client.h"
#include "holdfast/custody/key_table.h"
#include "holdfast/custody/slot_keys.h"
#include "holdfast/keyring/holder.h"
#include "holdfast/keyring/keyring_store.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::custody {

struct CustodyOptions {
  std::string data_dir;         // exists
  std::string keyring_path;     // empty: keyring.hfk in the data directory
  std::string key_file;         // of the slot that a first start makes for a person
  std::string credentials_dir;  // $CREDENTIALS_DIRECTORY; empty: none
  std::string credential = "holdfast.root";
  crypto::Argon2Cost cost;
  SlotDevices devices;
  std::string program_dir;  // of holdfast-keyholder and holdfast-slot-opener
  bool share_holder = false;
  bool dual_control = false;  // as approve() says

  std::string keyring_file() const;
};

// Secrets of an operator, each a descriptor that is read once.
struct FactorInput {
  keyring::FactorKind kind = keyring::FactorKind::kPassphrase;
  platform::UniqueFd secret;  // passphrase or PIN; invalid: none
  std::string hint;  // a key file's path, a credential's name, a TPM's registers (a decimal mask),
                     // a token's URI (after "generate " where a key may be made)
};
struct NewSlot {
  std::string label;
  bool recovery = false;
  std::vector<FactorInput> factors;  // one, or two that open together
};
// A person who agrees to a change: a slot of their own, and its secret.
struct Approver {
  keyring::SlotId slot{};
  crypto::Secret secret;
};
// Which data key give_dek() gives.
enum class DekChoice : std::uint8_t {
  kStored,  // the model's own; a new one is made and stored where it has none
  kNext,    // one to replace it, stored beside it until adopt_dek(); the same at every call
};
// The secret of a factor of that slot; an invalid descriptor where the operator has none.
using AskSecret =
    std::function<Result<platform::UniqueFd>(const keyring::SlotPlan& slot, std::size_t factor)>;

// A statement about the files of one model fits many times.
inline constexpr std::size_t kSignedBytesMax = 192 * 1024;

// A pack whose wrap slot is written anew when the key above it changes.
struct PackToRenew {
  std::string name;  // for people
  vault::PackHeader header;
  std::function<Status(const vault::WrapSlots&)> rewrite;
};
struct RenewedKeys {
  std::size_t data_keys = 0;
  // Packs whose slot could not be written: stored keys open them.
  std::vector<std::string> not_renewed;
};

struct CustodyStatus {
  bool exists = false;  // a keyring
  keyring::HolderStatus holder;
  std::vector<keyring::SlotPlan> slots;
  std::uint32_t kek_epoch = 0;
  std::size_t models = 0;  // with a data key
  bool holder_is_shared = false;
};

// Thread-safe. `files` outlives it.
class Custody {
 public:
  static Result<std::unique_ptr<Custody>> open(platform::FileSystem& files, CustodyOptions options);

  bool exists() const { return store_.exists(); }
  const CustodyOptions& options() const { return options_; }
  Result<CustodyStatus> status();
  // Asks the holder alone: cheap enough for every second.
  Result<keyring::HolderStatus> holder();

  // The first keyring, with one slot. kConflict where there is one.
  Status create(NewSlot slot);
  // As a first start does: a slot for the systemd credential where there is one, else for the key
  // file, which is made if needed. What was made: "systemd" or "file".
  Result<keyring::FactorKind> create_default();
  // Makes a key file of random bytes, readable by its owner alone, where there is none.
  Status ensure_key_file(const std::string& path);

  // Opens with slots that need no operator. kUnavailable with what to do where none opens;
  // kNotFound where there is no keyring; kCorrupt as keyring::Holder::open.
  Status ensure_open();
  // Tries the slots that need what the operator gave, or `only` one. kDenied where none opens,
  // kUnauthenticated for a PIN that a device refused: no other device is shown it then.
  Status unseal(const AskSecret& ask, const keyring::SlotId* only = nullptr);
  Status seal();

  Result<keyring::SlotId> add_slot(NewSlot slot);
  // kConflict for the last slot, and while no other slot has ever opened the keyring.
  Status remove_slot(const keyring::SlotId& slot);
  Status test_slot(const keyring::SlotId& slot, const AskSecret& ask);

  // With options().dual_control, each of add_slot (once two persons have slots), remove_slot,
  // rotate_root, reveal_dek and reveal_pack_dek needs this before it, and uses it up; kDenied
  // otherwise. Two different secrets, of slots of two persons or of one that two persons open
  // together, are tried on the keyring; recovery codes and slots that open by themselves are
  // nobody's. kDenied. And what would leave fewer than two persons is kConflict.
  Status approve(std::vector<Approver> approvers);

  // A new root key. Slots of which `ask` has no secret are lost: their plans.
  Result<std::vector<keyring::SlotPlan>> rotate_root(const AskSecret& ask);
  // A new kek.weights; every data key, stored or in a pack's slot, is wrapped under it, and then
  // the old one is destroyed. Where a pack would be lost with it, it stays, and the error says so.
  Result<RenewedKeys> rotate_kek(const std::vector<PackToRenew>& packs);

  // Sends a data key of the model (vault::send_data_key) to `fd`. The wrapped key, which is in the
  // database before this returns: whatever is sealed with it can be opened, also after a crash.
  Result<Bytes> give_dek(const vault::ModelId& model, int fd,
                         DekChoice choice = DekChoice::kStored);
  // The next data key becomes the model's own. kNotFound where there is none.
  Status adopt_dek(const vault::ModelId& model);
  // The stored wrapped key. kNotFound.
  Result<Bytes> dek_blob(const vault::ModelId& model);
  Status forget_dek(const vault::ModelId& model);
  // Sends the message of vault/content_keys.h for a sealed pack to `fd`. kNotFound where no wrapped
  // key of it is here; kCorrupt where those that are do not fit its header.
  Status send_content_keys(const vault::PackHeader& header, int fd);
  // The wrap slot that goes into the model's packs.
  Result<vault::WrapSlot> wrap_slot(ByteView blob);
  Result<crypto::Secret> reveal_dek(const vault::ModelId& model);
  // The data key of that sealed pack, for a copy of it that leaves this instance. Errors as
  // send_content_keys().
  Result<crypto::Secret> reveal_pack_dek(const vault::PackHeader& header);

  // The HMAC that keyring::Holder::mac says.
  Result<crypto::Sha256Digest> mac(keyring::MacUse use, std::string_view id, ByteView data);
  // This instance's own key for models that arrive unsigned, made when it is first asked for: its
  // public key (SPKI in DER), and its signature (ECDSA P-256/SHA-256 in DER) of the bytes that a
  // DSSE envelope of an in-toto statement signs. kExhausted above kSignedBytesMax.
  Result<Bytes> import_public_key();
  Result<Bytes> sign_import(ByteView message);

  // Whether a child key of that purpose and id exists.
  Result<bool> has_key(std::string_view purpose, std::string_view id);
  // Makes one from `value`, or a random one. kConflict where it exists.
  Status add_key(std::string_view purpose, std::string_view id, const crypto::Secret* value);

  // Values under kek.store, such as credentials of upstreams. kNotFound for a name that is not
  // there.
  Status put_value(std::string_view name, const crypto::Secret& value);
  Result<crypto::Secret> value(std::string_view name);
  Result<std::vector<std::string>> value_names();
  Status forget_value(std::string_view name);

 private:
  Custody(platform::FileSystem& files, CustodyOptions options, KeyTable table);

  struct Current {
    Bytes file;
    keyring::Keyring keyring;  // not authenticated by this process: the holder does that
  };
  Result<Current> read_current() const;
  Result<keyring::HolderStatus> holder_status();
  Result<Bytes> call(keyholder::Op op, const ByteWriter& body, int fd = -1);
  Status open_locked();
  Status open_by_itself();
  Status test_locked(const Current& current, const keyring::SlotPlan& slot, const AskSecret& ask);
  Status check_approvers(const Current& current, const keyring::SlotId& id,
                         std::span<const Approver> approvers);
  Status take_approval();
  Status check_persons_left(std::span<const keyring::SlotPlan> slots) const;
  Status open_with(const Current& current, const keyring::SlotPlan& slot, const SlotKeys& keys);
  Status collect(const keyring::SlotPlan& slot, const AskSecret& ask, SlotKeys& keys,
                 bool refused = false);
  Result<platform::UniqueFd> automatic_secret(const keyring::Factor& factor) const;
  Result<platform::UniqueFd> private_file(const std::string& path) const;
  Result<SlotKeys> new_slot_keys() const;
  Result<SlotKeys> enrol(NewSlot& slot, keyring::SlotPlan& plan);
  Status after_open(const Current& current);
  Status load_children(std::uint32_t irk_epoch);
  Status load(const WrappedRow& row);
  Status make_missing(std::string_view purpose, std::uint32_t irk_epoch);
  Status store_file(ByteView file, std::uint64_t generation);
  Status keep_children_of(std::uint32_t irk_epoch);
  Result<std::vector<Bytes>> rewrap(keyholder::Op op, const std::vector<WrappedRow>& rows);
  Result<WrappedRow> add_kek(const std::vector<WrappedRow>& old);
  Result<std::size_t> rewrap_deks(std::uint32_t epoch, const std::vector<WrappedRow>& old_keks);
  Status renew_slot(const PackToRenew& pack, RenewedKeys& renewed);
  Result<std::vector<Bytes>> stored_deks(const vault::ModelId& model);
  Status send_keys_of(const vault::PackHeader& header, const std::vector<Bytes>& blobs, int fd);
  Result<Bytes> use_import_key(keyholder::Op op, ByteView message);
  Result<crypto::Secret> reveal_blob(const vault::ModelId& model, ByteView blob);
  Result<std::vector<Bytes>> dek_candidates(const vault::PackHeader& header);

  platform::FileSystem& files_;
  const CustodyOptions options_;
  std::mutex mutex_;
  keyring::KeyringStore store_;
  KeyTable table_;
  HolderClient holder_;
  bool approved_ = false;
};

// Kinds that open without anybody at the keyboard (a TPM without a PIN and a token whose PIN is in
// a file among them).
bool opens_by_itself(const keyring::SlotPlan& slot);
bool needs_nobody(const keyring::Factor& factor);
// How many persons have a secret of their own that these slots ask for.
std::size_t persons_among(std::span<const keyring::SlotPlan> slots);

}  // namespace holdfast::custody
