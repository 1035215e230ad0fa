// W x for float W, written out: the reference of every other folder. acc = fma(w, x, acc), k
// ascending.
#include "scalar/vec.h"
//
#include "generic/entries.h"
#include "generic/pointers.h"
#include "holdfast/quant/packed_blocks.h"

namespace holdfast::kernels {
namespace {

float value(const quant::BlockPF32& b, std::uint32_t r) { return b.w[r]; }
float value(const quant::BlockPF16& b, std::uint32_t r) { return half_to_float(b.w[r]); }
float value(const quant::BlockPBF16& b, std::uint32_t r) {
  return float_of(static_cast<std::uint32_t>(b.w[r]) << 16);
}

template <class Block>
void gemm(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin,
          std::uint32_t group_end, const FloatView& x, float* out, std::size_t out_stride) {
  for (std::uint32_t row = group_begin * 16; row < group_end * 16 && row < rows; ++row) {
    const auto* group = at<Block>(matrix) + std::size_t{row / 16} * x.k;
    for (std::uint32_t c = 0; c < x.n; ++c) {
      float acc = 0;
      for (std::uint32_t k = 0; k < x.k; ++k) {
        acc = scalar_fma(value(group[k], row % 16), x.x[c * x.stride + k], acc);
      }
      out[c * out_stride + row] = acc;
    }
  }
}

}  // namespace

namespace HF_ISA {
// BlockPF16 and BlockPBF16 are different types of the same layout, so overloads tell them apart.
#define HF_FLOAT_KERNEL(type, field)                                                        \
  void gemm_##field(const std::byte* matrix, std::uint32_t rows, std::uint32_t group_begin, \
                    std::uint32_t group_end, const FloatView& x, float* out,                \
                    std::size_t out_stride) {                                               \
    gemm<quant::Block##type>(matrix, rows, group_begin, group_end, x, out, out_stride);     \
  }
#include "holdfast/kernels/formats.def"
#undef HF_FLOAT_KERNEL
}  // namespace HF_ISA
}  // namespace holdfast::kernels
