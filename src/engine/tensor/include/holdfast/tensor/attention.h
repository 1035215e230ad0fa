// Attention of a batch: shares heads and blocks of tokens out among the threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "holdfast/kernels/kernel_table.h"
#include "holdfast/tensor/linear.h"
#include "holdfast/tensor/thread_team.h"

namespace holdfast::tensor {

// Consecutive tokens of one sequence inside the batch.
struct AttentionBlock {
  std::uint32_t first_row = 0;       // of q and out
  std::uint32_t n_tokens = 0;        // at most kAttentionBlockTokens
  std::uint32_t first_position = 0;  // in the sequence
  const std::byte* const* pages = nullptr;
};
// Small enough to share a prompt out evenly although later tokens see more keys, large enough that
// one pass over the keys serves full tiles of rows.
inline constexpr std::uint32_t kAttentionBlockTokens = 32;

struct AttentionLayer {
  const float* q = nullptr;  // [rows][q_stride] of [n_heads][head_dim]
  std::size_t q_stride = 0;
  std::uint32_t n_heads = 0;
  std::uint32_t n_kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::size_t k_offset = 0;  // bytes from a page to the layer's keys and values
  std::size_t v_offset = 0;
  std::size_t kv_head_bytes = 0;  // from one head to the next, in keys as in values
  std::uint32_t window = 0;       // 0: none
  float scale = 1.0f;
  float softcap = 0.0f;  // 0: none
};

// Memory that the threads share to split the keys of a head among themselves. Views of an arena.
struct AttentionSplit {
  // Unfinished results of rows and chunks; what does not fit is computed unsplit, with the same
  // bits.
  std::span<float> partials;
  // [blocks * n_kv_heads]: chunks of a KV head that are done. All zero between calls.
  std::span<std::uint32_t> done;

  static AttentionSplit take(Arena& arena, std::uint32_t n_heads, std::uint32_t n_kv_heads,
                             std::uint32_t head_dim, std::uint32_t context_length);
};

// out.row(i) = attention of batch row i, heads side by side. Quantises the heads that it computed
// where blocks of 32 do not cross heads; otherwise the caller does. `scratch`:
// attention_scratch_floats(head_dim) of this thread. All threads of the team call it with the same
// arguments but these; the results are complete after the next barrier.
void attention(const Worker& worker, kernels::Attention kernel, const kernels::KernelTable& kernels,
               const AttentionLayer& layer, std::span<const AttentionBlock> blocks,
               const Activations& out, const AttentionSplit& split, float* scratch);
inline bool attention_quantises(std::uint32_t head_dim) { return head_dim % 32 == 0; }

}  // namespace holdfast::tensor
