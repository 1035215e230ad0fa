// The scalar codec: what the bytes of each GGUF tensor type mean as floats.
#pragma once

#include <cstddef>

#include "holdfast/quant/types.h"

namespace holdfast::quant {

// Writes `n` floats from row-major data. Any byte pattern is accepted; non-finite scales give
// non-finite floats. Preconditions: type_info(type)->may_hold_weights(), n is a multiple of its
// block, src holds row_bytes(type, n) bytes (any alignment). Thread-safe.
void dequantize(TensorType type, const std::byte* src, std::size_t n, float* dst);

}  // namespace holdfast::quant
