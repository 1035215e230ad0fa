// Dual control: changes to who opens the keyring, and keys that leave it, need two persons. A
// person is known by the secret of a slot of their own.
#include <algorithm>

#include "holdfast/crypto/constant_time.h"
#include "holdfast/custody/custody.h"
#include "holdfast/keyholder/link.h"
#include "protocol.h"

namespace holdfast::custody {
namespace {

using keyring::SlotPlan;

// A recovery code is nobody's own.
std::size_t persons_in(const SlotPlan& slot) {
  if (slot.recovery) return 0;
  return static_cast<std::size_t>(std::ranges::count_if(
      slot.factors, [](const keyring::Factor& f) { return !needs_nobody(f); }));
}

Error denied(std::string what) {
  return Error(ErrorCode::kDenied, std::move(what))
      .with_hint(
          "--approver SLOT=FILE twice, of two persons' slots; or twice the slot that two open "
          "together");
}

}  // namespace

std::size_t persons_among(std::span<const SlotPlan> slots) {
  std::size_t persons = 0;
  for (const SlotPlan& slot : slots) persons += persons_in(slot);
  return persons;
}

Status Custody::approve(std::vector<Approver> approvers) {
  const std::lock_guard guard(mutex_);
  approved_ = false;
  if (approvers.size() != 2) return denied("two persons have to approve this");
  Approver& first = approvers[0];
  Approver& second = approvers[1];
  if (first.secret.size() == second.secret.size() &&
      crypto::constant_time_equal(first.secret.view(), second.secret.view()))
    return denied("the same secret twice is one person");
  HF_TRY(open_locked());
  HF_TRY_ASSIGN(const Current current, read_current());
  if (first.slot == second.slot) {
    HF_TRY(check_approvers(current, first.slot, approvers));
  } else {
    HF_TRY(check_approvers(current, first.slot, std::span(approvers).first(1)));
    HF_TRY(check_approvers(current, second.slot, std::span(approvers).last(1)));
  }
  approved_ = true;
  return ok_status();
}

// The approvers of one slot, one for each of its secrets that a person has.
Status Custody::check_approvers(const Current& current, const keyring::SlotId& id,
                                std::span<const Approver> approvers) {
  const keyring::Slot* slot = current.keyring.find(id);
  if (slot == nullptr) return not_found("there is no such slot");
  const std::size_t persons = persons_in(slot->plan);
  if (persons == 0) return denied("slot '" + slot->plan.label + "' is no person's own");
  if (persons < approvers.size()) return denied("the same person twice is one person");
  if (persons > approvers.size())
    return denied("slot '" + slot->plan.label + "' opens with two persons together");
  std::size_t next = 0;
  return test_locked(current, slot->plan, [&](const SlotPlan&, std::size_t) {
    return secret_socket(approvers[next++].secret.view());
  });
}

Status Custody::take_approval() {
  if (!options_.dual_control) return ok_status();
  if (!approved_) return denied("dual control is on: two persons have to approve this");
  approved_ = false;
  return ok_status();
}

Status Custody::check_persons_left(std::span<const SlotPlan> slots) const {
  if (!options_.dual_control || persons_among(slots) >= 2) return ok_status();
  return conflict("fewer than two persons would be left to approve anything")
      .with_hint("first add a slot for another person: holdfast seal slot add");
}

}  // namespace holdfast::custody
