// Packed matrices: sizes, packing of row-major GGUF rows, and the scalar way back to floats.
//
// The format is docs/formats/packed_tensors.md; the blocks are in packed_blocks.h. All functions
// are thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "holdfast/base/result.h"
#include "holdfast/quant/packed_blocks.h"
#include "holdfast/quant/types.h"

namespace holdfast::quant {

// Where things lie in a packed matrix.
struct PackedShape {
  std::uint64_t groups;            // ceil(rows / 16)
  std::uint64_t blocks_per_group;  // cols / block_elements
  std::uint64_t block_bytes;       // from one block of a group to the next
  std::uint64_t group_bytes;       // from one group to the next
  std::uint64_t total_bytes;
};

// What matrices of `source` are packed to. Precondition: type_info(source)->may_hold_weights().
TensorType packed_type_for(TensorType source);

// kInvalidArgument if `packed` is no packed type, rows or cols is 0, cols is no multiple of the
// block, or the size does not fit in 63 bits.
Result<PackedShape> packed_shape(TensorType packed, std::uint64_t rows, std::uint64_t cols);
Result<std::uint64_t> packed_bytes(TensorType packed, std::uint64_t rows, std::uint64_t cols);

// Packs one group: `rows_in_group` (1..16) row-major rows of `source`, `row_bytes` apart, into
// packed_shape().group_bytes at `dst`. Missing rows become zero bytes. The values stay the same
// numbers: unpack_row() of the result equals dequantize() of the source bit for bit. Preconditions:
// as packed_type_for(); `cols` is a multiple of the block of `source`; `dst` is 4-byte aligned.
void pack_group(TensorType source, const std::byte* src_rows, std::size_t row_bytes,
                std::uint32_t rows_in_group, std::uint64_t cols, std::byte* dst);

// The floats of one row: embeddings, and the oracle of the kernels' tests. out: [cols].
// Preconditions: packed_shape(packed, rows, cols) is ok, `matrix` has its bytes and is 4-byte
// aligned, row < rows.
void unpack_row(TensorType packed, const std::byte* matrix, std::uint64_t rows, std::uint64_t cols,
                std::uint64_t row, float* out);

}  // namespace holdfast::quant
