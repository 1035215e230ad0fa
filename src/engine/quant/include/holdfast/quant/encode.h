// The encoder: floats to the blocks of GGUF's tensor types, by search for the scales.
//
// The bytes depend on the values and the importance alone: not on the machine, threads or the rows
// around. What they mean is codec.h. All functions are thread-safe.
#pragma once

#include <cstddef>
#include <span>

#include "holdfast/quant/types.h"

namespace holdfast::quant {

// Whether encode_row() makes this type: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q3_K..Q6_K,
// IQ4_NL, IQ4_XS.
bool can_encode(TensorType type);

// Encodes one row. The squared error that the search makes small weighs each column by
// `importance` [values.size()], the mean square of the activations that meet it, none of them
// negative; without it (empty) all columns are alike. `out`: row_bytes(type, values.size()) bytes,
// any alignment. kCorrupt for a value or importance that is not finite, kInvalidArgument for one
// too large for the type's 16-bit floats; then `out` is undefined. Preconditions:
// can_encode(type), values.size() is a multiple of its block.
Status encode_row(TensorType type, std::span<const float> values, std::span<const float> importance,
                  std::byte* out);

}  // namespace holdfast::quant
