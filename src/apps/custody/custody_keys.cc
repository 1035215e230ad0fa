// Keys under the root key: data keys of models, values, MACs.
#include <algorithm>

#include "holdfast/custody/custody.h"
#include "holdfast/keyholder/link.h"
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

constexpr auto kReadPatience = std::chrono::seconds(5);

}  // namespace

Result<std::size_t> Custody::rotate_kek() {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(const keyring::HolderStatus holder, holder_status());
  HF_TRY_ASSIGN(const std::vector<WrappedRow> old, table_.list(purpose::kKekWeights));
  std::uint32_t epoch = 1;
  for (const WrappedRow& row : old)
    epoch = std::max(epoch, keyring::epoch_of_id(row.id).value_or(0) + 1);
  WrappedRow fresh{
      std::string(purpose::kKekWeights), keyring::epoch_id(epoch), holder.irk_epoch, {}};
  ByteWriter body;
  body.lp(fresh.purpose).lp(fresh.id);
  HF_TRY_ASSIGN(fresh.blob, call(Op::kMakeKey, body));
  // Stored before anything is wrapped under it; until the transaction below both are good.
  HF_TRY(table_.put(fresh));
  HF_TRY(load(fresh));
  HF_TRY_ASSIGN(const std::vector<WrappedRow> rows, table_.list(purpose::kDekWeights));
  HF_TRY_ASSIGN(const std::vector<Bytes> blobs, rewrap(Op::kRewrapDeks, rows));
  {
    HF_TRY_ASSIGN(db::Transaction change, db::Transaction::begin(table_.database()));
    HF_TRY(replace_deks(rows, blobs, epoch));
    for (const WrappedRow& row : old) HF_TRY(table_.remove(row.purpose, row.id));
    HF_TRY(change.commit());
  }
  for (const WrappedRow& row : old) {
    ByteWriter unload;
    unload.lp(row.purpose).lp(row.id);
    HF_TRY(call(Op::kUnloadKey, unload));
  }
  ignore_error(table_.database().truncate_log(), "a reader is busy: the next checkpoint does it");
  return rows.size();
}

Status Custody::replace_deks(const std::vector<WrappedRow>& rows, const std::vector<Bytes>& blobs,
                             std::uint32_t epoch) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    HF_TRY(table_.put({rows[i].purpose, rows[i].id, epoch, blobs[i]}));
  return table_.remove_other_epochs(purpose::kDekWeights, epoch);
}

Result<Bytes> Custody::give_dek(const vault::ModelId& model, int fd, DekChoice choice,
                                ByteView blob) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  if (choice != DekChoice::kStored) return call(Op::kGiveDek, model_body(model, blob), fd);
  // Under the lock, so that a rotation wraps this key again too.
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(const auto known, table_.find(purpose::kDekWeights, model));
  HF_TRY_ASSIGN(
      Bytes wrapped,
      call(Op::kGiveDek, model_body(model, known ? ByteView(known->blob) : ByteView()), fd));
  if (known) return wrapped;
  HF_TRY_ASSIGN(const std::uint32_t epoch, keyring::parent_epoch_of(wrapped));
  HF_TRY(table_.put(
      {std::string(purpose::kDekWeights), Bytes(model.begin(), model.end()), epoch, wrapped}));
  return wrapped;
}

Status Custody::adopt_dek(const vault::ModelId& model, ByteView blob) {
  const std::lock_guard guard(mutex_);
  HF_TRY_ASSIGN(const std::uint32_t epoch, keyring::parent_epoch_of(blob));
  HF_TRY_ASSIGN(db::Transaction change, db::Transaction::begin(table_.database()));
  HF_TRY(table_.remove(purpose::kDekWeights, model));
  HF_TRY(table_.put({std::string(purpose::kDekWeights), Bytes(model.begin(), model.end()), epoch,
                     Bytes(blob.begin(), blob.end())}));
  return change.commit();
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
  ignore_error(table_.database().truncate_log(), "a reader is busy: the next checkpoint does it");
  return ok_status();
}

// The pack's own slots for this instance first, then the stored key: slots may lag behind a
// rotation, and a pack that is being replaced has a key of its own.
Result<std::vector<Bytes>> Custody::dek_candidates(const vault::PackHeader& header) {
  HF_TRY_ASSIGN(const keyring::HolderStatus holder, holder_status());
  std::vector<Bytes> out;
  for (const vault::WrapSlot& slot : header.slots) {
    if (slot.used && slot.kek_id == holder.instance_id &&
        slot.algorithm == vault::WrapAlgorithm::kAes256Gcm)
      out.push_back(keyring::blob_of_slot(slot));
  }
  HF_TRY_ASSIGN(auto row, table_.find(purpose::kDekWeights, header.model_id));
  if (row) out.push_back(std::move(row->blob));
  return out;
}

Status Custody::send_content_keys(const vault::PackHeader& header, int fd) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  // Twice: a rotation may have replaced what was read before the request.
  for (int round = 0; round < 2; ++round) {
    HF_TRY_ASSIGN(const std::vector<Bytes> candidates, dek_candidates(header));
    for (const Bytes& blob : candidates) {
      ByteWriter body = model_body(header.model_id, blob);
      body.be(static_cast<std::uint8_t>(*header.seal)).raw(header.salt);
      auto sent = call(Op::kContentKeys, body, fd);
      if (sent.ok()) return ok_status();
      const ErrorCode code = sent.error().code();
      if (code != ErrorCode::kNotFound && code != ErrorCode::kCorrupt)
        return std::move(sent).error();
    }
  }
  return not_found("this instance has no key that opens the model's pack")
      .with_hint("restore state.db together with the packs, or import the model again");
}

Result<vault::WrapSlot> Custody::wrap_slot(ByteView blob) {
  const std::lock_guard guard(mutex_);
  HF_TRY_ASSIGN(const keyring::HolderStatus holder, holder_status());
  return keyring::slot_of_blob(blob, holder.instance_id);
}

Result<crypto::Secret> Custody::reveal_dek(const vault::ModelId& model) {
  HF_TRY_ASSIGN(const Bytes blob, dek_blob(model));
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const platform::SocketPair pair, platform::make_socket_pair());
  HF_TRY(call(Op::kRevealDek, model_body(model, blob), pair.theirs.get()));
  return keyholder::receive_secret(pair.ours.get(), crypto::kKeyBytes,
                                   platform::Deadline::after(kReadPatience));
}

Result<crypto::Sha256Digest> Custody::mac(keyring::MacUse use, std::string_view id, ByteView data) {
  const std::lock_guard guard(mutex_);
  ByteWriter body;
  body.be(static_cast<std::uint8_t>(use));
  body.lp(id).lp(data);
  auto reply = call(Op::kMac, body);
  if (!reply.ok() && reply.error().code() == ErrorCode::kUnavailable) {
    // A holder that was started anew is sealed.
    HF_TRY(open_locked());
    reply = call(Op::kMac, body);
  }
  if (!reply.ok()) return std::move(reply).error();
  crypto::Sha256Digest digest;
  if (reply->size() != digest.size())
    return internal_error("the key holder's MAC has a wrong length");
  std::copy(reply->begin(), reply->end(), digest.begin());
  return digest;
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

}  // namespace holdfast::custody
