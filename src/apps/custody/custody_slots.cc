// Slots: made, removed, tested, and all replaced by a new root key.
#include <algorithm>

#include "holdfast/custody/custody.h"
#include "holdfast/keyholder/link.h"
#include "holdfast/keyring/slot_params.h"
#include "protocol.h"

namespace holdfast::custody {
namespace {

using keyholder::Op;
using keyring::FactorKind;
using keyring::SlotPlan;

// Rows of one request: some 200 KiB at most.
constexpr std::size_t kRowsPerRequest = 1000;

std::vector<SlotPlan> plans_of(const keyring::Keyring& keyring) {
  std::vector<SlotPlan> out;
  for (const keyring::Slot& slot : keyring.slots) out.push_back(slot.plan);
  return out;
}

}  // namespace

// Runs the openers of a new slot's factors; the plan says what they made.
Result<SlotKeys> Custody::enrol(NewSlot& slot, SlotPlan& plan) {
  if (slot.factors.empty() || slot.factors.size() > keyring::kFactorsMax)
    return invalid_argument("a slot has one or two factors");
  HF_TRY(platform::fill_random(plan.id));
  plan.label = slot.label;
  plan.recovery = slot.recovery;
  plan.created =
      static_cast<std::uint64_t>(platform::unix_seconds(platform::system_clock().wall_time()));
  HF_TRY_ASSIGN(SlotKeys keys, new_slot_keys());
  for (FactorInput& input : slot.factors) {
    platform::UniqueFd secret = std::move(input.secret);
    std::string hint = input.hint;
    if (input.kind == FactorKind::kFile || input.kind == FactorKind::kCredential) {
      const keyring::Factor named{input.kind, keyring::encode_text_params(hint)};
      HF_TRY_ASSIGN(secret, automatic_secret(named));
    } else if (input.kind == FactorKind::kPassphrase) {
      hint = std::to_string(options_.cost.memory_kib) + "," + std::to_string(options_.cost.passes) +
             "," + std::to_string(options_.cost.lanes);
    } else if (input.kind == FactorKind::kPkcs11 && !secret.valid()) {
      HF_TRY_ASSIGN(const std::string path, keyring::pin_source_of(hint));
      if (!path.empty()) {
        HF_TRY_ASSIGN(secret, private_file(path));
      }
    }
    HF_TRY_ASSIGN(keyring::Factor factor, keys.enrol(plan.id, input.kind, hint, secret.get()));
    plan.factors.push_back(std::move(factor));
  }
  return keys;
}

// The file first: it is what opens. The database follows; where a crash separates the two, the next
// opening finds a newer file, which is right.
Status Custody::store_file(ByteView file, std::uint64_t generation) {
  HF_TRY(store_.write(file));
  ByteWriter body;
  append_file(body, file);
  HF_TRY(call(Op::kAccept, body));
  return table_.set_generation(generation);
}

Status Custody::create(NewSlot slot) {
  const std::lock_guard guard(mutex_);
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  if (store_.exists()) {
    return conflict("there is a keyring already")
        .with_hint("holdfast seal slot add adds a slot to it");
  }
  HF_TRY_ASSIGN(const std::uint64_t generation, table_.generation());
  if (generation != 0) {
    return corrupt("the keyring is gone, and with it what it protects")
        .with_hint("restore keyring.hfk from a backup; to begin anew, move state.db away too");
  }
  SlotPlan plan;
  HF_TRY_ASSIGN(const SlotKeys keys, enrol(slot, plan));
  ByteWriter body;
  body.lp(keyring::encode_slot_plan(plan));
  ByteWriter by_us;
  by_us.be<std::uint8_t>(0);
  HF_TRY(call(Op::kSeal, by_us));
  HF_TRY_ASSIGN(const Bytes file, call(Op::kCreate, body, keys.fd()));
  HF_TRY(store_file(file, 1));
  HF_TRY_ASSIGN(const Current current, read_current());
  return after_open(current);
}

Result<keyring::SlotId> Custody::add_slot(NewSlot slot) {
  if (!exists()) {
    HF_TRY(create(std::move(slot)));
    const std::lock_guard guard(mutex_);
    HF_TRY_ASSIGN(const Current current, read_current());
    return current.keyring.slots.front().plan.id;
  }
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(const Current current, read_current());
  if (persons_among(plans_of(current.keyring)) >= 2) HF_TRY(take_approval());
  SlotPlan plan;
  HF_TRY_ASSIGN(const SlotKeys keys, enrol(slot, plan));
  ByteWriter body;
  append_file(body, current.file);
  body.lp(keyring::encode_slot_plan(plan));
  HF_TRY_ASSIGN(const Bytes file, call(Op::kAddSlot, body, keys.fd()));
  HF_TRY(store_file(file, current.keyring.generation + 1));
  return plan.id;
}

Status Custody::remove_slot(const keyring::SlotId& slot) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(const Current current, read_current());
  HF_TRY(take_approval());
  std::vector<SlotPlan> left = plans_of(current.keyring);
  std::erase_if(left, [&](const SlotPlan& plan) { return plan.id == slot; });
  if (!left.empty()) HF_TRY(check_persons_left(left));
  bool another_opens = false;
  for (const keyring::Slot& s : current.keyring.slots) {
    HF_TRY_ASSIGN(const bool opened, table_.has_opened(s.plan.id));
    another_opens = another_opens || (opened && s.plan.id != slot);
  }
  if (!another_opens && current.keyring.slots.size() > 1) {
    return conflict("no other slot has been tried yet: without this one the keyring might be lost")
        .with_hint("first: holdfast seal slot test ID of the slot that stays");
  }
  ByteWriter body;
  append_file(body, current.file);
  body.raw(slot);
  HF_TRY_ASSIGN(const Bytes file, call(Op::kRemoveSlot, body));
  return store_file(file, current.keyring.generation + 1);
}

Status Custody::test_slot(const keyring::SlotId& slot, const AskSecret& ask) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const Current current, read_current());
  const keyring::Slot* found = current.keyring.find(slot);
  if (found == nullptr) return not_found("there is no such slot");
  return test_locked(current, found->plan, ask);
}

Status Custody::test_locked(const Current& current, const SlotPlan& slot, const AskSecret& ask) {
  HF_TRY_ASSIGN(SlotKeys keys, new_slot_keys());
  HF_TRY(collect(slot, ask, keys));
  ByteWriter body;
  append_file(body, current.file);
  append_slot_secret(body, slot);
  HF_TRY(call(Op::kTestSlot, body, keys.fd()));
  return table_.note_opened(slot.id);
}

// Blobs in the order of the rows.
Result<std::vector<Bytes>> Custody::rewrap(Op op, const std::vector<WrappedRow>& rows) {
  std::vector<Bytes> out;
  for (std::size_t at = 0; at < rows.size(); at += kRowsPerRequest) {
    const std::size_t end = std::min(rows.size(), at + kRowsPerRequest);
    ByteWriter body;
    for (std::size_t i = at; i < end; ++i) {
      body.lp(rows[i].purpose).lp(rows[i].id).lp(rows[i].blob);
    }
    HF_TRY_ASSIGN(const Bytes reply, call(op, body));
    ByteReader in(reply);
    for (std::size_t i = at; i < end; ++i) {
      HF_TRY_ASSIGN(const ByteView blob, in.take_lp());
      out.emplace_back(blob.begin(), blob.end());
    }
  }
  return out;
}

// Children of both epochs stand side by side until the file says which root key is the right one;
// after_open() removes the others, also after a crash.
Result<std::vector<SlotPlan>> Custody::rotate_root(const AskSecret& ask) {
  const std::lock_guard guard(mutex_);
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const auto lock, store_.lock());
  HF_TRY_ASSIGN(const Current current, read_current());
  HF_TRY(take_approval());
  HF_TRY_ASSIGN(SlotKeys keys, new_slot_keys());
  ByteWriter body;
  append_file(body, current.file);
  std::vector<SlotPlan> kept;
  std::vector<SlotPlan> lost;
  for (const keyring::Slot& slot : current.keyring.slots) {
    const Status collected = collect(slot.plan, ask, keys);
    if (!collected.ok() && collected.error().code() != ErrorCode::kNotFound)
      return collected.error();
    if (collected.ok()) append_slot_secret(body, slot.plan);
    (collected.ok() ? kept : lost).push_back(slot.plan);
  }
  HF_TRY(check_persons_left(kept));
  HF_TRY_ASSIGN(const Bytes file, call(Op::kBeginRotation, body, keys.fd()));
  const std::uint32_t epoch = current.keyring.irk_epoch;
  std::vector<WrappedRow> rows;
  for (const std::string_view purpose : kRootChildren) {
    HF_TRY_ASSIGN(std::vector<WrappedRow> some, table_.list(purpose));
    std::move(some.begin(), some.end(), std::back_inserter(rows));
  }
  std::erase_if(rows, [epoch](const WrappedRow& row) { return row.epoch != epoch; });
  HF_TRY_ASSIGN(std::vector<Bytes> blobs, rewrap(Op::kRewrapChildren, rows));
  {
    HF_TRY_ASSIGN(db::Transaction change, db::Transaction::begin(table_.database()));
    for (std::size_t i = 0; i < rows.size(); ++i)
      HF_TRY(table_.put({rows[i].purpose, rows[i].id, epoch + 1, std::move(blobs[i])}));
    HF_TRY(change.commit());
  }
  HF_TRY(store_file(file, current.keyring.generation + 1));
  {
    HF_TRY_ASSIGN(db::Transaction change, db::Transaction::begin(table_.database()));
    HF_TRY(keep_children_of(epoch + 1));
    HF_TRY(change.commit());
  }
  ignore_error(table_.database().truncate_log(), "a reader is busy: the next checkpoint does it");
  return lost;
}

}  // namespace holdfast::custody
