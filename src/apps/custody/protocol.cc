#include "protocol.h"

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

}  // namespace holdfast::custody
