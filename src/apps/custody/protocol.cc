#include "protocol.h"

#include <algorithm>
#include <charconv>

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
  HF_TRY_ASSIGN(const ByteView instance, in.take(s.instance_id.size()));
  HF_TRY_ASSIGN(s.generation, in.be<std::uint64_t>());
  HF_TRY_ASSIGN(s.irk_epoch, in.be<std::uint32_t>());
  HF_TRY_ASSIGN(const ByteView slot, in.take(s.slot.size()));
  HF_TRY_ASSIGN(const std::uint8_t secret_file, in.be<std::uint8_t>());
  HF_TRY_ASSIGN(const std::uint8_t stay_sealed, in.be<std::uint8_t>());
  s.open = open == 1;
  s.stay_sealed = stay_sealed == 1;
  s.memory_is_secret_file = secret_file == 1;
  std::copy(instance.begin(), instance.end(), s.instance_id.begin());
  std::copy(slot.begin(), slot.end(), s.slot.begin());
  return s;
}

std::uint32_t kek_epoch_of(const WrappedRow& row) {
  const std::string_view text = as_string_view(row.id);
  std::uint32_t epoch = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), epoch);
  return error == std::errc() && end == text.data() + text.size() ? epoch : 0;
}

}  // namespace holdfast::custody
