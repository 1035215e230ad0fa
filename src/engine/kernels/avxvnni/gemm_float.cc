// W x for float W: formula, layout and tolerance in generic/gemm_float.inc.
#include "avxvnni/vec.h"
//
#include "generic/entries.h"
#include "generic/pointers.h"
#include "holdfast/quant/packed_blocks.h"

namespace holdfast::kernels {
namespace {
#include "generic/gemm_float.inc"
}  // namespace
namespace HF_ISA {
#define HF_FLOAT_KERNEL(type, field)                                                        \
  void gemm_##field(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin, \
                    std::uint32_t group_end, const FloatView& x, float* out,                \
                    std::size_t out_stride) {                                               \
    float_gemm<Float##type>(matrix, rows, group_begin, group_end, x, out, out_stride);      \
  }
#include "holdfast/kernels/formats.def"
#undef HF_FLOAT_KERNEL
}  // namespace HF_ISA
}  // namespace holdfast::kernels
