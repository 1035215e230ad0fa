#include "seal_variant.h"

#include <string_view>

#include "holdfast/platform/clock.h"
#include "holdfast/vault/pack_slots.h"

namespace holdfast::importer {

std::string sealed_variant(std::string variant, bool sealed) {
  constexpr std::string_view kSealed = "+sealed";
  if (variant.ends_with(kSealed)) variant.resize(variant.size() - kSealed.size());
  if (sealed) variant += kSealed;
  return variant;
}

// The file's length is asked anew: this process has not seen it grow.
Status fill_first_slot(const platform::OpenFile& staged, const vault::WrapSlot& slot) {
  HF_TRY_ASSIGN(platform::UniqueFd fd, platform::duplicate(staged));
  HF_TRY_ASSIGN(platform::File file, platform::File::from_fd(std::move(fd)));
  vault::WrapSlots slots;
  slots[0] = slot;
  return vault::rewrite_wrap_slots(file, slots);
}

std::uint64_t now_unix_seconds() {
  return static_cast<std::uint64_t>(platform::unix_seconds(platform::system_clock().wall_time()));
}

}  // namespace holdfast::importer
