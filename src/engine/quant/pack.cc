#include <cstring>

#include "holdfast/base/bytes.h"
#include "holdfast/base/check.h"
#include "holdfast/quant/half.h"
#include "holdfast/quant/packed.h"
#include "layout.h"
#include "split.h"

namespace holdfast::quant {
namespace {

// The rows of one group as they lie in the source.
struct SourceRows {
  const std::byte* data;
  std::size_t row_bytes;
  std::uint32_t count;
};

// Floats: [r][k] becomes [k][16].
template <typename Word>
void pack_words(const SourceRows& rows, std::uint64_t cols, std::byte* dst) {
  for (std::uint32_t r = 0; r < rows.count; ++r) {
    const std::byte* src = rows.data + r * rows.row_bytes;
    for (std::uint64_t k = 0; k < cols; ++k) {
      std::memcpy(dst + (k * kGroupRows + r) * sizeof(Word), src + k * sizeof(Word), sizeof(Word));
    }
  }
}

template <typename Block>
void pack_blocks(const TypeInfo& source, std::uint32_t packed_block_k, const SourceRows& rows,
                 std::uint64_t cols, std::byte* dst) {
  const SplitFunction split = split_function(source.type);
  HF_CHECK(split != nullptr);
  const std::uint32_t parts = source.block_elements / packed_block_k;
  auto* block = static_cast<Block*>(static_cast<void*>(dst));
  RowBlock row;
  for (std::uint64_t b = 0; b < cols / source.block_elements; ++b, block += parts) {
    for (std::uint32_t r = 0; r < rows.count; ++r) {
      split(rows.data + r * rows.row_bytes + b * source.block_bytes, row);
      for (std::uint32_t part = 0; part < parts; ++part) place(row, part, r, block[part]);
    }
  }
}

template <typename Block>
void unpack_blocks(TensorType packed, const std::byte* group, std::uint64_t blocks,
                   std::uint32_t block_k, std::uint32_t r, float* out) {
  const auto* block = static_cast<const Block*>(static_cast<const void*>(group));
  RowBlock row;
  for (std::uint64_t b = 0; b < blocks; ++b) {
    gather(block[b], r, row);
    evaluate(packed, row, block_k, out + b * block_k);
  }
}

float word_to_float(TensorType packed, const std::byte* word) {
  if (packed == TensorType::kPF32) return load_le<float>(word);
  const auto bits = load_le<std::uint16_t>(word);
  return packed == TensorType::kPF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

}  // namespace

void pack_group(TensorType source, const std::byte* src_rows, std::size_t row_bytes,
                std::uint32_t rows_in_group, std::uint64_t cols, std::byte* dst) {
  const TypeInfo* info = type_info(source);
  HF_CHECK(info != nullptr && info->may_hold_weights() && cols % info->block_elements == 0);
  HF_CHECK(rows_in_group >= 1 && rows_in_group <= kGroupRows);
  const TypeInfo* packed = type_info(info->packed);
  const SourceRows rows{src_rows, row_bytes, rows_in_group};
  if (rows_in_group < kGroupRows) {
    std::memset(dst, 0, cols / packed->block_elements * packed->block_bytes);
  }
  switch (packed->type) {
    case TensorType::kPF32:
      return pack_words<std::uint32_t>(rows, cols, dst);
    case TensorType::kPF16:
    case TensorType::kPBF16:
      return pack_words<std::uint16_t>(rows, cols, dst);
#define HF_PACK_CASE(name)  \
  case TensorType::k##name: \
    return pack_blocks<Block##name>(*info, packed->block_elements, rows, cols, dst);
      HF_PACK_CASE(P4_0)
      HF_PACK_CASE(P4_1)
      HF_PACK_CASE(P5_0)
      HF_PACK_CASE(P5_1)
      HF_PACK_CASE(P8_0)
      HF_PACK_CASE(PNL4)
      HF_PACK_CASE(PMX4)
      HF_PACK_CASE(P8S)
      HF_PACK_CASE(P2_K)
      HF_PACK_CASE(P3_K)
      HF_PACK_CASE(P4_K)
      HF_PACK_CASE(P5_K)
      HF_PACK_CASE(P6_K)
      HF_PACK_CASE(P4_XS)
#undef HF_PACK_CASE
    default:
      HF_CHECK(!"a packed type");
  }
}

void unpack_row(TensorType packed, const std::byte* matrix, std::uint64_t rows, std::uint64_t cols,
                std::uint64_t row, float* out) {
  const TypeInfo* info = type_info(packed);
  HF_CHECK(info != nullptr && info->is_packed() && cols % info->block_elements == 0 && row < rows);
  const std::uint64_t blocks = cols / info->block_elements;
  const std::byte* group = matrix + row / kGroupRows * blocks * info->block_bytes;
  const auto r = static_cast<std::uint32_t>(row % kGroupRows);
  switch (packed) {
    case TensorType::kPF32:
    case TensorType::kPF16:
    case TensorType::kPBF16: {
      const std::uint32_t word_bytes = info->block_bytes / kGroupRows;
      for (std::uint64_t k = 0; k < cols; ++k) {
        out[k] = word_to_float(packed, group + (k * kGroupRows + r) * word_bytes);
      }
      return;
    }
#define HF_UNPACK_CASE(name) \
  case TensorType::k##name:  \
    return unpack_blocks<Block##name>(packed, group, blocks, info->block_elements, r, out);
      HF_UNPACK_CASE(P4_0)
      HF_UNPACK_CASE(P4_1)
      HF_UNPACK_CASE(P5_0)
      HF_UNPACK_CASE(P5_1)
      HF_UNPACK_CASE(P8_0)
      HF_UNPACK_CASE(PNL4)
      HF_UNPACK_CASE(PMX4)
      HF_UNPACK_CASE(P8S)
      HF_UNPACK_CASE(P2_K)
      HF_UNPACK_CASE(P3_K)
      HF_UNPACK_CASE(P4_K)
      HF_UNPACK_CASE(P5_K)
      HF_UNPACK_CASE(P6_K)
      HF_UNPACK_CASE(P4_XS)
#undef HF_UNPACK_CASE
    default:
      HF_CHECK(!"a packed type");
  }
}

}  // namespace holdfast::quant
