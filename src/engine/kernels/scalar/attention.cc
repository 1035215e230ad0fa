// Attention over KV pages: formulas, layout and tolerance in generic/attention.inc. Scores with
// quantised keys are written out here, one row and one key at a time: the reference of the other
// folders.
#include "scalar/vec.h"
//
#include "generic/entries.h"
#include "generic/pointers.h"
#include "holdfast/quant/packed_blocks.h"

namespace holdfast::kernels {
namespace {
#include "generic/vector.inc"
//
#include "generic/attention.inc"

// Code of key `lane`, dimension k of a block.
std::int32_t code(const quant::BlockP8_0& b, std::uint32_t lane, std::uint32_t k) {
  return b.bytes[k / 4][4 * lane + k % 4] - 128;
}
std::int32_t code(const quant::BlockP4_0& b, std::uint32_t lane, std::uint32_t k) {
  const std::uint8_t byte = b.nibbles[k % 16 / 4][4 * lane + k % 4];
  return (k < 16 ? byte & 15 : byte >> 4) - 8;
}

template <class Page>
struct KeyBlock;
template <>
struct KeyBlock<PageQ8_0> {
  using Block = quant::BlockP8_0;
};
template <>
struct KeyBlock<PageQ4_0> {
  using Block = quant::BlockP4_0;
};

// A row of queries: head_dim codes, then the scales.
struct Query {
  std::int8_t* q;
  float* d;
};
Query query_of_row(const Pass& pass, std::uint32_t row) {
  float* at_row = pass.queries + row * pass.acc_stride;
  return {at<std::int8_t>(static_cast<void*>(at_row)), at_row + pass.args->head_dim / 4};
}

template <class Page>
void quantise_queries(const Pass& pass, std::uint32_t first) {
  const AttentionArgs& a = *pass.args;
  for (std::uint32_t r = 0; r < pass.rows; ++r) {
    const Query query = query_of_row(pass, r);
    quantize_row(query_of(a, first + r), a.head_dim, query.q, query.d,
                 at<std::int32_t>(static_cast<void*>(pass.spare)));
  }
}

template <class Page>
float score(const Pass& pass, const Query& query, std::uint32_t position) {
  using Block = typename KeyBlock<Page>::Block;
  const std::uint32_t blocks = pass.args->head_dim / kKvBlock;
  const auto* block = at<Block>(keys_of_page(*pass.args, position)) +
                      std::size_t{position % kPageTokens / kKeyGroup} * blocks;
  const std::uint32_t lane = position % kKeyGroup;
  float acc = 0;
  for (std::uint32_t b = 0; b < blocks; ++b) {
    std::int32_t dot = 0;
    for (std::uint32_t k = 0; k < kKvBlock; ++k)
      dot += code(block[b], lane, k) * query.q[b * kKvBlock + k];
    acc = scalar_fma(static_cast<float>(dot), half_to_float(block[b].d[lane]) * query.d[b], acc);
  }
  return acc;
}

template <class Page>
void quant_scores(const Pass& pass, std::uint32_t from, std::uint32_t to) {
  for (std::uint32_t r = 0; r < pass.rows; ++r) {
    const Query query = query_of_row(pass, r);
    float* out = pass.weights + r * kAttentionTile;
    for (std::uint32_t position = from; position < to; ++position)
      out[position % kAttentionTile] = score<Page>(pass, query, position);
  }
}
}  // namespace
namespace HF_ISA {
#include "generic/attention_entries.inc"
}  // namespace HF_ISA
}  // namespace holdfast::kernels
