#include "holdfast/tensor/attention.h"

#include <algorithm>
#include <atomic>

namespace holdfast::tensor {

namespace {

using kernels::kAttentionChunk;

// Blocks that are worth splitting: with more, whole heads of blocks keep any team busy.
constexpr std::size_t kSplitBlocksMax = 64;
// Bounds the memory for unfinished results; with it 32 heads of 128 dimensions can be split up to a
// depth of 260,000 tokens.
constexpr std::uint64_t kPartialFloatsMax = std::uint64_t{1} << 22;

struct Context {
  kernels::Attention kernel;
  const kernels::KernelTable& kernels;
  const AttentionLayer& layer;
  std::span<const AttentionBlock> blocks;
  const Activations& out;
  const AttentionSplit& split;
  float* scratch;

  std::uint32_t heads_per_kv() const { return layer.n_heads / layer.n_kv_heads; }
};

kernels::AttentionArgs arguments(const Context& c, const AttentionBlock& block, std::uint32_t head,
                                 std::uint32_t n_heads) {
  const AttentionLayer& l = c.layer;
  const std::size_t kv_head = head / c.heads_per_kv();
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
  return args;
}

void quantise(const Context& c, const AttentionBlock& block, std::uint32_t head,
              std::uint32_t n_heads) {
  const std::uint32_t head_dim = c.layer.head_dim;
  if (!attention_quantises(head_dim)) return;
  for (std::uint32_t t = 0; t < block.n_tokens; ++t) {
    c.out.quantise(c.kernels, block.first_row + t, head * head_dim, (head + n_heads) * head_dim);
  }
}

// Heads [head, head + n_heads) of one block; they share a KV head.
void run_heads(const Context& c, const AttentionBlock& block, std::uint32_t head,
               std::uint32_t n_heads) {
  c.kernel(arguments(c, block, head, n_heads));
  quantise(c, block, head, n_heads);
}

// Few keys: every thread gets an equal run of heads, which may end inside the heads of one KV head.
void run_by_head(const Worker& worker, const Context& c) {
  const std::uint32_t per_kv = c.heads_per_kv();
  const Range units = worker.share(c.blocks.size() * c.layer.n_heads);
  for (std::size_t unit = units.begin; unit < units.end;) {
    const auto head = static_cast<std::uint32_t>(unit % c.layer.n_heads);
    const std::size_t rest = std::min<std::size_t>(per_kv - head % per_kv, units.end - unit);
    run_heads(c, c.blocks[unit / c.layer.n_heads], head, static_cast<std::uint32_t>(rest));
    unit += rest;
  }
}

// Many blocks: dealt out in turn, so that each thread gets early and late ones alike.
void run_by_block(const Worker& worker, const Context& c) {
  const std::uint32_t per_kv = c.heads_per_kv();
  const std::size_t items = c.blocks.size() * c.layer.n_kv_heads;
  for (std::size_t i = worker.index(); i < items; i += worker.count()) {
    const auto kv_head = static_cast<std::uint32_t>(i % c.layer.n_kv_heads);
    run_heads(c, c.blocks[i / c.layer.n_kv_heads], kv_head * per_kv, per_kv);
  }
}

// Chunks that a block's tokens see: [first, first + count).
struct Chunks {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

Chunks chunks_of(const AttentionLayer& layer, const AttentionBlock& block) {
  const std::uint32_t end = block.first_position + block.n_tokens;
  const std::uint32_t seen = block.first_position + 1;
  const std::uint32_t begin = layer.window != 0 && seen > layer.window ? seen - layer.window : 0;
  const std::uint32_t first = begin / kAttentionChunk;
  return {first, (end + kAttentionChunk - 1) / kAttentionChunk - first};
}

// Keys of one chunk that somebody in the block sees: what a chunk costs.
std::uint32_t keys_in(const AttentionLayer& layer, const AttentionBlock& block,
                      std::uint32_t chunk) {
  const std::uint32_t seen = block.first_position + 1;
  const std::uint32_t begin = layer.window != 0 && seen > layer.window ? seen - layer.window : 0;
  const std::uint32_t from = std::max(begin, chunk * kAttentionChunk);
  return std::min(block.first_position + block.n_tokens, (chunk + 1) * kAttentionChunk) - from;
}

std::uint32_t rows_of(const Context& c, const AttentionBlock& block) {
  return block.n_tokens * c.heads_per_kv();
}

// Floats of unfinished results that splitting takes; 0 if no block has more than one chunk.
std::size_t split_floats(const Context& c) {
  std::size_t rows = 0;
  std::uint32_t most = 0;
  for (const AttentionBlock& block : c.blocks) {
    const Chunks chunks = chunks_of(c.layer, block);
    most = std::max(most, chunks.count);
    rows += std::size_t{rows_of(c, block)} * chunks.count * c.layer.n_kv_heads;
  }
  return most > 1 ? rows * kernels::attention_partial_floats(c.layer.head_dim) : 0;
}

// Where the unfinished results of one block and KV head lie: [chunks][rows][floats].
struct Place {
  const AttentionBlock& block;
  Chunks chunks;
  std::uint32_t kv_head;
  float* partials;
  std::uint32_t* done;
};

// The last to finish a chunk of a KV head combines them all. Who that is does not matter: chunks
// are combined in their own order.
void merge_if_last(const Context& c, const Place& place) {
  std::atomic_ref<std::uint32_t> done(*place.done);
  if (done.fetch_add(1, std::memory_order_acq_rel) + 1 != place.chunks.count) return;
  done.store(0, std::memory_order_relaxed);
  const std::uint32_t per_kv = c.heads_per_kv();
  const std::uint32_t head_dim = c.layer.head_dim;
  const std::size_t floats = kernels::attention_partial_floats(head_dim);
  const std::uint32_t rows = rows_of(c, place.block);
  for (std::uint32_t r = 0; r < rows; ++r) {
    float* out = c.out.row(place.block.first_row + r / per_kv) +
                 std::size_t{place.kv_head * per_kv + r % per_kv} * head_dim;
    c.kernels.merge_attention(place.partials + r * floats, rows * floats, place.chunks.count,
                              head_dim, out, c.scratch);
  }
  quantise(c, place.block, place.kv_head * per_kv, per_kv);
}

void run_chunk(const Context& c, const Place& place, std::uint32_t index) {
  const std::uint32_t per_kv = c.heads_per_kv();
  kernels::AttentionArgs args = arguments(c, place.block, place.kv_head * per_kv, per_kv);
  args.partial = place.partials + std::size_t{index} * rows_of(c, place.block) *
                                      kernels::attention_partial_floats(c.layer.head_dim);
  args.key_begin = (place.chunks.first + index) * kAttentionChunk;
  c.kernel(args);
  merge_if_last(c, place);
}

// Few blocks that see many keys: the chunks of all heads, laid end to end, are cut into equal
// stretches of keys. A chunk belongs to the thread in whose stretch its middle lies.
void run_by_chunk(const Worker& worker, const Context& c) {
  std::uint64_t all = 0;
  for (const AttentionBlock& block : c.blocks) {
    const Chunks chunks = chunks_of(c.layer, block);
    for (std::uint32_t i = 0; i < chunks.count; ++i)
      all += keys_in(c.layer, block, chunks.first + i) * std::uint64_t{rows_of(c, block)};
  }
  all *= c.layer.n_kv_heads;
  std::uint64_t before = 0;
  float* partials = c.split.partials.data();
  std::size_t head_index = 0;
  for (const AttentionBlock& block : c.blocks) {
    const Chunks chunks = chunks_of(c.layer, block);
    const std::size_t head_floats = std::size_t{chunks.count} * rows_of(c, block) *
                                    kernels::attention_partial_floats(c.layer.head_dim);
    for (std::uint32_t kv = 0; kv < c.layer.n_kv_heads; ++kv, partials += head_floats) {
      const Place place{block, chunks, kv, partials, &c.split.done[head_index++]};
      for (std::uint32_t i = 0; i < chunks.count; ++i) {
        const std::uint64_t cost =
            keys_in(c.layer, block, chunks.first + i) * std::uint64_t{rows_of(c, block)};
        const std::uint64_t owner = (before + cost / 2) * worker.count() / all;
        before += cost;
        if (owner == worker.index()) run_chunk(c, place, i);
      }
    }
  }
}

}  // namespace

AttentionSplit AttentionSplit::take(Arena& arena, std::uint32_t n_heads, std::uint32_t n_kv_heads,
                                    std::uint32_t head_dim, std::uint32_t context_length) {
  const std::uint64_t chunks = context_length / kAttentionChunk + 1;
  const std::uint64_t row = kernels::attention_partial_floats(head_dim);
  AttentionSplit split;
  // A few tokens of the whole context, which is also many tokens of a short one.
  const std::uint64_t wanted = chunks * n_heads * row * 8;
  split.partials = arena.take<float>(std::min(wanted, kPartialFloatsMax));
  split.done = arena.take<std::uint32_t>(kSplitBlocksMax * n_kv_heads);
  return split;
}

void attention(const Worker& worker, kernels::Attention kernel, const kernels::KernelTable& kernels,
               const AttentionLayer& layer, std::span<const AttentionBlock> blocks,
               const Activations& out, const AttentionSplit& split, float* scratch) {
  const Context context{kernel, kernels, layer, blocks, out, split, scratch};
  // From eight items per thread on, dealing them out is off by at most an eighth.
  if (blocks.size() * layer.n_kv_heads >= 8 * worker.count()) return run_by_block(worker, context);
  const std::size_t floats = blocks.size() <= kSplitBlocksMax ? split_floats(context) : 0;
  if (floats == 0 || floats > split.partials.size() || worker.count() == 1)
    return run_by_head(worker, context);
  run_by_chunk(worker, context);
}

}  // namespace holdfast::tensor
