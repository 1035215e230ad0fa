#include "holdfast/quant/types.h"

#include <algorithm>
#include <iterator>

#include "holdfast/base/checked.h"
#include "holdfast/quant/packed_blocks.h"

namespace holdfast::quant {
namespace {

constexpr TypeInfo kTypes[] = {
#define HF_GGML_TYPE(name, number, elements, bytes, type_class, packed) \
  {TensorType::k##name, #name, TypeClass::type_class, elements, bytes, TensorType::k##packed},
#define HF_PACKED_TYPE(name, number, elements, block) \
  {TensorType::k##name, #name, TypeClass::kPacked, elements, sizeof(block), TensorType::k##name},
#include "holdfast/quant/types.def"
#undef HF_GGML_TYPE
#undef HF_PACKED_TYPE
};

// A block never outgrows what a size check multiplies with it, and packing keeps whole source
// blocks.
constexpr bool table_is_sound() {
  for (const TypeInfo& info : kTypes) {
    if (info.block_elements == 0 || info.block_bytes == 0 || info.block_bytes > 4096) return false;
    for (const TypeInfo& packed : kTypes) {
      if (packed.type != info.packed) continue;
      if (!packed.is_packed()) return false;
      if (info.may_hold_weights() && info.block_elements % packed.block_elements != 0) return false;
    }
  }
  return true;
}
static_assert(table_is_sound());

}  // namespace

const TypeInfo* type_info(TensorType type) {
  const auto* found =
      std::ranges::find_if(kTypes, [type](const TypeInfo& info) { return info.type == type; });
  return found == std::end(kTypes) ? nullptr : found;
}

std::optional<TensorType> tensor_type_from_number(std::uint32_t number) {
  if (number > 0xffff || type_info(static_cast<TensorType>(number)) == nullptr) return std::nullopt;
  return static_cast<TensorType>(number);
}

std::optional<TensorType> tensor_type_from_name(std::string_view name) {
  const auto* found =
      std::ranges::find_if(kTypes, [name](const TypeInfo& info) { return info.name == name; });
  if (found == std::end(kTypes)) return std::nullopt;
  return found->type;
}

std::string_view tensor_type_name(TensorType type) {
  const TypeInfo* info = type_info(type);
  return info == nullptr ? "?" : info->name;
}

std::span<const TypeInfo> all_types() { return kTypes; }

Result<std::uint64_t> row_bytes(TensorType type, std::uint64_t elements) {
  const TypeInfo* info = type_info(type);
  if (info == nullptr || info->is_packed()) {
    return invalid_argument("tensor type has no rows", std::string(tensor_type_name(type)));
  }
  if (elements % info->block_elements != 0) {
    return invalid_argument("row length is no multiple of the block of its type",
                            std::to_string(elements) + " of " + std::string(info->name));
  }
  const auto bytes = checked_mul<std::uint64_t>(elements / info->block_elements, info->block_bytes);
  if (!bytes) return invalid_argument("row is too long", std::to_string(elements));
  return *bytes;
}

}  // namespace holdfast::quant
