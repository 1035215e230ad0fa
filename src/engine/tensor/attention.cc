#include "holdfast/tensor/attention.h"

#include <algorithm>

namespace holdfast::tensor {

namespace {

struct Context {
  kernels::Attention kernel;
  const kernels::KernelTable& kernels;
  const AttentionLayer& layer;
  const Activations& out;
  float* scratch;
};

// Heads [head, head + n_heads) of one block; they share a KV head.
void run_heads(const Context& c, const AttentionBlock& block, std::uint32_t head,
               std::uint32_t n_heads) {
  const AttentionLayer& l = c.layer;
  const std::size_t kv_head = head / (l.n_heads / l.n_kv_heads);
  const std::uint32_t column = head * l.head_dim;
  kernels::AttentionArgs args{};
  args.q = l.q + block.first_row * l.q_stride + column;
  args.q_stride = l.q_stride;
  args.out = c.out.row(block.first_row) + column;
  args.out_stride = c.out.k;
  args.pages = block.pages;
  args.k_offset = l.k_offset + kv_head * l.kv_head_bytes;
  args.v_offset = l.v_offset + kv_head * l.kv_head_bytes;
  args.first_position = block.first_position;
  args.n_tokens = block.n_tokens;
  args.n_heads = n_heads;
  args.head_dim = l.head_dim;
  args.window = l.window;
  args.scale = l.scale;
  args.softcap = l.softcap;
  args.scratch = c.scratch;
  c.kernel(args);
  if (!attention_quantises(l.head_dim)) return;
  for (std::uint32_t t = 0; t < block.n_tokens; ++t) {
    c.out.quantise(c.kernels, block.first_row + t, column, column + n_heads * l.head_dim);
  }
}

// Few blocks: every thread gets an equal run of heads, which may end inside the heads of one KV
// head.
void run_by_head(const Worker& worker, const Context& c, std::span<const AttentionBlock> blocks) {
  const std::uint32_t per_kv = c.layer.n_heads / c.layer.n_kv_heads;
  const Range units = worker.share(blocks.size() * c.layer.n_heads);
  for (std::size_t unit = units.begin; unit < units.end;) {
    const auto head = static_cast<std::uint32_t>(unit % c.layer.n_heads);
    const std::size_t rest = std::min<std::size_t>(per_kv - head % per_kv, units.end - unit);
    run_heads(c, blocks[unit / c.layer.n_heads], head, static_cast<std::uint32_t>(rest));
    unit += rest;
  }
}

// Many blocks: dealt out in turn, so that each thread gets early and late ones alike.
void run_by_block(const Worker& worker, const Context& c, std::span<const AttentionBlock> blocks) {
  const std::uint32_t per_kv = c.layer.n_heads / c.layer.n_kv_heads;
  const std::size_t items = blocks.size() * c.layer.n_kv_heads;
  for (std::size_t i = worker.index(); i < items; i += worker.count()) {
    const auto kv_head = static_cast<std::uint32_t>(i % c.layer.n_kv_heads);
    run_heads(c, blocks[i / c.layer.n_kv_heads], kv_head * per_kv, per_kv);
  }
}

}  // namespace

void attention(const Worker& worker, kernels::Attention kernel, const kernels::KernelTable& kernels,
               const AttentionLayer& layer, std::span<const AttentionBlock> blocks,
               const Activations& out, float* scratch) {
  const Context context{kernel, kernels, layer, out, scratch};
  // From four items per thread on, dealing them out is off by at most a quarter.
  const bool many = blocks.size() * layer.n_kv_heads >= 4 * worker.count();
  many ? run_by_block(worker, context, blocks) : run_by_head(worker, context, blocks);
}

}  // namespace holdfast::tensor
