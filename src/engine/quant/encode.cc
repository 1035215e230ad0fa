#include "holdfast/quant/encode.h"

#include <bit>
#include <string>
#include <vector>

#include "encode_row.h"
#include "holdfast/base/bytes.h"
#include "holdfast/base/check.h"

namespace holdfast::quant {
namespace {

constexpr float kF16Max = 65504.0f;
// Scales are the largest value of a part over at least 3 levels, but offsets are values themselves;
// a value of this size has no place in a model.
constexpr float kValueMax = kF16Max;

bool all_finite(std::span<const float> values) {
  // The exponent of all ones marks both infinities and NaN.
  std::uint32_t bad = 0;
  for (const float v : values) {
    bad |= (std::bit_cast<std::uint32_t>(v) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
  }
  return bad == 0;
}

std::string index_of_first(std::span<const float> values, bool (*is_bad)(float)) {
  const auto it = std::find_if(values.begin(), values.end(), is_bad);
  return std::to_string(it - values.begin());
}

bool is_not_finite(float v) { return !std::isfinite(v); }
bool is_too_large(float v) { return std::abs(v) > kValueMax; }

Status check_values(TensorType type, std::span<const float> values) {
  if (!all_finite(values)) {
    return corrupt("a weight is not finite", "column " + index_of_first(values, is_not_finite));
  }
  if (type == TensorType::kF32 || type == TensorType::kBF16) return ok_status();
  if (std::none_of(values.begin(), values.end(), is_too_large)) return ok_status();
  return invalid_argument("a weight is too large for " + std::string(tensor_type_name(type)),
                          "column " + index_of_first(values, is_too_large))
      .with_hint("BF16 holds the range of F32.");
}

// Importance with a floor, so that no column counts for nothing: a text never meets all that the
// model will. Empty where it says nothing.
std::vector<float> usable_importance(std::span<const float> importance) {
  double sum = 0;
  for (const float v : importance) sum += static_cast<double>(v);
  if (importance.empty() || !(sum > 0)) return {};
  const float mean = static_cast<float>(sum / static_cast<double>(importance.size()));
  if (!(mean > 1e-20f)) return {};
  std::vector<float> usable(importance.begin(), importance.end());
  // Relative to the mean: sums of hundreds of weights then stay in the middle of float's range.
  for (float& v : usable) v = std::max(v / mean, 1e-4f);
  return usable;
}

void encode_float(TensorType type, std::span<const float> values, std::byte* out) {
  if (type == TensorType::kF32) {
    std::memcpy(out, values.data(), values.size_bytes());
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    store_le(out + 2 * i,
             type == TensorType::kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]));
  }
}

EncodeBlock encoder(TensorType type) {
  const EncodeBlock block = encode_block_32(type);
  return block != nullptr ? block : encode_block_256(type);
}

bool is_float(TensorType type) { return type_info(type)->type_class == TypeClass::kFloat; }

}  // namespace

bool can_encode(TensorType type) {
  return type_info(type) != nullptr && (is_float(type) || encoder(type) != nullptr);
}

Status encode_row(TensorType type, std::span<const float> values, std::span<const float> importance,
                  std::byte* out) {
  HF_CHECK(can_encode(type));
  HF_CHECK(importance.empty() || importance.size() == values.size());
  HF_TRY(check_values(type, values));
  if (is_float(type)) {
    encode_float(type, values, out);
    return ok_status();
  }
  if (!all_finite(importance)) {
    return corrupt("an importance is not finite",
                   "column " + index_of_first(importance, is_not_finite));
  }
  const TypeInfo& info = *type_info(type);
  HF_CHECK(values.size() % info.block_elements == 0);
  const std::vector<float> usable = usable_importance(importance);
  const EncodeBlock encode = encoder(type);
  for (std::size_t i = 0; i < values.size(); i += info.block_elements, out += info.block_bytes) {
    encode({values.data() + i, usable.empty() ? nullptr : usable.data() + i}, out);
  }
  return ok_status();
}

}  // namespace holdfast::quant
