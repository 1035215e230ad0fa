// W x for weights in blocks of 32 k: formula, layout, traffic and tolerance in
// generic/gemm_quant.inc.
#include "avxvnni/vec.h"
//
#include "generic/entries.h"
#include "generic/pointers.h"
#include "holdfast/quant/packed_blocks.h"

namespace holdfast::kernels {
namespace {
#include "generic/gemm_formats.inc"
//
#include "generic/gemm_quant.inc"
}  // namespace
namespace HF_ISA {
#define HF_QUANT_BLOCK_KERNEL(type, field)                                                  \
  void gemm_##field(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin, \
                    std::uint32_t group_end, const ActivationView& x, float* out,           \
                    std::size_t out_stride) {                                               \
    gemm<Format##type>(matrix, rows, group_begin, group_end, x, out, out_stride);           \
  }
#include "holdfast/kernels/formats.def"
#undef HF_QUANT_BLOCK_KERNEL
}  // namespace HF_ISA
}  // namespace holdfast::kernels
