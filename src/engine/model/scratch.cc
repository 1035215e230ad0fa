#include "scratch.h"

namespace holdfast::model {

namespace {

// Quantised matrices have columns in blocks of 32; elsewhere nobody reads the quantised form.
tensor::Activations take_activations(tensor::Arena& arena, std::uint32_t n, std::uint32_t k) {
  return tensor::Activations::take(arena, n, k, k % 32 == 0);
}

}  // namespace

Scratch Scratch::take(tensor::Arena& arena, const Hyperparameters& h, const LoadOptions& options) {
  const std::uint64_t n = options.batch_tokens_max;
  const auto tokens = options.batch_tokens_max;
  Scratch s;
  s.residual = arena.take<float>(n * h.n_embd);
  s.normed = take_activations(arena, tokens, h.n_embd);
  s.projected = arena.take<float>(n * h.n_embd);
  // Attention is over, and a barrier passed, before the feed-forward layer begins, and the other
  // way round: what only one of them uses lies in the same memory, which for small models is a
  // quarter of all.
  const std::uint64_t shared = arena.mark();
  s.qkv = arena.take<float>(n * h.qkv_size());
  s.attended = take_activations(arena, tokens, h.q_size());
  arena.rewind(shared);
  s.feed = take_activations(arena, tokens, h.n_ff);
  s.up = arena.take<float>(n * h.n_ff);
  arena.advance_past_all();
  s.split = tensor::AttentionSplit::take(arena, h.n_heads, h.n_kv_heads, h.head_dim,
                                         options.context_length);
  s.rope = arena.take<float>(n * h.rope.dims);
  s.rope_local = arena.take<float>(n * h.rope_local.dims);
  s.final_rows = take_activations(arena, options.logits_rows_max, h.n_embd);
  s.logits = arena.take<float>(std::uint64_t{options.logits_rows_max} * h.n_vocab);
  s.hidden = arena.take<float>(std::uint64_t{options.hidden_rows_max} * h.n_embd);
  for (std::uint32_t i = 0; i < options.threads; ++i) {
    ThreadScratch t;
    t.attention = arena.take<float>(kernels::attention_scratch_floats(h.head_dim));
    t.residual = arena.take<float>(h.n_embd);
    t.normed = take_activations(arena, 1, h.n_embd);
    s.threads.push_back(t);
  }
  return s;
}

}  // namespace holdfast::model
