#include "protocol.h"

#include <algorithm>

namespace holdfast::custody {

ByteWriter& append_file(ByteWriter& out, ByteView file) {
  return out.be(static_cast<std::uint32_t>(file.size())).raw(file);
}

void append_slot_secret(ByteWriter& out, const keyring::SlotPlan& slot) {
  out.raw(slot.id).be(static_cast<std::uint8_t>(slot.factors.size()));
}

Result<keyring::HolderStatus> decode_status(ByteView reply) {
  ByteReader in(reply);
  keyring::HolderStatus s;
  HF_TRY_ASSIGN(const std::uint8_t open, in.be<std::uint8_t>());
  HF_TRY(in.take_array(s.instance_id));
  HF_TRY_ASSIGN(s.generation, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(s.irk_epoch, in.be<std::uint32_t>());
  HF_TRY(in.take_array(s.slot));
  HF_TRY_ASSIGN(const std::uint8_t memory, in.be<std::uint8_t>());
  if (memory > static_cast<std::uint8_t>(platform::SecretMemoryKind::kNotLocked))
    return corrupt("the key holder's status has an unknown kind of memory");
  HF_TRY_ASSIGN(const std::uint8_t stay_sealed, in.be<std::uint8_t>());
  s.open = open == 1;
  s.stay_sealed = stay_sealed == 1;
  s.memory = static_cast<platform::SecretMemoryKind>(memory);
  return s;
}

ByteWriter mac_body(keyring::MacUse use, std::string_view id, ByteView data) {
  ByteWriter body;
  body.be(static_cast<std::uint8_t>(use));
  body.lp(id).lp(data);
  return body;
}

Result<crypto::Sha256Digest> decode_mac(ByteView reply) {
  crypto::Sha256Digest digest;
  if (reply.size() != digest.size())
    return internal_error("the key holder's MAC has a wrong length");
  std::copy(reply.begin(), reply.end(), digest.begin());
  return digest;
}

}  // namespace holdfast::custody
