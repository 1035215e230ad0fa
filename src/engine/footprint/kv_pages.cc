#include "holdfast/footprint/kv_pages.h"

#include <array>

namespace holdfast::footprint {

namespace {

constexpr std::array<std::string_view, kKvTypes> kNames = {
#define HF_KV_TYPE(enumerator, name) #name,
#include "holdfast/footprint/kv_types.def"
#undef HF_KV_TYPE
};

}  // namespace

std::string_view kv_type_name(KvType type) { return kNames[static_cast<std::size_t>(type)]; }

std::optional<KvType> find_kv_type(std::string_view name) {
  for (std::size_t i = 0; i < kKvTypes; ++i) {
    if (name == kNames[i]) return static_cast<KvType>(i);
  }
  return std::nullopt;
}

}  // namespace holdfast::footprint
