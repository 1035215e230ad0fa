#include "holdfast/quant/codec.h"

#include <cstring>

#include "holdfast/base/bytes.h"
#include "holdfast/base/check.h"
#include "holdfast/quant/half.h"
#include "split.h"

namespace holdfast::quant {

void dequantize(TensorType type, const std::byte* src, std::size_t n, float* dst) {
  const TypeInfo* info = type_info(type);
  HF_CHECK(info != nullptr && info->may_hold_weights() && n % info->block_elements == 0);
  if (type == TensorType::kF32) {
    std::memcpy(dst, src, n * sizeof(float));
    return;
  }
  if (info->type_class == TypeClass::kFloat) {
    for (std::size_t i = 0; i < n; ++i) {
      const auto bits = load_le<std::uint16_t>(src + 2 * i);
      dst[i] = type == TensorType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    }
    return;
  }
  const SplitFunction split = split_function(type);
  HF_CHECK(split != nullptr);
  RowBlock block;
  for (std::size_t i = 0; i < n; i += info->block_elements, src += info->block_bytes) {
    split(src, block);
    evaluate(info->packed, block, info->block_elements, dst + i);
  }
}

}  // namespace holdfast::quant
