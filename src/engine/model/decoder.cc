#include "decoder.h"

#include <algorithm>
#include <cstring>

#include "holdfast/kernels/select.h"
#include "holdfast/quant/packed.h"
#include "holdfast/tensor/attention.h"

namespace holdfast::model {

using tensor::Activations;
using tensor::Range;
using tensor::Worker;

namespace {

// Gate and up are shared out in blocks of 32 rows, so that each thread can quantise what it
// computed.
constexpr std::size_t kFeedUnitGroups = 2;

Range intersect(Range a, Range b) { return {std::max(a.begin, b.begin), std::min(a.end, b.end)}; }

// [begin, end) of `range` relative to a part that begins at `at` and has `size` elements.
Range within(Range range, std::size_t at, std::size_t size) {
  const Range cut = intersect(range, {at, at + size});
  if (cut.empty()) return {};
  return {cut.begin - at, cut.end - at};
}

// Whether equal shares of `units` differ by so little that finishing heads where they were computed
// is worth the barrier saved: the slowest thread has at most an eighth more than the average.
bool shares_evenly(std::size_t units, std::size_t threads) {
  const std::size_t most = (units + threads - 1) / threads;
  return most * threads * 8 <= units * 9;
}

}  // namespace

DecoderPass::DecoderPass(const Hyperparameters& hyper, const Weights& weights, const Batch& batch,
                         const Scratch& scratch, const kernels::KernelTable& kernels,
                         const kvcache::PagedKvCache& cache)
    : h_(hyper),
      weights_(weights),
      batch_(batch),
      s_(scratch),
      kernels_(kernels),
      cache_(cache),
      kv_head_bytes_(kernels::kv_head_bytes(cache.layout().type, hyper.head_dim)),
      kv_(kernels::kv_kernels(kernels, cache.layout().type)) {}

void DecoderPass::run(Worker& worker) const {
  const Stream stream = make_stream(worker);
  embed(worker, stream);
  for (std::uint32_t layer = 0; layer < h_.n_layers; ++layer) {
    const Addend before =
        layer == 0 ? Addend{} : Addend{true, weights_.layers[layer - 1].post_ffw_norm};
    const LayerWeights& w = weights_.layers[layer];
    next_input(worker, stream, before, w.attn_norm,
               w.q.reads_quantised() || w.k.reads_quantised() || w.v.reads_quantised());
    attention_block(worker, stream, layer);
    feed_forward(worker, stream, layer);
  }
  head(worker, stream, {true, weights_.layers.back().post_ffw_norm});
}

DecoderPass::Stream DecoderPass::make_stream(const Worker& worker) const {
  if (n_tokens() > 1) return {s_.residual, s_.normed, worker.share(n_tokens()), false};
  const ThreadScratch& own = s_.threads[worker.index()];
  return {own.residual, own.normed, {0, 1}, true};
}

void DecoderPass::embed(Worker& worker, const Stream& stream) const {
  const tensor::LinearWeights& e = weights_.embedding;
  for (std::size_t i = stream.tokens.begin; i < stream.tokens.end; ++i) {
    float* row = stream.residual.data() + i * h_.n_embd;
    quant::unpack_row(e.type, e.data, e.rows, e.cols,
                      static_cast<std::uint64_t>(batch_.tokens()[i].token), row);
    if (h_.embedding_scale != 1.0f) kernels_.scale(row, h_.embedding_scale, h_.n_embd, row);
  }
  fill_rope(worker);
  worker.barrier();
}

void DecoderPass::fill_rope(const Worker& worker) const {
  const Range tokens = worker.share(n_tokens());
  const auto fill = [&](const tensor::RopeTable& table, std::span<float> out) {
    const std::size_t pairs = table.frequencies.size();
    for (std::size_t i = tokens.begin; i < tokens.end; ++i) {
      float* cos = out.data() + i * 2 * pairs;
      table.fill(batch_.tokens()[i].position, cos, cos + pairs);
    }
  };
  if (!weights_.rope.empty()) fill(weights_.rope, s_.rope);
  if (!weights_.rope_local.empty() && h_.window > 0) fill(weights_.rope_local, s_.rope_local);
}

void DecoderPass::absorb(const Stream& stream, std::size_t i, const Addend& addend) const {
  if (!addend.there) return;
  const float* add = s_.projected.data() + i * h_.n_embd;
  // `projected` is shared, the row of `normed` is this thread's: changes go there.
  float* changed = stream.normed.row(i);
  if (!addend.post_norm.empty()) {
    kernels_.rms_norm(add, addend.post_norm.data(), h_.n_embd, h_.norm_eps, changed);
    add = changed;
  }
  if (h_.residual_scale != 1.0f) {
    kernels_.scale(add, h_.residual_scale, h_.n_embd, changed);
    add = changed;
  }
  float* residual = stream.residual.data() + i * h_.n_embd;
  kernels_.add(residual, add, h_.n_embd, residual);
}

void DecoderPass::next_input(Worker& worker, const Stream& stream, const Addend& addend,
                             Vector norm, bool quantised) const {
  for (std::size_t i = stream.tokens.begin; i < stream.tokens.end; ++i) {
    absorb(stream, i, addend);
    const float* residual = stream.residual.data() + i * h_.n_embd;
    if (norm.empty()) {
      std::memcpy(stream.normed.row(i), residual, h_.n_embd * sizeof(float));
    } else {
      kernels_.rms_norm(residual, norm.data(), h_.n_embd, h_.norm_eps, stream.normed.row(i));
    }
    if (quantised) stream.normed.quantise(kernels_, i, 0, h_.n_embd);
  }
  if (!stream.own) worker.barrier();
}

void DecoderPass::linear(const Worker& worker, const tensor::LinearWeights& weights, Vector bias,
                         const Activations& in, std::uint32_t n, float* out) const {
  const Range groups = worker.share(weights.groups());
  tensor::linear_groups(kernels_, weights, in, n, groups, out, weights.rows);
  if (bias.empty() || groups.empty()) return;
  const std::size_t first = groups.begin * quant::kGroupRows;
  const std::size_t last = std::min<std::size_t>(groups.end * quant::kGroupRows, weights.rows);
  for (std::uint32_t i = 0; i < n; ++i) {
    float* y = out + std::size_t{i} * weights.rows + first;
    kernels_.add(y, bias.data() + first, static_cast<std::uint32_t>(last - first), y);
  }
}

void DecoderPass::attention_block(Worker& worker, const Stream& stream, std::uint32_t layer) const {
  const LayerWeights& w = weights_.layers[layer];
  observe(worker, layer, 0, stream.normed);
  project_qkv(worker, stream.normed, layer);
  worker.barrier();
  Activations out = s_.attended;
  const bool quantised = w.attn_output.reads_quantised();
  if (!quantised) out.q = {};
  const tensor::AttentionLayer arguments{.q = s_.qkv.data(),
                                         .q_stride = h_.qkv_size(),
                                         .n_heads = h_.n_heads,
                                         .n_kv_heads = h_.n_kv_heads,
                                         .head_dim = h_.head_dim,
                                         .k_offset = cache_.k_offset(layer),
                                         .v_offset = cache_.v_offset(layer),
                                         .kv_head_bytes = kv_head_bytes_,
                                         .window = h_.windowed[layer] ? h_.window : 0,
                                         .scale = h_.attention_scale,
                                         .softcap = h_.attention_softcap};
  tensor::attention(worker, kv_.attention, kernels_, arguments, batch_.blocks(), out, s_.split,
                    s_.threads[worker.index()].attention.data());
  worker.barrier();
  if (quantised && !tensor::attention_quantises(h_.head_dim)) {
    const Range tokens = worker.share(n_tokens());
    for (std::size_t i = tokens.begin; i < tokens.end; ++i) {
      out.quantise(kernels_, i, 0, h_.q_size());
    }
    worker.barrier();
  }
  observe(worker, layer, 1, s_.attended);
  linear(worker, w.attn_output, w.attn_output_bias, s_.attended, n_tokens(), s_.projected.data());
  worker.barrier();
}

void DecoderPass::observe(const Worker& worker, std::uint32_t layer, std::size_t slot,
                          const Activations& in) const {
  const SquareSums& squares = batch_.squares();
  if (squares.sums.empty()) return;
  const std::size_t before[] = {0, h_.n_embd, h_.n_embd + h_.q_size(), 2 * h_.n_embd + h_.q_size()};
  const std::size_t layer_columns = 2 * std::size_t{h_.n_embd} + h_.q_size() + h_.n_ff;
  double* sums = squares.sums.data() + layer * layer_columns + before[slot];
  const Range columns = worker.share(in.k);
  for (std::size_t i = squares.first; i < squares.first + squares.count; ++i) {
    const float* row = in.row(i);
    for (std::size_t c = columns.begin; c < columns.end; ++c) {
      sums[c] += static_cast<double>(row[c]) * static_cast<double>(row[c]);
    }
  }
}

void DecoderPass::qkv_rows(const Activations& in, const LayerWeights& w, Range groups) const {
  std::size_t at = 0;
  float* out = s_.qkv.data();
  for (const tensor::LinearWeights* part : {&w.q, &w.k, &w.v}) {
    tensor::linear_groups(kernels_, *part, in, n_tokens(), within(groups, at, part->groups()), out,
                          h_.qkv_size());
    at += part->groups();
    out += part->rows;
  }
}

void DecoderPass::project_qkv(Worker& worker, const Activations& in, std::uint32_t layer) const {
  const LayerWeights& w = weights_.layers[layer];
  const std::size_t heads = h_.n_heads + 2 * h_.n_kv_heads;
  const Range all_tokens{0, n_tokens()};
  const bool whole_groups = h_.head_dim % quant::kGroupRows == 0;
  if (whole_groups && h_.qk_norm != QkNorm::kWhole && shares_evenly(heads, worker.count())) {
    const Range mine = worker.share(heads);
    const std::size_t groups_per_head = h_.head_dim / quant::kGroupRows;
    qkv_rows(in, w, {mine.begin * groups_per_head, mine.end * groups_per_head});
    finish_heads(layer, all_tokens, mine);
    return;
  }
  qkv_rows(in, w, worker.share(w.q.groups() + w.k.groups() + w.v.groups()));
  worker.barrier();
  finish_heads(layer, worker.share(n_tokens()), {0, heads});
}

void DecoderPass::finish_part(const LayerWeights& w, float* x, std::size_t first, std::size_t count,
                              bool is_query) const {
  const Vector bias = is_query ? w.q_bias : w.k_bias;
  const Vector norm = is_query ? w.q_norm : w.k_norm;
  const auto size = static_cast<std::uint32_t>(count * h_.head_dim);
  if (!bias.empty()) kernels_.add(x, bias.data() + first * h_.head_dim, size, x);
  if (h_.qk_norm == QkNorm::kWhole) {
    kernels_.rms_norm(x, norm.data(), size, h_.norm_eps, x);
  } else if (h_.qk_norm == QkNorm::kPerHead) {
    for (std::size_t i = 0; i < count; ++i, x += h_.head_dim) {
      kernels_.rms_norm(x, norm.data(), h_.head_dim, h_.norm_eps, x);
    }
  }
}

void DecoderPass::rotate(std::uint32_t layer, std::size_t token, float* x,
                         std::size_t n_heads) const {
  const bool local = h_.windowed[layer];
  const RopeParameters& rope = local ? h_.rope_local : h_.rope;
  if (rope.layout == RopeLayout::kNone) return;
  const std::span<const float> table = local ? s_.rope_local : s_.rope;
  const float* cos = table.data() + token * rope.dims;
  const float* sin = cos + rope.dims / 2;
  const auto turn = rope.layout == RopeLayout::kHalves ? kernels_.rope_neox : kernels_.rope_norm;
  turn(x, static_cast<std::uint32_t>(n_heads), h_.head_dim, rope.dims, cos, sin);
}

void DecoderPass::store(std::uint32_t layer, std::size_t token, const float* x, Range heads,
                        bool is_key) const {
  const std::size_t offset = is_key ? cache_.k_offset(layer) : cache_.v_offset(layer);
  std::byte* at = batch_.page(token) + offset + heads.begin * kv_head_bytes_;
  const auto slot = static_cast<std::uint32_t>(batch_.tokens()[token].position %
                                               kvcache::PagedKvCache::kPageTokens);
  const kernels::KvStore put = is_key ? kv_.store_k : kv_.store_v;
  put(x, static_cast<std::uint32_t>(heads.end - heads.begin), h_.head_dim, at, slot);
}

void DecoderPass::finish_heads(std::uint32_t layer, Range tokens, Range heads) const {
  const LayerWeights& w = weights_.layers[layer];
  const Range q = within(heads, 0, h_.n_heads);
  const Range k = within(heads, h_.n_heads, h_.n_kv_heads);
  const Range v = within(heads, h_.n_heads + h_.n_kv_heads, h_.n_kv_heads);
  for (std::size_t i = tokens.begin; i < tokens.end; ++i) {
    float* row = s_.qkv.data() + i * h_.qkv_size();
    if (!q.empty()) {
      float* x = row + q.begin * h_.head_dim;
      finish_part(w, x, q.begin, q.end - q.begin, true);
      rotate(layer, i, x, q.end - q.begin);
    }
    if (!k.empty()) {
      float* x = row + h_.q_size() + k.begin * h_.head_dim;
      finish_part(w, x, k.begin, k.end - k.begin, false);
      rotate(layer, i, x, k.end - k.begin);
      store(layer, i, x, k, true);
    }
    if (!v.empty()) {
      float* x = row + h_.q_size() + h_.kv_size() + v.begin * h_.head_dim;
      if (!w.v_bias.empty()) {
        kernels_.add(x, w.v_bias.data() + v.begin * h_.head_dim,
                     static_cast<std::uint32_t>((v.end - v.begin) * h_.head_dim), x);
      }
      store(layer, i, x, v, false);
    }
  }
}

void DecoderPass::gate_up(const Worker& worker, const Activations& in,
                          const LayerWeights& w) const {
  const Range groups = worker.share(w.gate.groups(), kFeedUnitGroups);
  if (groups.empty()) return;
  tensor::linear_groups(kernels_, w.gate, in, n_tokens(), groups, s_.feed.x.data(), h_.n_ff);
  tensor::linear_groups(kernels_, w.up, in, n_tokens(), groups, s_.up.data(), h_.n_ff);
  const auto activate =
      h_.activation == Activation::kSilu ? kernels_.silu_mul : kernels_.gelu_tanh_mul;
  const auto first = static_cast<std::uint32_t>(groups.begin * quant::kGroupRows);
  const auto last =
      static_cast<std::uint32_t>(std::min<std::size_t>(groups.end * quant::kGroupRows, h_.n_ff));
  const bool quantised = w.down.reads_quantised();
  for (std::size_t i = 0; i < n_tokens(); ++i) {
    float* gate = s_.feed.row(i) + first;
    activate(gate, s_.up.data() + i * h_.n_ff + first, last - first, gate);
    if (quantised) s_.feed.quantise(kernels_, i, first, last);
  }
}

void DecoderPass::feed_forward(Worker& worker, const Stream& stream, std::uint32_t layer) const {
  const LayerWeights& w = weights_.layers[layer];
  next_input(worker, stream, {true, w.post_attention_norm}, w.ffn_norm,
             w.gate.reads_quantised() || w.up.reads_quantised());
  observe(worker, layer, 2, stream.normed);
  gate_up(worker, stream.normed, w);
  worker.barrier();
  observe(worker, layer, 3, s_.feed);
  linear(worker, w.down, {}, s_.feed, n_tokens(), s_.projected.data());
  worker.barrier();
}

void DecoderPass::head(Worker& worker, const Stream& stream, const Addend& addend) const {
  const std::span<const Batch::Wanted> wanted = batch_.wanted();
  const Range mine = worker.share(wanted.size());
  for (std::size_t j = mine.begin; j < mine.end; ++j) {
    const Batch::Wanted& w = wanted[j];
    absorb(stream, w.row, addend);
    float* row = stream.normed.row(w.row);
    kernels_.rms_norm(stream.residual.data() + std::size_t{w.row} * h_.n_embd,
                      weights_.output_norm.data(), h_.n_embd, h_.norm_eps, row);
    if (w.hidden_row != Batch::kNone) {
      std::memcpy(s_.hidden.data() + std::size_t{w.hidden_row} * h_.n_embd, row,
                  h_.n_embd * sizeof(float));
    }
    if (w.logits_row != Batch::kNone) {
      std::memcpy(s_.final_rows.row(w.logits_row), row, h_.n_embd * sizeof(float));
      if (weights_.output.reads_quantised()) {
        s_.final_rows.quantise(kernels_, w.logits_row, 0, h_.n_embd);
      }
    }
  }
  if (batch_.logits_rows() == 0) return;
  worker.barrier();
  linear(worker, weights_.output, {}, s_.final_rows, batch_.logits_rows(), s_.logits.data());
  finish_logits(worker);
}

// Scale and cap of the logits that this thread computed.
void DecoderPass::finish_logits(const Worker& worker) const {
  const Range groups = worker.share(weights_.output.groups());
  if (groups.empty()) return;
  const std::size_t first = groups.begin * quant::kGroupRows;
  const std::size_t last = std::min<std::size_t>(groups.end * quant::kGroupRows, h_.n_vocab);
  const auto count = static_cast<std::uint32_t>(last - first);
  for (std::size_t i = 0; i < batch_.logits_rows(); ++i) {
    float* y = s_.logits.data() + i * h_.n_vocab + first;
    if (h_.logit_scale != 1.0f) kernels_.scale(y, h_.logit_scale, count, y);
    if (h_.logit_softcap > 0.0f) kernels_.softcap(y, h_.logit_softcap, count, y);
  }
}

}  // namespace holdfast::model
