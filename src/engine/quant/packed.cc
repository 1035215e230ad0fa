#include "holdfast/quant/packed.h"

#include <limits>
#include <string>

#include "holdfast/base/check.h"
#include "holdfast/base/checked.h"

namespace holdfast::quant {

TensorType packed_type_for(TensorType source) {
  const TypeInfo* info = type_info(source);
  HF_CHECK(info != nullptr && info->may_hold_weights());
  return info->packed;
}

Result<PackedShape> packed_shape(TensorType packed, std::uint64_t rows, std::uint64_t cols) {
  const TypeInfo* info = type_info(packed);
  if (info == nullptr || !info->is_packed()) {
    return invalid_argument("not a packed tensor type", std::string(tensor_type_name(packed)));
  }
  const std::string what =
      std::string(info->name) + " matrix of " + std::to_string(rows) + " x " + std::to_string(cols);
  if (rows == 0 || cols == 0 || cols % info->block_elements != 0) {
    return invalid_argument("matrix shape does not fit its type", what);
  }
  PackedShape shape{};
  shape.groups = rows / kGroupRows + (rows % kGroupRows != 0 ? 1 : 0);
  shape.blocks_per_group = cols / info->block_elements;
  shape.block_bytes = info->block_bytes;
  const auto group_bytes = checked_mul(shape.blocks_per_group, shape.block_bytes);
  const auto total = group_bytes ? checked_mul(shape.groups, *group_bytes) : std::nullopt;
  if (!total || *total > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
    return invalid_argument("matrix is too large", what);
  }
  shape.group_bytes = *group_bytes;
  shape.total_bytes = *total;
  return shape;
}

Result<std::uint64_t> packed_bytes(TensorType packed, std::uint64_t rows, std::uint64_t cols) {
  HF_TRY_ASSIGN(const PackedShape shape, packed_shape(packed, rows, cols));
  return shape.total_bytes;
}

}  // namespace holdfast::quant
