// Keys under the root key: data keys of models, values, MACs.
#include <algorithm>

#include "holdfast/crypto/constant_time.h"
#include "holdfast/custody/custody.h"
#include "holdfast/keyholder/link.h"
#include "holdfast/vault/content_keys.h"
#include "protocol.h"

namespace holdfast::custody {
namespace {

using keyholder::Op;
namespace purpose = keyring::purpose;

ByteWriter model_body(const vault::ModelId& model, ByteView blob) {
  ByteWriter body;
  body.raw(model);
  body.lp(blob);
  return body;
}

bool is_own_slot(const vault::WrapSlot& slot, const keyring::InstanceId& instance) {
  return slot.used && slot.kek_id == instance && slot.algorithm == vault::WrapAlgorithm::kAes256Gcm;
}

constexpr auto kReadPatience = std::chrono::seconds(5);

}  // namespace

// The order makes every key survive a crash: the new KEK is stored before anything is wrapped under
// it, and the old one goes when nothing needs it any more. Until then both are held.
Result<RenewedKeys> Custody::rotate_kek(const std::vector<PackToRenew>& packs) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(const std::vector<WrappedRow> old, table_.list(purpose::kKekWeights));
  HF_TRY_ASSIGN(const WrappedRow fresh, add_kek(old));
  RenewedKeys renewed;
  for (const PackToRenew& pack : packs) HF_TRY(renew_slot(pack, renewed).context(pack.name));
  HF_TRY_ASSIGN(renewed.data_keys, rewrap_deks(*keyring::epoch_of_id(fresh.id), old));
  for (const WrappedRow& row : old) {
    ByteWriter unload;
    unload.lp(row.purpose).lp(row.id);
    HF_TRY(call(Op::kUnloadKey, unload));
  }
  ignore_error(table_.database().truncate_log(), "a reader is busy: the next checkpoint does it");
  return renewed;
}

Result<WrappedRow> Custody::add_kek(const std::vector<WrappedRow>& old) {
  HF_TRY_ASSIGN(const keyring::HolderStatus holder, holder_status());
  std::uint32_t epoch = 1;
  for (const WrappedRow& row : old)
    epoch = std::max(epoch, keyring::epoch_of_id(row.id).value_or(0) + 1);
  WrappedRow fresh{
      std::string(purpose::kKekWeights), keyring::epoch_id(epoch), holder.irk_epoch, {}};
  ByteWriter body;
  body.lp(fresh.purpose).lp(fresh.id);
  HF_TRY_ASSIGN(fresh.blob, call(Op::kMakeKey, body));
  HF_TRY(table_.put(fresh));
  HF_TRY(load(fresh));
  return fresh;
}

// How many models; the old KEKs' rows go in the same transaction.
Result<std::size_t> Custody::rewrap_deks(std::uint32_t epoch,
                                         const std::vector<WrappedRow>& old_keks) {
  HF_TRY_ASSIGN(std::vector<WrappedRow> rows, table_.list(purpose::kDekWeights));
  const std::size_t n_models = rows.size();
  HF_TRY_ASSIGN(const std::vector<WrappedRow> next, table_.list(purpose::kDekNext));
  rows.insert(rows.end(), next.begin(), next.end());
  HF_TRY_ASSIGN(const std::vector<Bytes> blobs, rewrap(Op::kRewrapDeks, rows));
  HF_TRY_ASSIGN(db::Transaction change, db::Transaction::begin(table_.database()));
  for (std::size_t i = 0; i < rows.size(); ++i)
    HF_TRY(table_.put({rows[i].purpose, rows[i].id, epoch, blobs[i]}));
  for (const std::string_view kept : {purpose::kDekWeights, purpose::kDekNext})
    HF_TRY(table_.remove_other_epochs(kept, epoch));
  for (const WrappedRow& row : old_keks) HF_TRY(table_.remove(row.purpose, row.id));
  HF_TRY(change.commit());
  return n_models;
}

// The slot keeps the key that it has, which may be another than the stored one.
Status Custody::renew_slot(const PackToRenew& pack, RenewedKeys& renewed) {
  HF_TRY_ASSIGN(const keyring::HolderStatus holder, holder_status());
  vault::WrapSlots slots = pack.header.slots;
  const auto ours = std::find_if(slots.begin(), slots.end(), [&](const vault::WrapSlot& slot) {
    return is_own_slot(slot, holder.instance_id);
  });
  if (ours == slots.end()) return ok_status();  // its key is stored, or was never here
  const vault::ModelId& id = pack.header.model_id;
  const auto fresh =
      rewrap(Op::kRewrapDeks, {{std::string(purpose::kDekWeights), Bytes(id.begin(), id.end()),
                                ours->kek_epoch, keyring::blob_of_slot(*ours)}});
  Status written = ok_status();
  if (fresh.ok()) {
    HF_TRY_ASSIGN(*ours, keyring::slot_of_blob(fresh->front(), holder.instance_id));
    written = pack.rewrite(slots);
    if (written.ok()) return ok_status();
  }
  // A slot that stayed behind, or a pack that cannot be written: good enough where a stored key
  // opens it.
  renewed.not_renewed.push_back(pack.name);
  if (!fresh.ok()) return ok_status();
  HF_TRY_ASSIGN(const std::vector<Bytes> stored, stored_deks(id));
  HF_TRY_ASSIGN(const platform::SocketPair pair, platform::make_socket_pair());
  if (send_keys_of(pack.header, stored, pair.theirs.get()).ok()) return ok_status();
  return std::move(written).context(
      "the model's key is in its pack alone, and the pack cannot be written");
}

Result<Bytes> Custody::give_dek(const vault::ModelId& model, int fd, DekChoice choice) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  const std::string_view kind =
      choice == DekChoice::kNext ? purpose::kDekNext : purpose::kDekWeights;
  // Under the lock, so that a rotation wraps this key again too.
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(const auto known, table_.find(kind, model));
  HF_TRY_ASSIGN(
      Bytes wrapped,
      call(Op::kGiveDek, model_body(model, known ? ByteView(known->blob) : ByteView()), fd));
  if (known) return wrapped;
  HF_TRY_ASSIGN(const std::uint32_t epoch, keyring::parent_epoch_of(wrapped));
  HF_TRY(table_.put({std::string(kind), Bytes(model.begin(), model.end()), epoch, wrapped}));
  return wrapped;
}

Status Custody::adopt_dek(const vault::ModelId& model) {
  const std::lock_guard guard(mutex_);
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(auto next, table_.find(purpose::kDekNext, model));
  if (!next) return not_found("no key is ready to become the model's");
  HF_TRY_ASSIGN(db::Transaction change, db::Transaction::begin(table_.database()));
  HF_TRY(table_.remove(purpose::kDekWeights, model));
  HF_TRY(table_.remove(purpose::kDekNext, model));
  next->purpose = purpose::kDekWeights;
  HF_TRY(table_.put(*next));
  HF_TRY(change.commit());
  ignore_error(table_.database().truncate_log(), "a reader is busy: the next checkpoint does it");
  return ok_status();
}

Result<Bytes> Custody::dek_blob(const vault::ModelId& model) {
  const std::lock_guard guard(mutex_);
  HF_TRY_ASSIGN(auto row, table_.find(purpose::kDekWeights, model));
  if (!row) return not_found("this instance has no key of that model");
  return std::move(row->blob);
}

Status Custody::forget_dek(const vault::ModelId& model) {
  const std::lock_guard guard(mutex_);
  HF_TRY(table_.remove(purpose::kDekWeights, model));
  HF_TRY(table_.remove(purpose::kDekNext, model));
  ignore_error(table_.database().truncate_log(), "a reader is busy: the next checkpoint does it");
  return ok_status();
}

Result<std::vector<Bytes>> Custody::stored_deks(const vault::ModelId& model) {
  std::vector<Bytes> out;
  for (const std::string_view kind : {purpose::kDekWeights, purpose::kDekNext}) {
    HF_TRY_ASSIGN(auto row, table_.find(kind, model));
    if (row) out.push_back(std::move(row->blob));
  }
  return out;
}

// The pack's own slots for this instance first, then the stored keys: slots may lag behind a
// rotation, and a pack that is being replaced has a key of its own.
Result<std::vector<Bytes>> Custody::dek_candidates(const vault::PackHeader& header) {
  HF_TRY_ASSIGN(const keyring::HolderStatus holder, holder_status());
  std::vector<Bytes> out;
  for (const vault::WrapSlot& slot : header.slots) {
    if (is_own_slot(slot, holder.instance_id)) out.push_back(keyring::blob_of_slot(slot));
  }
  HF_TRY_ASSIGN(std::vector<Bytes> stored, stored_deks(header.model_id));
  std::move(stored.begin(), stored.end(), std::back_inserter(out));
  return out;
}

// With the first of `blobs` that opens the pack. kNotFound where none can be unwrapped, kConflict
// where those that can are of another pack.
Status Custody::send_keys_of(const vault::PackHeader& header, const std::vector<Bytes>& blobs,
                             int fd) {
  const Bytes encoded = vault::encode_header(header);
  Status last = not_found("this instance has no key that opens the model's pack");
  for (const Bytes& blob : blobs) {
    ByteWriter body = model_body(header.model_id, blob);
    body.be(static_cast<std::uint8_t>(*header.seal)).raw(header.salt);
    body.raw(ByteView(encoded).first(vault::kHeaderDigestedBytes)).raw(header.mac);
    auto sent = call(Op::kContentKeys, body, fd);
    if (sent.ok()) return ok_status();
    const ErrorCode code = sent.error().code();
    if (code == ErrorCode::kConflict) {
      last = std::move(sent).error();
    } else if (code != ErrorCode::kNotFound && code != ErrorCode::kCorrupt) {
      return std::move(sent).error();
    }
  }
  return last;
}

Status Custody::send_content_keys(const vault::PackHeader& header, int fd) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  Status sent = ok_status();
  // Twice: a rotation may have replaced what was read before the request.
  for (int round = 0; round < 2; ++round) {
    HF_TRY_ASSIGN(const std::vector<Bytes> candidates, dek_candidates(header));
    sent = send_keys_of(header, candidates, fd);
    if (sent.ok()) return ok_status();
    const ErrorCode code = sent.error().code();
    if (code != ErrorCode::kNotFound && code != ErrorCode::kConflict) return sent;
  }
  if (sent.error().code() == ErrorCode::kConflict)
    return corrupt("the model pack is damaged, or sealed with other keys", "header field HM");
  return Error(sent.error())
      .with_hint("restore state.db together with the packs, or import the model again");
}

Result<vault::WrapSlot> Custody::wrap_slot(ByteView blob) {
  const std::lock_guard guard(mutex_);
  HF_TRY_ASSIGN(const keyring::HolderStatus holder, holder_status());
  return keyring::slot_of_blob(blob, holder.instance_id);
}

Result<crypto::Secret> Custody::reveal_blob(const vault::ModelId& model, ByteView blob) {
  HF_TRY_ASSIGN(const platform::SocketPair pair, platform::make_socket_pair());
  HF_TRY(call(Op::kRevealDek, model_body(model, blob), pair.theirs.get()));
  return keyholder::receive_secret(pair.ours.get(), crypto::kKeyBytes,
                                   platform::Deadline::after(kReadPatience));
}

Result<crypto::Secret> Custody::reveal_dek(const vault::ModelId& model) {
  HF_TRY_ASSIGN(const Bytes blob, dek_blob(model));
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY(take_approval());
  return reveal_blob(model, blob);
}

Result<crypto::Secret> Custody::reveal_pack_dek(const vault::PackHeader& header) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY(take_approval());
  HF_TRY_ASSIGN(const std::vector<Bytes> candidates, dek_candidates(header));
  for (const Bytes& blob : candidates) {
    auto dek = reveal_blob(header.model_id, blob);
    if (!dek.ok()) continue;  // a slot of before a rotation
    HF_TRY_ASSIGN(const vault::ContentKeys keys,
                  vault::derive_content_keys(*dek, *header.seal, header.salt, header.model_id));
    const auto mac = vault::header_mac(vault::encode_header(header), keys.header_key);
    if (crypto::constant_time_equal(mac, header.mac)) return dek;
  }
  return not_found("this instance has no key that opens the model's pack")
      .with_hint("restore state.db together with the packs, or import the model again");
}

Result<crypto::Sha256Digest> Custody::mac(keyring::MacUse use, std::string_view id, ByteView data) {
  const std::lock_guard guard(mutex_);
  const ByteWriter body = mac_body(use, id, data);
  auto reply = call(Op::kMac, body);
  if (!reply.ok() && reply.error().code() == ErrorCode::kUnavailable) {
    // A holder that was started anew is sealed.
    HF_TRY(open_locked());
    reply = call(Op::kMac, body);
  }
  if (!reply.ok()) return std::move(reply).error();
  return decode_mac(*reply);
}

Result<Bytes> Custody::import_public_key() { return use_import_key(Op::kPublicKey, {}); }

Result<Bytes> Custody::sign_import(ByteView message) {
  if (message.size() > kSignedBytesMax)
    return exhausted("the model has too many files to be signed");
  return use_import_key(Op::kSign, message);
}

Result<Bytes> Custody::use_import_key(Op op, ByteView message) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  {
    // Under the lock: two imports must not make two keys.
    HF_TRY_ASSIGN(const auto lock, store_.lock());
    HF_TRY_ASSIGN(const keyring::HolderStatus holder, holder_status());
    HF_TRY(make_missing(purpose::kImport, holder.irk_epoch));
  }
  ByteWriter body;
  body.be(static_cast<std::uint8_t>(keyring::SignUse::kImport));
  body.lp(keyring::epoch_id(1)).raw(message);
  auto reply = call(op, body);
  if (!reply.ok() && reply.error().code() == ErrorCode::kNotFound) {
    // Another process made the key after the holder was opened.
    HF_TRY_ASSIGN(const auto row, table_.find(purpose::kImport, keyring::epoch_id(1)));
    if (row) HF_TRY(load(*row));
    return call(op, body);
  }
  return reply;
}

Result<bool> Custody::has_key(std::string_view purpose, std::string_view id) {
  const std::lock_guard guard(mutex_);
  HF_TRY_ASSIGN(const auto row, table_.find(purpose, as_bytes_view(id)));
  return row.has_value();
}

Status Custody::add_key(std::string_view purpose, std::string_view id,
                        const crypto::Secret* value) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(const auto known, table_.find(purpose, as_bytes_view(id)));
  if (known) return conflict("the keyring has that key already");
  HF_TRY_ASSIGN(const keyring::HolderStatus holder, holder_status());
  const ByteView name = as_bytes_view(id);
  WrappedRow row{std::string(purpose), Bytes(name.begin(), name.end()), holder.irk_epoch, {}};
  ByteWriter body;
  body.lp(purpose).lp(row.id);
  if (value == nullptr) {
    HF_TRY_ASSIGN(row.blob, call(Op::kMakeKey, body));
  } else {
    HF_TRY_ASSIGN(const platform::UniqueFd fd, secret_socket(value->view()));
    HF_TRY_ASSIGN(row.blob, call(Op::kWrapValue, body, fd.get()));
  }
  HF_TRY(table_.put(row));
  return load(row);
}

Status Custody::put_value(std::string_view name, const crypto::Secret& value) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const platform::UniqueFd fd, secret_socket(value.view()));
  ByteWriter body;
  body.lp(name);
  HF_TRY_ASSIGN(Bytes blob, call(Op::kSealValue, body, fd.get()));
  const ByteView id = as_bytes_view(name);
  return table_.put(
      {std::string(purpose::kCredential), Bytes(id.begin(), id.end()), 1, std::move(blob)});
}

Result<crypto::Secret> Custody::value(std::string_view name) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const auto row, table_.find(purpose::kCredential, as_bytes_view(name)));
  if (!row) return not_found("the keyring holds no value of that name");
  HF_TRY_ASSIGN(platform::SocketPair pair, platform::make_socket_pair());
  ByteWriter body;
  body.lp(name).lp(row->blob);
  HF_TRY(call(Op::kOpenValue, body, pair.theirs.get()));
  pair.theirs.reset();
  return keyholder::read_secret(pair.ours.get(), keyring::kWrappedBytesMax,
                                platform::Deadline::after(kReadPatience));
}

Result<std::vector<std::string>> Custody::value_names() {
  const std::lock_guard guard(mutex_);
  HF_TRY_ASSIGN(const std::vector<WrappedRow> rows, table_.list(purpose::kCredential));
  std::vector<std::string> names;
  for (const WrappedRow& row : rows) names.emplace_back(as_string_view(row.id));
  return names;
}

Status Custody::forget_value(std::string_view name) {
  const std::lock_guard guard(mutex_);
  const ByteView id = as_bytes_view(name);
  HF_TRY_ASSIGN(const auto row, table_.find(purpose::kCredential, id));
  if (!row) return not_found("the keyring holds no value of that name");
  HF_TRY(table_.remove(purpose::kCredential, id));
  ignore_error(table_.database().truncate_log(), "a reader is busy: the next checkpoint does it");
  return ok_status();
}

}  // namespace holdfast::custody
