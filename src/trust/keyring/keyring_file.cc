#include "holdfast/keyring/keyring_file.h"

#include <algorithm>

#include "holdfast/base/check.h"
#include "holdfast/base/utf8.h"

namespace holdfast::keyring {
namespace {

constexpr std::string_view kMagic = "HFK1";
constexpr std::uint16_t kVersion = 1;
constexpr std::uint8_t kFlagRecovery = 1;
constexpr std::size_t kReservedBytes = 28;
constexpr std::size_t kSealedRootBytes = 12 + 32 + 16;

Error damaged(std::string_view what) {
  return corrupt("the keyring is damaged", std::string(what))
      .with_hint("restore keyring.hfk from a backup (docs/operating/custody.md)");
}

struct FactorKindName {
  FactorKind kind;
  std::string_view name;
};

constexpr std::array kFactorKinds = {FactorKindName{FactorKind::kPassphrase, "passphrase"},
                                     FactorKindName{FactorKind::kTpm2, "tpm2"},
                                     FactorKindName{FactorKind::kPkcs11, "pkcs11"},
                                     FactorKindName{FactorKind::kCredential, "systemd"},
                                     FactorKindName{FactorKind::kPbkdf2, "pbkdf2"},
                                     FactorKindName{FactorKind::kFile, "file"}};

bool is_known(std::uint8_t kind) {
  return factor_kind_name(static_cast<FactorKind>(kind)) != "unknown";
}

bool is_label(std::string_view text) {
  return text.size() <= kLabelBytesMax && is_valid_utf8(text) &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

Result<Factor> take_factor(ByteReader& in) {
  HF_TRY_ASSIGN(const std::uint8_t kind, in.be<std::uint8_t>());
  HF_TRY_ASSIGN(const ByteView params, in.take_lp());
  if (!is_known(kind)) {
    return unsupported("the keyring has a slot of a kind that this version does not know",
                       "kind " + std::to_string(kind));
  }
  return Factor{static_cast<FactorKind>(kind), Bytes(params.begin(), params.end())};
}

Result<SlotPlan> take_plan(ByteReader& in) {
  SlotPlan plan;
  HF_TRY(in.take_array(plan.id));
  HF_TRY_ASSIGN(const std::uint8_t n_factors, in.be<std::uint8_t>());
  HF_TRY_ASSIGN(const std::uint8_t flags, in.be<std::uint8_t>());
  HF_TRY_ASSIGN(const std::uint16_t reserved, in.be<std::uint16_t>());
  if (n_factors < 1 || n_factors > kFactorsMax) return damaged("a slot's number of factors");
  if ((flags & ~kFlagRecovery) != 0 || reserved != 0) return damaged("a slot's reserved bits");
  plan.recovery = (flags & kFlagRecovery) != 0;
  HF_TRY_ASSIGN(plan.created, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(const ByteView label, in.take_lp());
  if (!is_label(as_string_view(label))) return damaged("a slot's label");
  plan.label = as_string_view(label);
  for (std::uint8_t i = 0; i < n_factors; ++i) {
    HF_TRY_ASSIGN(Factor factor, take_factor(in));
    plan.factors.push_back(std::move(factor));
  }
  return plan;
}

Result<Slot> decode_slot(ByteView bytes) {
  ByteReader in(bytes);
  Slot slot;
  HF_TRY_ASSIGN(slot.plan, take_plan(in));
  const std::size_t expected = wrapped_root_bytes(slot.plan.factors.size());
  if (in.remaining() != expected) return damaged("a slot's length");
  HF_TRY_ASSIGN(const ByteView wrapped, in.take(expected));
  slot.wrapped.assign(wrapped.begin(), wrapped.end());
  return slot;
}

Result<std::uint16_t> take_header(ByteReader& in, Keyring& keyring) {
  HF_TRY_ASSIGN(const std::string_view magic, in.take_string(kMagic.size()));
  if (magic != kMagic) return damaged("it does not begin with HFK1");
  HF_TRY_ASSIGN(const std::uint16_t version, in.be<std::uint16_t>());
  if (version != kVersion) {
    return unsupported("the keyring was written by another version of Holdfast",
                       "version " + std::to_string(version));
  }
  HF_TRY_ASSIGN(const std::uint16_t n_slots, in.be<std::uint16_t>());
  if (n_slots < 1 || n_slots > kSlotsMax) return damaged("the number of slots");
  HF_TRY(in.take_array(keyring.instance_id));
  HF_TRY_ASSIGN(keyring.generation, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(keyring.irk_epoch, in.be<std::uint32_t>());
  HF_TRY_ASSIGN(const ByteView reserved, in.take(kReservedBytes));
  if (!all_zero(reserved)) return damaged("reserved bytes of the header");
  return n_slots;
}

void append_plan(ByteWriter& out, const SlotPlan& plan) {
  HF_CHECK(!plan.factors.empty() && plan.factors.size() <= kFactorsMax);
  HF_CHECK(is_label(plan.label));
  out.raw(plan.id).be(static_cast<std::uint8_t>(plan.factors.size()));
  out.be<std::uint8_t>(plan.recovery ? kFlagRecovery : 0).be<std::uint16_t>(0).be(plan.created);
  out.lp(plan.label);
  for (const Factor& factor : plan.factors) {
    out.be(static_cast<std::uint8_t>(factor.kind)).lp(factor.params);
  }
}

}  // namespace

std::string_view factor_kind_name(FactorKind kind) {
  const auto it = std::ranges::find(kFactorKinds, kind, &FactorKindName::kind);
  return it == kFactorKinds.end() ? "unknown" : it->name;
}

std::optional<FactorKind> find_factor_kind(std::string_view name) {
  const auto it = std::ranges::find(kFactorKinds, name, &FactorKindName::name);
  if (it == kFactorKinds.end()) return std::nullopt;
  return it->kind;
}

const Slot* Keyring::find(const SlotId& id) const {
  const auto it = std::find_if(slots.begin(), slots.end(),
                               [&](const Slot& slot) { return slot.plan.id == id; });
  return it == slots.end() ? nullptr : &*it;
}

std::size_t wrapped_root_bytes(std::size_t n_factors) {
  return kSealedRootBytes + (n_factors - 1) * (12 + 16);
}

Bytes encode_slot_plan(const SlotPlan& plan) {
  ByteWriter out;
  append_plan(out, plan);
  return std::move(out).take();
}

Result<SlotPlan> decode_slot_plan(ByteView bytes) {
  if (bytes.size() > kSlotBytesMax) return damaged("a slot's length");
  ByteReader in(bytes);
  HF_TRY_ASSIGN(SlotPlan plan, take_plan(in));
  if (!in.at_end()) return damaged("a slot's length");
  return plan;
}

Bytes encode_keyring(const Keyring& keyring) {
  HF_CHECK(!keyring.slots.empty() && keyring.slots.size() <= kSlotsMax);
  ByteWriter out;
  out.raw(kMagic).be(kVersion).be(static_cast<std::uint16_t>(keyring.slots.size()));
  out.raw(keyring.instance_id).be(keyring.generation).be(keyring.irk_epoch);
  const std::array<std::byte, kReservedBytes> zero{};
  out.raw(zero);
  for (const Slot& slot : keyring.slots) {
    Bytes bytes = encode_slot_plan(slot.plan);
    HF_CHECK(slot.wrapped.size() == wrapped_root_bytes(slot.plan.factors.size()));
    bytes.insert(bytes.end(), slot.wrapped.begin(), slot.wrapped.end());
    HF_CHECK(bytes.size() <= kSlotBytesMax);
    out.be(static_cast<std::uint32_t>(bytes.size())).raw(bytes);
  }
  return std::move(out).take();
}

Result<DecodedKeyring> decode_keyring(ByteView file) {
  if (file.size() > kKeyringBytesMax) return damaged("it is too long");
  ByteReader in(file);
  DecodedKeyring out;
  HF_TRY_ASSIGN(const std::uint16_t n_slots, take_header(in, out.keyring));
  for (std::uint16_t i = 0; i < n_slots; ++i) {
    HF_TRY_ASSIGN(const std::uint32_t n, in.be<std::uint32_t>());
    if (n > kSlotBytesMax) return damaged("a slot is too long");
    HF_TRY_ASSIGN(const ByteView bytes, in.take(n));
    HF_TRY_ASSIGN(Slot slot, decode_slot(bytes));
    if (out.keyring.find(slot.plan.id) != nullptr) return damaged("two slots have one id");
    out.keyring.slots.push_back(std::move(slot));
  }
  out.signed_bytes = in.position();
  HF_TRY(in.take_array(out.mac));
  if (!in.at_end()) return damaged("bytes follow its end");
  return out;
}

}  // namespace holdfast::keyring
