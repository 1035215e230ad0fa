// One forward pass of a decoder: what every thread of the team runs.
#pragma once

#include <cstdint>

#include "batch.h"
#include "holdfast/kernels/kernel_table.h"
#include "holdfast/kvcache/paged_kv_cache.h"
#include "holdfast/model/hyperparameters.h"
#include "holdfast/tensor/thread_team.h"
#include "scratch.h"
#include "weights.h"

namespace holdfast::model {

// Shared by the threads during one pass; holds references only.
//
// Stages of a layer, `|` being a barrier:
//   norm + quantise | q, k, v, rotate, store | attention + quantise | output projection |
//   add, norm + quantise | gate, up, activation + quantise | down |
// The two stages that need whole rows are shared by token. In a step of one token every thread
// computes them for itself instead, and their barriers fall away: five remain.
class DecoderPass {
 public:
  DecoderPass(const Hyperparameters& hyper, const Weights& weights, const Batch& batch,
              const Scratch& scratch, const kernels::KernelTable& kernels,
              const kvcache::PagedKvCache& cache);

  void run(tensor::Worker& worker) const;

 private:
  // A thread's view of the residual stream.
  struct Stream {
    std::span<float> residual;
    tensor::Activations normed;
    tensor::Range tokens;  // those whose whole rows this thread computes
    bool own = false;      // private to the thread: no barrier needed after writing it
  };
  // What the previous stage left in scratch.projected, and the norm between it and the residual.
  struct Addend {
    bool there = false;
    Vector post_norm;
  };

  Stream make_stream(const tensor::Worker& worker) const;
  void embed(tensor::Worker& worker, const Stream& stream) const;
  void fill_rope(const tensor::Worker& worker) const;
  // Adds what is pending to row `i` of the residual.
  void absorb(const Stream& stream, std::size_t i, const Addend& addend) const;
  // absorb() and norm of this thread's rows; then all rows of stream.normed are ready.
  void next_input(tensor::Worker& worker, const Stream& stream, const Addend& addend, Vector norm,
                  bool quantised) const;
  void attention_block(tensor::Worker& worker, const Stream& stream, std::uint32_t layer) const;
  void project_qkv(tensor::Worker& worker, const tensor::Activations& in,
                   std::uint32_t layer) const;
  void feed_forward(tensor::Worker& worker, const Stream& stream, std::uint32_t layer) const;
  void gate_up(const tensor::Worker& worker, const tensor::Activations& in,
               const LayerWeights& w) const;
  // Rows [begin, end) of the concatenated q, k and v, cut at the groups of their matrices.
  void qkv_rows(const tensor::Activations& in, const LayerWeights& w, tensor::Range groups) const;
  // Bias, norm, rotation and storing for heads [begin, end) of the concatenated q, k and v heads.
  void finish_heads(std::uint32_t layer, tensor::Range tokens, tensor::Range heads) const;
  void finish_part(const LayerWeights& w, float* x, std::size_t first, std::size_t count,
                   bool is_query) const;
  void rotate(std::uint32_t layer, std::size_t token, float* x, std::size_t n_heads) const;
  void store(std::uint32_t layer, std::size_t token, const float* x, tensor::Range heads,
             bool is_key) const;
  void linear(const tensor::Worker& worker, const tensor::LinearWeights& weights, Vector bias,
              const tensor::Activations& in, std::uint32_t n, float* out) const;
  void head(tensor::Worker& worker, const Stream& stream, const Addend& addend) const;
  void finish_logits(const tensor::Worker& worker) const;

  // Adds the squares of what a slot's matrices read, where the step asks for them. Each thread
  // takes a share of the columns and every token in order, so the sums do not depend on the team.
  void observe(const tensor::Worker& worker, std::uint32_t layer, std::size_t slot,
               const tensor::Activations& in) const;

  std::uint32_t n_tokens() const { return static_cast<std::uint32_t>(batch_.tokens().size()); }

  const Hyperparameters& h_;
  const Weights& weights_;
  const Batch& batch_;
  const Scratch& s_;
  const kernels::KernelTable& kernels_;
  const kvcache::PagedKvCache& cache_;
  std::size_t kv_head_bytes_;
  const kernels::KvKernels& kv_;
};

}  // namespace holdfast::model
