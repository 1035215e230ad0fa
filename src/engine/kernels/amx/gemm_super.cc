// W x for weights in superblocks of 256 k: formula, layout, traffic and tolerance in
// gemm_tiles.inc.
#include "amx/vec.h"
//
#include "amx/entries.h"
#include "generic/pointers.h"
#include "holdfast/quant/packed_blocks.h"

namespace holdfast::kernels {
namespace {
#include "generic/gemm_formats.inc"
//
#include "amx/gemm_tiles.inc"
}  // namespace
namespace amx {
#define HF_QUANT_SUPER_KERNEL(type, field)                                                  \
  void gemm_##field(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin, \
                    std::uint32_t group_end, const ActivationView& x, float* out,           \
                    std::size_t out_stride) {                                               \
    if (x.n < kColumnsMin) {                                                                \
      HF_ISA::gemm_##field(matrix, rows, group_begin, group_end, x, out, out_stride);       \
    } else {                                                                                \
      gemm_tiles<Format##type>(matrix, rows, group_begin, group_end, x, out, out_stride);   \
    }                                                                                       \
  }
#include "holdfast/kernels/formats.def"
#undef HF_QUANT_SUPER_KERNEL
}  // namespace amx
}  // namespace holdfast::kernels
