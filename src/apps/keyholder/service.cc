#include "holdfast/keyholder/service.h"

#include <algorithm>

#include "holdfast/crypto/constant_time.h"
#include "holdfast/keyholder/link.h"
#include "holdfast/vault/content_keys.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::keyholder {
namespace {

// Secrets were written before the request was sent, and readers of secrets wait for them.
constexpr auto kSecretPatience = std::chrono::seconds(2);

platform::Deadline secret_deadline() { return platform::Deadline::after(kSecretPatience); }

Status at_end(const ByteReader& in) {
  return in.at_end() ? ok_status() : Status(corrupt("a request is too long"));
}

// be32 length and a keyring file.
Result<ByteView> take_file(ByteReader& in) {
  HF_TRY_ASSIGN(const std::uint32_t n, in.be<std::uint32_t>());
  return in.take(n);
}

Result<std::vector<keyring::FactorKey>> receive_keys(int fd, std::size_t n) {
  if (fd < 0) return invalid_argument("a request lacks its secrets");
  if (n < 1 || n > keyring::kFactorsMax) return corrupt("a slot's number of factors");
  std::vector<keyring::FactorKey> keys;
  for (std::size_t i = 0; i < n; ++i) {
    HF_TRY_ASSIGN(crypto::Secret key, receive_secret(fd, crypto::kKeyBytes, secret_deadline()));
    keys.emplace_back(std::move(key));
  }
  return keys;
}

// slot id, u8 number of factors; the keys come over the descriptor.
Result<keyring::SlotSecret> take_slot_secret(ByteReader& in, int fd) {
  keyring::SlotSecret secret;
  HF_TRY(in.take_array(secret.slot));
  HF_TRY_ASSIGN(const std::uint8_t n, in.be<std::uint8_t>());
  HF_TRY_ASSIGN(secret.keys, receive_keys(fd, n));
  return secret;
}

struct NewSlot {
  keyring::SlotPlan plan;
  std::vector<keyring::FactorKey> keys;
};
Result<NewSlot> take_new_slot(ByteReader& in, int fd) {
  NewSlot slot;
  HF_TRY_ASSIGN(const ByteView plan, in.take_lp());
  HF_TRY(at_end(in));
  HF_TRY_ASSIGN(slot.plan, keyring::decode_slot_plan(plan));
  HF_TRY_ASSIGN(slot.keys, receive_keys(fd, slot.plan.factors.size()));
  return slot;
}

Bytes encode_status(const keyring::HolderStatus& s) {
  ByteWriter out;
  out.be<std::uint8_t>(s.open ? 1 : 0).raw(s.instance_id).be(s.generation).be(s.irk_epoch);
  out.raw(s.slot).be(static_cast<std::uint8_t>(s.memory));
  out.be<std::uint8_t>(s.stay_sealed ? 1 : 0);
  return std::move(out).take();
}

Result<Bytes> nothing(const Status& status) {
  if (!status.ok()) return status.error();
  return Bytes();
}

}  // namespace

Result<Bytes> Service::handle(ByteView request, const platform::UniqueFd& fd) {
  ByteReader in(request);
  HF_TRY_ASSIGN(const std::uint8_t number, in.be<std::uint8_t>());
  const auto op = static_cast<Op>(number);
  switch (op) {
    case Op::kStatus:
      return encode_status(holder_.status());
    case Op::kSeal: {
      HF_TRY_ASSIGN(const std::uint8_t by_operator, in.be<std::uint8_t>());
      holder_.seal(by_operator == 1);
      return Bytes();
    }
    case Op::kCreate:
    case Op::kOpen:
    case Op::kAddSlot:
    case Op::kRemoveSlot:
    case Op::kAccept:
    case Op::kTestSlot:
      return change_slots(op, in, fd.get());
    case Op::kMakeKey:
    case Op::kWrapValue:
    case Op::kLoadKey:
    case Op::kUnloadKey:
      return change_keys(op, in, fd.get());
    case Op::kBeginRotation:
    case Op::kRewrapChildren:
    case Op::kRewrapDeks:
      return rotate(op, in, fd.get());
    case Op::kGiveDek:
    case Op::kContentKeys:
    case Op::kRevealDek:
      return use_deks(op, in, fd.get());
    case Op::kSealValue:
    case Op::kOpenValue:
    case Op::kMac:
      return use_values(op, in, fd.get());
    case Op::kSign:
    case Op::kPublicKey:
      return sign(op, in);
  }
  return corrupt("a request of an unknown kind");
}

Result<Bytes> Service::change_slots(Op op, ByteReader& in, int fd) {
  if (op == Op::kCreate) {
    HF_TRY_ASSIGN(const NewSlot slot, take_new_slot(in, fd));
    return holder_.create(slot.plan, slot.keys);
  }
  HF_TRY_ASSIGN(const ByteView file, take_file(in));
  if (op == Op::kAccept) {
    HF_TRY(at_end(in));
    return nothing(holder_.accept(file));
  }
  if (op == Op::kAddSlot) {
    HF_TRY_ASSIGN(const NewSlot slot, take_new_slot(in, fd));
    return holder_.add_slot(file, slot.plan, slot.keys);
  }
  if (op == Op::kRemoveSlot) {
    keyring::SlotId id{};
    HF_TRY(in.take_array(id));
    HF_TRY(at_end(in));
    return holder_.remove_slot(file, id);
  }
  std::uint64_t generation_min = 0;
  if (op == Op::kOpen) {
    HF_TRY_ASSIGN(generation_min, in.be<std::uint64_t>());
  }
  HF_TRY_ASSIGN(const keyring::SlotSecret secret, take_slot_secret(in, fd));
  HF_TRY(at_end(in));
  return nothing(op == Op::kOpen ? holder_.open(file, secret, generation_min)
                                 : holder_.test_slot(file, secret));
}

Result<Bytes> Service::change_keys(Op op, ByteReader& in, int fd) {
  HF_TRY_ASSIGN(const ByteView purpose, in.take_lp());
  HF_TRY_ASSIGN(const ByteView id, in.take_lp());
  const std::string_view name = as_string_view(purpose);
  if (op == Op::kLoadKey) {
    HF_TRY_ASSIGN(const ByteView blob, in.take_lp());
    HF_TRY(at_end(in));
    return nothing(holder_.load_key(name, id, blob));
  }
  HF_TRY(at_end(in));
  if (op == Op::kMakeKey) return holder_.make_key(name, id);
  if (op == Op::kUnloadKey) {
    holder_.unload_key(name, id);
    return Bytes();
  }
  HF_TRY_ASSIGN(const crypto::Secret value,
                read_secret(fd, keyring::kWrappedBytesMax - 64, secret_deadline()));
  return holder_.wrap_value(name, id, value);
}

Result<Bytes> Service::rotate(Op op, ByteReader& in, int fd) {
  if (op == Op::kBeginRotation) {
    HF_TRY_ASSIGN(const ByteView file, take_file(in));
    std::vector<keyring::SlotSecret> kept;
    while (!in.at_end()) {
      if (kept.size() == keyring::kSlotsMax) return corrupt("a request names too many slots");
      HF_TRY_ASSIGN(keyring::SlotSecret secret, take_slot_secret(in, fd));
      kept.push_back(std::move(secret));
    }
    return holder_.begin_rotation(file, kept);
  }
  // Rows in, blobs out, in the same order.
  ByteWriter out;
  while (!in.at_end()) {
    HF_TRY_ASSIGN(const ByteView purpose, in.take_lp());
    HF_TRY_ASSIGN(const ByteView id, in.take_lp());
    HF_TRY_ASSIGN(const ByteView blob, in.take_lp());
    if (op == Op::kRewrapChildren) {
      HF_TRY_ASSIGN(const Bytes fresh, holder_.rewrap_child(as_string_view(purpose), id, blob));
      out.lp(fresh);
      continue;
    }
    vault::ModelId model;
    if (id.size() != model.size()) return corrupt("a model's id has a wrong length");
    std::copy(id.begin(), id.end(), model.begin());
    HF_TRY_ASSIGN(const Bytes fresh, holder_.rewrap_dek(model, blob));
    out.lp(fresh);
  }
  return std::move(out).take();
}

Result<Bytes> Service::use_deks(Op op, ByteReader& in, int fd) {
  if (fd < 0) return invalid_argument("a request lacks the descriptor for its keys");
  vault::ModelId model{};
  HF_TRY(in.take_array(model));
  HF_TRY_ASSIGN(const ByteView blob, in.take_lp());
  if (op == Op::kGiveDek) {
    HF_TRY(at_end(in));
    HF_TRY_ASSIGN(const keyring::Holder::DataKey dek, holder_.give_dek(model, blob));
    HF_TRY(vault::send_data_key(fd, dek.key, secret_deadline()));
    return dek.blob;
  }
  HF_TRY_ASSIGN(const crypto::Secret dek, holder_.unwrap_dek(model, blob));
  if (op == Op::kRevealDek) {
    HF_TRY(at_end(in));
    HF_TRY(send_secret(fd, dek.view(), secret_deadline()));
    return Bytes();
  }
  HF_TRY_ASSIGN(const std::uint8_t number, in.be<std::uint8_t>());
  vault::Salt salt{};
  HF_TRY(in.take_array(salt));
  HF_TRY_ASSIGN(const ByteView header, in.take(vault::kHeaderDigestedBytes));
  crypto::Sha256Digest mac{};
  HF_TRY(in.take_array(mac));
  HF_TRY(at_end(in));
  const auto algorithm = crypto::aead_algorithm(number);
  if (!algorithm) return unsupported("the pack is sealed with an unknown algorithm");
  HF_TRY_ASSIGN(const vault::ContentKeys keys,
                vault::derive_content_keys(dek, *algorithm, salt, model));
  // A model has two keys while one is replaced by the other, and only one of them opens the pack.
  if (!crypto::constant_time_equal(vault::header_mac(header, keys.header_key), mac))
    return conflict("the pack is sealed with another key, or its header is damaged");
  HF_TRY(vault::send_content_keys(fd, keys, secret_deadline()));
  return Bytes();
}

Result<Bytes> Service::sign(Op op, ByteReader& in) {
  HF_TRY_ASSIGN(const std::uint8_t number, in.be<std::uint8_t>());
  const auto use = static_cast<keyring::SignUse>(number);
  HF_TRY_ASSIGN(const ByteView id, in.take_lp());
  if (op == Op::kSign) {
    HF_TRY_ASSIGN(const ByteView message, in.take(in.remaining()));
    return holder_.sign(use, id, message);
  }
  HF_TRY(at_end(in));
  return holder_.public_key(use, id);
}

Result<Bytes> Service::use_values(Op op, ByteReader& in, int fd) {
  if (op == Op::kMac) {
    HF_TRY_ASSIGN(const std::uint8_t use, in.be<std::uint8_t>());
    HF_TRY_ASSIGN(const ByteView id, in.take_lp());
    HF_TRY_ASSIGN(const ByteView data, in.take_lp());
    HF_TRY(at_end(in));
    HF_TRY_ASSIGN(const crypto::Sha256Digest digest,
                  holder_.mac(static_cast<keyring::MacUse>(use), id, data));
    return Bytes(digest.begin(), digest.end());
  }
  if (fd < 0) return invalid_argument("a request lacks the descriptor for its value");
  HF_TRY_ASSIGN(const ByteView name, in.take_lp());
  if (op == Op::kOpenValue) {
    HF_TRY_ASSIGN(const ByteView blob, in.take_lp());
    HF_TRY(at_end(in));
    HF_TRY_ASSIGN(const crypto::Secret value, holder_.open_value(name, blob));
    HF_TRY(send_secret(fd, value.view(), secret_deadline()));
    return Bytes();
  }
  HF_TRY(at_end(in));
  HF_TRY_ASSIGN(const crypto::Secret value,
                read_secret(fd, keyring::kWrappedBytesMax - 64, secret_deadline()));
  return holder_.seal_value(name, value);
}

}  // namespace holdfast::keyholder
