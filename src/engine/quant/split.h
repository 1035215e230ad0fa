// The middle form between a GGUF block, a packed block and floats: integer codes in order of k, and
// their scales.
#pragma once

#include <cstddef>
#include <cstdint>

#include "holdfast/quant/packed_blocks.h"
#include "holdfast/quant/types.h"

namespace holdfast::quant {

// One block of one row. Which fields count depends on the packed type; the formulas are in
// packed_blocks.h.
struct RowBlock {
  std::uint16_t d = 0;                // f16 bits; for PMX4 the E8M0 byte
  std::uint16_t m = 0;                // f16 bits of m or dmin
  std::int8_t sc[kSubBlocks16] = {};  // per 16 or 32 k, by type; P2_K: 0..15
  std::uint8_t mn[kSubBlocks16] = {};
  float s[kSubBlocks16] = {};                     // P8S only, per 16 k
  alignas(16) std::uint8_t q[kSuperBlockK] = {};  // unsigned codes, zero point included
};

// Reads one source block into `out`; fields that the packed type does not use keep their values.
using SplitFunction = void (*)(const std::byte* block, RowBlock& out);
// nullptr for float types and types that hold no weights.
SplitFunction split_function(TensorType source);
// The part of split_function() for the types that become P8S.
SplitFunction split_function_p8s(TensorType source);

// The weights of a block as floats: `n` of them (the elements of one block of the *source* type).
void evaluate(TensorType packed, const RowBlock& block, std::uint32_t n, float* out);

}  // namespace holdfast::quant
