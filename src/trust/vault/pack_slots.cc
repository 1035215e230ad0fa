#include "holdfast/vault/pack_slots.h"

#include <algorithm>

#include "holdfast/vault/pack_reader.h"

namespace holdfast::vault {
namespace {

constexpr std::uint64_t kSlotsAt = 1024;
// The smallest unit that a device writes whole.
constexpr std::uint64_t kSectorBytes = 512;
static_assert(kSlotsAt % kSectorBytes == 0 && kSectorBytes % kWrapSlotBytes == 0);

template <typename Wanted>
Status write_slots(platform::OpenFile& file, const WrapSlots& old, const WrapSlots& slots,
                   Wanted wanted) {
  bool written = false;
  for (std::size_t i = 0; i < kWrapSlots; ++i) {
    if (slots[i] == old[i] || !wanted(i)) continue;
    HF_TRY(file.write_at(kSlotsAt + i * kWrapSlotBytes, encode_wrap_slot(slots[i])));
    written = true;
  }
  return written ? file.sync() : ok_status();
}

}  // namespace

Result<WrapSlots> read_wrap_slots(const platform::ByteSource& file) {
  HF_TRY_ASSIGN(const PackHeader header, read_pack_header(file));
  if (!header.seal) return invalid_argument("the model pack is not sealed");
  return header.slots;
}

Status rewrite_wrap_slots(platform::OpenFile& file, const WrapSlots& slots) {
  if (std::ranges::none_of(slots, [](const WrapSlot& s) { return s.used; })) {
    return invalid_argument("a sealed model pack without a wrap slot could never be opened");
  }
  HF_TRY_ASSIGN(const WrapSlots old, read_wrap_slots(file));
  // New ones first where there was none, then replaced and removed ones.
  const auto comes_into_use = [&](std::size_t i) { return slots[i].used && !old[i].used; };
  HF_TRY(write_slots(file, old, slots, comes_into_use));
  return write_slots(file, old, slots, [&](std::size_t i) { return !comes_into_use(i); });
}

}  // namespace holdfast::vault
