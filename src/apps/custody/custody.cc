// What opens and closes the keyring.
#include "holdfast/custody/custody.h"

#include <algorithm>

#include "holdfast/keyholder/link.h"
#include "holdfast/keyring/slot_params.h"
#include "protocol.h"

namespace holdfast::custody {
namespace {

using keyholder::Op;
using keyring::Factor;
using keyring::FactorKind;
using keyring::SlotPlan;

constexpr std::size_t kKeyFileBytes = 64;

HolderClientOptions holder_options(const CustodyOptions& options) {
  return {options.data_dir, platform::join_path(options.program_dir, "holdfast-keyholder"),
          options.share_holder};
}

Error no_slot_opens(const std::string& why) {
  return unavailable("the keyring is sealed: no slot opens without an operator", why)
      .with_hint(
          "holdfast seal unseal asks for a passphrase; holdfast seal status lists the slots");
}

// Devices first (a TPM, then a token), as the kinds are numbered; else in the order of the file.
std::vector<SlotPlan> by_kind(const keyring::Keyring& keyring) {
  std::vector<SlotPlan> out;
  for (const keyring::Slot& slot : keyring.slots) out.push_back(slot.plan);
  const auto rank = [](const SlotPlan& slot) {
    const FactorKind kind = slot.factors.front().kind;
    return kind == FactorKind::kPassphrase ? 255 : static_cast<int>(kind);
  };
  std::ranges::stable_sort(out, {}, rank);
  return out;
}

// As the openers of devices say it: wrong, or one too many.
bool is_refused_pin(const Error& error) {
  return error.code() == ErrorCode::kUnauthenticated || error.code() == ErrorCode::kExhausted;
}

bool counts_attempts(const SlotPlan& slot) {
  return std::ranges::any_of(slot.factors, [](const Factor& f) {
    return f.kind == FactorKind::kPkcs11 || (f.kind == FactorKind::kTpm2 && !needs_nobody(f));
  });
}

}  // namespace

bool needs_nobody(const Factor& factor) {
  switch (factor.kind) {
    case FactorKind::kFile:
    case FactorKind::kCredential:
      return true;
    case FactorKind::kTpm2: {
      const auto params = keyring::decode_tpm2_params(factor.params);
      return params.ok() && !params->pin;
    }
    case FactorKind::kPkcs11: {
      const auto params = keyring::decode_pkcs11_params(factor.params);
      if (!params.ok()) return false;
      const auto pin = keyring::pin_source_of(params->uri);
      return pin.ok() && !pin->empty();
    }
    default:
      return false;
  }
}

bool opens_by_itself(const SlotPlan& slot) {
  return std::all_of(slot.factors.begin(), slot.factors.end(), needs_nobody);
}

std::string CustodyOptions::keyring_file() const {
  return keyring_path.empty() ? platform::join_path(data_dir, "keyring.hfk") : keyring_path;
}

Custody::Custody(platform::FileSystem& files, CustodyOptions options, KeyTable table)
    : files_(files),
      options_(std::move(options)),
      store_(files, options_.keyring_file(), options_.data_dir),
      table_(std::move(table)),
      holder_(files, holder_options(options_)) {}

Result<std::unique_ptr<Custody>> Custody::open(platform::FileSystem& files,
                                               CustodyOptions options) {
  HF_TRY_ASSIGN(KeyTable table, KeyTable::open(options.data_dir));
  return std::unique_ptr<Custody>(new Custody(files, std::move(options), std::move(table)));
}

Result<Bytes> Custody::call(Op op, const ByteWriter& body, int fd) {
  return holder_.call(op, body.view(), fd);
}

Result<Custody::Current> Custody::read_current() const {
  Current current;
  auto file = store_.read();
  if (!file.ok() && file.error().code() == ErrorCode::kNotFound) {
    return not_found("there is no keyring in this data directory")
        .with_hint("holdfast seal slot add --kind passphrase makes one; so does the first start");
  }
  if (!file.ok()) return std::move(file).error();
  current.file = std::move(*file);
  HF_TRY_ASSIGN(keyring::DecodedKeyring decoded, keyring::decode_keyring(current.file));
  current.keyring = std::move(decoded.keyring);
  return current;
}

Result<keyring::HolderStatus> Custody::holder_status() {
  HF_TRY_ASSIGN(const Bytes reply, call(Op::kStatus, ByteWriter()));
  return decode_status(reply);
}

Result<CustodyStatus> Custody::status() {
  const std::lock_guard guard(mutex_);
  CustodyStatus out;
  out.exists = store_.exists();
  if (!out.exists) return out;
  HF_TRY_ASSIGN(const Current current, read_current());
  for (const keyring::Slot& slot : current.keyring.slots) out.slots.push_back(slot.plan);
  HF_TRY_ASSIGN(out.holder, holder_status());
  out.holder_is_shared = holder_.is_shared();
  HF_TRY_ASSIGN(const auto keks, table_.list(keyring::purpose::kKekWeights));
  for (const WrappedRow& row : keks)
    out.kek_epoch = std::max(out.kek_epoch, keyring::epoch_of_id(row.id).value_or(0));
  HF_TRY_ASSIGN(const auto deks, table_.list(keyring::purpose::kDekWeights));
  out.models = deks.size();
  return out;
}

Result<keyring::HolderStatus> Custody::holder() {
  const std::lock_guard guard(mutex_);
  return holder_status();
}

// The secret of a factor that needs nobody.
Result<platform::UniqueFd> Custody::automatic_secret(const Factor& factor) const {
  if (factor.kind == FactorKind::kTpm2) return platform::UniqueFd();
  std::string path;
  if (factor.kind == FactorKind::kPkcs11) {
    HF_TRY_ASSIGN(const keyring::Pkcs11Params token, keyring::decode_pkcs11_params(factor.params));
    HF_TRY_ASSIGN(path, keyring::pin_source_of(token.uri));
  } else {
    HF_TRY_ASSIGN(path, keyring::decode_text_params(factor.params));
  }
  if (factor.kind == FactorKind::kCredential) {
    if (options_.credentials_dir.empty())
      return not_found("no systemd credentials were passed to this process");
    HF_TRY_ASSIGN(const auto file, files_.open_beneath(options_.credentials_dir, path));
    return platform::duplicate(*file);
  }
  return private_file(path);
}

Result<platform::UniqueFd> Custody::private_file(const std::string& path) const {
  HF_TRY(keyring::check_private(files_, path));
  HF_TRY_ASSIGN(const auto file, files_.open_read(path));
  return platform::duplicate(*file);
}

// The keys of all factors of a slot; kNotFound where the operator has no secret for one. A token
// whose PIN is in a file takes one of the operator instead, and where the file's was `refused` only
// that.
Status Custody::collect(const SlotPlan& slot, const AskSecret& ask, SlotKeys& keys, bool refused) {
  for (std::size_t i = 0; i < slot.factors.size(); ++i) {
    const Factor& factor = slot.factors[i];
    bool automatic = needs_nobody(factor);
    platform::UniqueFd secret;
    const bool token = factor.kind == FactorKind::kPkcs11;
    if (ask && (!automatic || token)) {
      HF_TRY_ASSIGN(secret, ask(slot, i));
    }
    if (secret.valid()) {
      automatic = false;
    } else if (!automatic || (token && refused)) {
      return not_found("the slot needs an operator");
    } else {
      HF_TRY_ASSIGN(secret, automatic_secret(factor));
    }
    HF_TRY(keys.open(slot.id, factor, secret.get(), automatic));
  }
  return ok_status();
}

Status Custody::open_with(const Current& current, const SlotPlan& slot, const SlotKeys& keys) {
  HF_TRY_ASSIGN(const std::uint64_t generation_min, table_.generation());
  ByteWriter body;
  append_file(body, current.file).be(generation_min);
  append_slot_secret(body, slot);
  HF_TRY(call(Op::kOpen, body, keys.fd()));
  HF_TRY(table_.note_opened(slot.id));
  return after_open(current);
}

Result<SlotKeys> Custody::new_slot_keys() const {
  return SlotKeys::create(platform::join_path(options_.program_dir, "holdfast-slot-opener"),
                          options_.devices);
}

// Inside a transaction.
Status Custody::keep_children_of(std::uint32_t irk_epoch) {
  for (const std::string_view purpose : kRootChildren)
    HF_TRY(table_.remove_other_epochs(purpose, irk_epoch));
  return ok_status();
}

// The file that opened is the truth: what a crash left unfinished beside it is finished or undone.
Status Custody::after_open(const Current& current) {
  const std::uint32_t epoch = current.keyring.irk_epoch;
  HF_TRY_ASSIGN(db::Transaction change, db::Transaction::begin(table_.database()));
  HF_TRY(keep_children_of(epoch));
  HF_TRY(table_.set_generation(current.keyring.generation));
  HF_TRY(change.commit());
  HF_TRY(load_children(epoch));
  HF_TRY(make_missing(keyring::purpose::kKekWeights, epoch));
  return make_missing(keyring::purpose::kKekStore, epoch);
}

Status Custody::load(const WrappedRow& row) {
  ByteWriter body;
  body.lp(row.purpose).lp(row.id).lp(row.blob);
  HF_TRY(call(Op::kLoadKey, body));
  return ok_status();
}

Status Custody::load_children(std::uint32_t irk_epoch) {
  for (const std::string_view purpose : kRootChildren) {
    HF_TRY_ASSIGN(const std::vector<WrappedRow> rows, table_.list(purpose));
    for (const WrappedRow& row : rows) {
      if (row.epoch == irk_epoch) HF_TRY(load(row).context(purpose));
    }
  }
  return ok_status();
}

// The first key of a purpose, "1".
Status Custody::make_missing(std::string_view purpose, std::uint32_t irk_epoch) {
  HF_TRY_ASSIGN(const std::vector<WrappedRow> rows, table_.list(purpose));
  if (!rows.empty()) return ok_status();
  WrappedRow row{std::string(purpose), keyring::epoch_id(1), irk_epoch, {}};
  ByteWriter body;
  body.lp(purpose).lp(row.id);
  HF_TRY_ASSIGN(row.blob, call(Op::kMakeKey, body));
  HF_TRY(table_.put(row));
  return load(row);
}

Status Custody::ensure_open() {
  const std::lock_guard guard(mutex_);
  return open_locked();
}

Status Custody::open_locked() {
  HF_TRY_ASSIGN(const keyring::HolderStatus holder, holder_status());
  if (holder.open) return ok_status();
  if (holder.stay_sealed) {
    return unavailable("an operator sealed the keyring").with_hint("open it: holdfast seal unseal");
  }
  return open_by_itself();
}

// With slots that need nobody, also after an operator sealed it.
Status Custody::open_by_itself() {
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(const keyring::HolderStatus now, holder_status());
  if (now.open) return ok_status();  // another command opened it meanwhile
  HF_TRY_ASSIGN(const Current current, read_current());
  std::string why;
  for (const SlotPlan& slot : by_kind(current.keyring)) {
    if (!opens_by_itself(slot)) continue;
    HF_TRY_ASSIGN(SlotKeys keys, new_slot_keys());
    Status opened = collect(slot, {}, keys);
    if (opened.ok()) {
      opened = open_with(current, slot, keys);
      // That is about the whole file, and no other slot changes it.
      if (opened.ok() || opened.error().code() == ErrorCode::kCorrupt) return opened;
    }
    why += (why.empty() ? "" : "; ") + slot.label + ": " + opened.error().to_string();
  }
  return no_slot_opens(why);
}

// A wrong secret for one slot may be the right one for the next, and a device that is gone is no
// reason not to try it. But a PIN that a device refused is shown to no other: each counts.
Status Custody::unseal(const AskSecret& ask, const keyring::SlotId* only) {
  const std::lock_guard guard(mutex_);
  const Status by_itself = open_by_itself();
  if (by_itself.ok()) return by_itself;
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(const Current current, read_current());
  Status last = by_itself;
  bool pin_refused = false;
  for (const SlotPlan& slot : by_kind(current.keyring)) {
    const bool tried = opens_by_itself(slot);
    if (counts_attempts(slot) ? pin_refused : tried) continue;
    if (only != nullptr && slot.id != *only) continue;
    HF_TRY_ASSIGN(SlotKeys keys, new_slot_keys());
    Status opened = collect(slot, ask, keys, tried);
    if (!opened.ok() && opened.error().code() == ErrorCode::kNotFound) continue;
    pin_refused = pin_refused || (!opened.ok() && is_refused_pin(opened.error()));
    if (opened.ok()) {
      opened = open_with(current, slot, keys);
      if (opened.ok() || opened.error().code() != ErrorCode::kDenied) return opened;
    }
    last = std::move(opened);
  }
  return last;
}

Status Custody::seal() {
  const std::lock_guard guard(mutex_);
  ByteWriter by_operator;
  by_operator.be<std::uint8_t>(1);
  HF_TRY(call(Op::kSeal, by_operator));
  return ok_status();
}

Status Custody::ensure_key_file(const std::string& path) {
  if (files_.exists(path)) return ok_status();
  HF_TRY(files_.make_dirs(platform::parent_path(path), 0700));
  std::array<std::byte, kKeyFileBytes> random{};
  HF_TRY(platform::fill_random(random));
  const Status written = platform::write_file_atomic(files_, path, random, 0600);
  platform::wipe(random);
  return written;
}

Result<FactorKind> Custody::create_default() {
  NewSlot slot;
  FactorInput factor;
  const std::string credential = platform::join_path(options_.credentials_dir, options_.credential);
  if (!options_.credentials_dir.empty() && files_.exists(credential)) {
    factor.kind = FactorKind::kCredential;
    factor.hint = options_.credential;
    slot.label = "systemd credential";
  } else {
    factor.kind = FactorKind::kFile;
    factor.hint = options_.key_file;
    slot.label = "key file";
    HF_TRY(ensure_key_file(options_.key_file));
  }
  const FactorKind kind = factor.kind;
  slot.factors.push_back(std::move(factor));
  HF_TRY(create(std::move(slot)));
  return kind;
}

}  // namespace holdfast::custody
