// Names of this folder's kernels between its translation units; those that tiles do not serve are
// avx512's.
#pragma once

#include "generic/entries.h"

namespace holdfast::kernels::amx {

#define HF_QUANT_KERNEL(type, field)                                                        \
  void gemm_##field(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin, \
                    std::uint32_t group_end, const ActivationView& x, float* out,           \
                    std::size_t out_stride);
#include "holdfast/kernels/formats.def"
#undef HF_QUANT_KERNEL

}  // namespace holdfast::kernels::amx
