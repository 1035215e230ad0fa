// Linear layers: packed weights, the activations that they read, and the product of a thread's
// share of rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/kernels/kernel_table.h"
#include "holdfast/quant/types.h"
#include "holdfast/tensor/arena.h"
#include "holdfast/tensor/thread_team.h"

namespace holdfast::tensor {

// A view of a packed matrix; y = W x. Its bytes outlive it. Value.
struct LinearWeights {
  quant::TensorType type{};
  std::uint32_t rows = 0;
  std::uint32_t cols = 0;
  const std::byte* data = nullptr;

  // kCorrupt if `bytes` is not the size of such a matrix, kInvalidArgument if the type is not
  // packed.
  static Result<LinearWeights> make(quant::TensorType type, std::uint64_t rows, std::uint64_t cols,
                                    ByteView bytes);
  // Rows [begin, begin + count). kUnsupported unless both are multiples of 16, where matrices can
  // be cut.
  Result<LinearWeights> slice(std::uint32_t begin, std::uint32_t count) const;

  std::uint32_t groups() const;  // of 16 rows
  bool reads_quantised() const;
};

// Up to `n` rows of `k` activations as f32, and beside them as int8 blocks for quantised weights.
// Views of an arena.
struct Activations {
  std::span<float> x;        // [n][k]
  std::span<std::int8_t> q;  // [n][q_stride]; empty unless quantised weights read these activations
  std::span<float> d;        // [n][k / 32]
  std::span<std::int32_t> s16;  // [n][k / 16]
  std::uint32_t k = 0;
  std::size_t q_stride = 0;

  static Activations take(Arena& arena, std::uint32_t n, std::uint32_t k, bool quantised);

  float* row(std::size_t i) const { return x.data() + i * k; }
  // Quantises elements [begin, end) of a row, multiples of 32. Blocks do not depend on each other,
  // so threads may share a row. Does nothing if nobody reads the quantised form.
  void quantise(const kernels::KernelTable& kernels, std::size_t row, std::uint32_t begin,
                std::uint32_t end) const;
};

// out[i * out_stride + r] = (W x_i)[r] for i < n and the rows r of groups [groups.begin,
// groups.end). Reads all of rows 0..n-1 of `in`. Precondition: in.k == weights.cols, and `in` is
// quantised if the weights want that.
void linear_groups(const kernels::KernelTable& kernels, const LinearWeights& weights,
                   const Activations& in, std::uint32_t n, Range groups, float* out,
                   std::size_t out_stride);

}  // namespace holdfast::tensor
