#include "holdfast/tensor/linear.h"

#include <algorithm>

#include "holdfast/kernels/select.h"
#include "holdfast/quant/packed.h"

namespace holdfast::tensor {

namespace {

// Columns per pass over a thread's rows: their int8 activations stay in the L2 cache (1 MiB and
// more) beside the weights that stream through. The cut changes no result: columns are independent.
constexpr std::size_t kPanelBytes = 384 << 10;

std::uint32_t panel_columns(const kernels::KernelTable& kernels, std::size_t row_bytes) {
  const std::size_t columns = kPanelBytes / std::max<std::size_t>(row_bytes, 1);
  return static_cast<std::uint32_t>(std::max(columns / 48 * 48, kernels.pass_columns));
}

}  // namespace

Result<LinearWeights> LinearWeights::make(quant::TensorType type, std::uint64_t rows,
                                          std::uint64_t cols, ByteView bytes) {
  if (rows > UINT32_MAX / 2 || cols > UINT32_MAX / 2) return corrupt("a matrix is too large");
  HF_TRY_ASSIGN(const std::uint64_t want, quant::packed_bytes(type, rows, cols));
  if (bytes.size() != want) {
    return corrupt("a matrix has the wrong size",
                   std::to_string(bytes.size()) + " bytes, not " + std::to_string(want));
  }
  return LinearWeights{type, static_cast<std::uint32_t>(rows), static_cast<std::uint32_t>(cols),
                       bytes.data()};
}

Result<LinearWeights> LinearWeights::slice(std::uint32_t begin, std::uint32_t count) const {
  HF_CHECK(begin <= rows && count <= rows - begin);
  if (begin % quant::kGroupRows != 0 || count % quant::kGroupRows != 0) {
    return unsupported("unsupported model: fused matrices must have parts of 16 rows");
  }
  HF_TRY_ASSIGN(const quant::PackedShape shape, quant::packed_shape(type, rows, cols));
  LinearWeights part = *this;
  part.rows = count;
  part.data = data + begin / quant::kGroupRows * shape.group_bytes;
  return part;
}

std::uint32_t LinearWeights::groups() const {
  return (rows + quant::kGroupRows - 1) / quant::kGroupRows;
}

bool LinearWeights::reads_quantised() const {
  const quant::TypeInfo* info = quant::type_info(type);
  return info != nullptr && info->block_elements >= quant::kBlockK;
}

Activations Activations::take(Arena& arena, std::uint32_t n, std::uint32_t k, bool quantised) {
  Activations a;
  a.k = k;
  a.x = arena.take<float>(std::uint64_t{n} * k);
  if (!quantised) return a;
  a.q_stride = kernels::activation_q_stride(k);
  a.q = arena.take<std::int8_t>(std::uint64_t{n} * a.q_stride);
  a.d = arena.take<float>(std::uint64_t{n} * (k / 32));
  a.s16 = arena.take<std::int32_t>(std::uint64_t{n} * (k / 16));
  return a;
}

void Activations::quantise(const kernels::KernelTable& kernels, std::size_t row,
                           std::uint32_t begin, std::uint32_t end) const {
  if (q.empty() || begin >= end) return;
  kernels.quantize_activations(
      this->row(row) + begin, end - begin, q.data() + row * q_stride + begin,
      d.data() + row * (k / 32) + begin / 32, s16.data() + row * (k / 16) + begin / 16);
}

void linear_groups(const kernels::KernelTable& kernels, const LinearWeights& weights,
                   const Activations& in, std::uint32_t n, Range groups, float* out,
                   std::size_t out_stride) {
  if (groups.empty()) return;
  const auto first = static_cast<std::uint32_t>(groups.begin);
  const auto last = static_cast<std::uint32_t>(groups.end);
  const bool quantised = weights.reads_quantised();
  const std::uint32_t panel =
      panel_columns(kernels, quantised ? in.q_stride : in.k * sizeof(float));
  for (std::uint32_t i = 0; i < n; i += panel) {
    const std::uint32_t columns = std::min(panel, n - i);
    float* y = out + i * out_stride;
    if (quantised) {
      const kernels::ActivationView view{.q = in.q.data() + i * in.q_stride,
                                         .d = in.d.data() + std::size_t{i} * (in.k / 32),
                                         .s16 = in.s16.data() + std::size_t{i} * (in.k / 16),
                                         .n = columns,
                                         .k = in.k,
                                         .q_stride = in.q_stride,
                                         .d_stride = in.k / 32,
                                         .s16_stride = in.k / 16};
      kernels::quant_gemm(kernels, weights.type)(weights.data, weights.rows, first, last, view, y,
                                                 out_stride);
    } else {
      const kernels::FloatView view{in.row(i), columns, in.k, in.k};
      kernels::float_gemm(kernels, weights.type)(weights.data, weights.rows, first, last, view, y,
                                                 out_stride);
    }
  }
}

}  // namespace holdfast::tensor
