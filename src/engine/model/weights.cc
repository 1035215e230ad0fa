#include "weights.h"

#include <cmath>
#include <string>

namespace holdfast::model {

namespace {

class Loader {
 public:
  explicit Loader(TensorProvider& provider) : provider_(provider) {}

  Result<tensor::LinearWeights> matrix(const std::string& name, std::uint32_t rows,
                                       std::uint32_t cols) {
    auto loaded = provider_.get(name);
    if (!loaded.ok()) return std::move(loaded).context(name).error();
    if (loaded->rows != rows || loaded->cols != cols) return wrong_shape(name);
    auto weights = tensor::LinearWeights::make(loaded->type, rows, cols, loaded->bytes);
    return std::move(weights).context(name);
  }

  Result<Vector> vector(const std::string& name, std::uint32_t n) {
    auto loaded = provider_.get(name);
    if (!loaded.ok()) return std::move(loaded).context(name).error();
    if (loaded->type != quant::TensorType::kF32 || loaded->rows != 1 || loaded->cols != n ||
        loaded->bytes.size() != std::size_t{n} * sizeof(float)) {
      return wrong_shape(name);
    }
    const Vector values(static_cast<const float*>(static_cast<const void*>(loaded->bytes.data())),
                        n);
    for (const float v : values) {
      if (!std::isfinite(v)) return corrupt("the model's weights are not finite", name);
    }
    return values;
  }

  Result<Vector> optional_vector(bool there, const std::string& name, std::uint32_t n) {
    if (!there) return Vector();
    return vector(name, n);
  }

 private:
  static Error wrong_shape(const std::string& name) {
    return corrupt("the model's tensors do not fit its hyper-parameters", name);
  }

  TensorProvider& provider_;
};

Status load_qkv(Loader& load, const Hyperparameters& h, const std::string& p, LayerWeights& w) {
  if (!h.fused_qkv) {
    HF_TRY_ASSIGN(w.q, load.matrix(p + "attn_q.weight", h.q_size(), h.n_embd));
    HF_TRY_ASSIGN(w.k, load.matrix(p + "attn_k.weight", h.kv_size(), h.n_embd));
    HF_TRY_ASSIGN(w.v, load.matrix(p + "attn_v.weight", h.kv_size(), h.n_embd));
    HF_TRY_ASSIGN(w.q_bias, load.optional_vector(h.q_bias, p + "attn_q.bias", h.q_size()));
    HF_TRY_ASSIGN(w.k_bias, load.optional_vector(h.k_bias, p + "attn_k.bias", h.kv_size()));
    HF_TRY_ASSIGN(w.v_bias, load.optional_vector(h.v_bias, p + "attn_v.bias", h.kv_size()));
    return ok_status();
  }
  HF_TRY_ASSIGN(const auto fused, load.matrix(p + "attn_qkv.weight", h.qkv_size(), h.n_embd));
  HF_TRY_ASSIGN(w.q, fused.slice(0, h.q_size()));
  HF_TRY_ASSIGN(w.k, fused.slice(h.q_size(), h.kv_size()));
  HF_TRY_ASSIGN(w.v, fused.slice(h.q_size() + h.kv_size(), h.kv_size()));
  if (!h.q_bias) return ok_status();
  HF_TRY_ASSIGN(const Vector bias, load.vector(p + "attn_qkv.bias", h.qkv_size()));
  w.q_bias = bias.first(h.q_size());
  w.k_bias = bias.subspan(h.q_size(), h.kv_size());
  w.v_bias = bias.last(h.kv_size());
  return ok_status();
}

Result<LayerWeights> load_layer(Loader& load, const Hyperparameters& h, std::uint32_t layer) {
  const std::string p = "blk." + std::to_string(layer) + ".";
  LayerWeights w;
  HF_TRY_ASSIGN(w.attn_norm, load.optional_vector(h.pre_norms, p + "attn_norm.weight", h.n_embd));
  HF_TRY(load_qkv(load, h, p, w));
  const bool norms = h.qk_norm != QkNorm::kNone;
  const bool whole = h.qk_norm == QkNorm::kWhole;
  HF_TRY_ASSIGN(w.q_norm, load.optional_vector(norms, p + "attn_q_norm.weight",
                                               whole ? h.q_size() : h.head_dim));
  HF_TRY_ASSIGN(w.k_norm, load.optional_vector(norms, p + "attn_k_norm.weight",
                                               whole ? h.kv_size() : h.head_dim));
  HF_TRY_ASSIGN(w.attn_output, load.matrix(p + "attn_output.weight", h.n_embd, h.q_size()));
  HF_TRY_ASSIGN(w.attn_output_bias,
                load.optional_vector(h.output_bias, p + "attn_output.bias", h.n_embd));
  HF_TRY_ASSIGN(w.post_attention_norm,
                load.optional_vector(h.post_norms, p + "post_attention_norm.weight", h.n_embd));
  HF_TRY_ASSIGN(w.ffn_norm, load.optional_vector(h.pre_norms, p + "ffn_norm.weight", h.n_embd));
  if (h.fused_gate_up) {
    HF_TRY_ASSIGN(const auto fused, load.matrix(p + "ffn_up.weight", 2 * h.n_ff, h.n_embd));
    HF_TRY_ASSIGN(w.gate, fused.slice(0, h.n_ff));
    HF_TRY_ASSIGN(w.up, fused.slice(h.n_ff, h.n_ff));
  } else {
    HF_TRY_ASSIGN(w.gate, load.matrix(p + "ffn_gate.weight", h.n_ff, h.n_embd));
    HF_TRY_ASSIGN(w.up, load.matrix(p + "ffn_up.weight", h.n_ff, h.n_embd));
  }
  HF_TRY_ASSIGN(w.down, load.matrix(p + "ffn_down.weight", h.n_embd, h.n_ff));
  HF_TRY_ASSIGN(w.post_ffw_norm,
                load.optional_vector(h.post_norms, p + "post_ffw_norm.weight", h.n_embd));
  return w;
}

tensor::RopeTable make_table(const RopeParameters& r, Vector divisors) {
  if (r.layout == RopeLayout::kNone) return {};
  tensor::RopeTable table = tensor::make_rope(r.dims, r.base, divisors, r.magnitude_factor);
  if (r.scaling == RopeScaling::kLinear) tensor::scale_linear(table, r.factor);
  if (r.scaling == RopeScaling::kYarn) {
    tensor::scale_yarn(table, {.base = r.base,
                               .factor = r.factor,
                               .beta_fast = r.yarn_beta_fast,
                               .beta_slow = r.yarn_beta_slow,
                               .original_context = r.original_context});
  }
  return table;
}

Status load_rope(Loader& load, const Hyperparameters& h, std::uint32_t context_length, Weights& w) {
  Vector divisors;
  if (h.rope.divisors != RopeDivisors::kNone) {
    const char* name = "rope_freqs.weight";
    if (h.rope.divisors == RopeDivisors::kByContext) {
      name = context_length > h.rope.original_context ? "rope_factors_long.weight"
                                                      : "rope_factors_short.weight";
    }
    HF_TRY_ASSIGN(divisors, load.vector(name, h.rope.dims / 2));
    for (const float v : divisors) {
      if (!(v > 0.0f)) return corrupt("the model's rope factors must be above 0", name);
    }
  }
  w.rope = make_table(h.rope, divisors);
  w.rope_local =
      make_table(h.rope_local, h.rope_local.divisors == RopeDivisors::kNone ? Vector() : divisors);
  return ok_status();
}

}  // namespace

Result<Weights> load_weights(const Hyperparameters& h, TensorProvider& provider,
                             std::uint32_t context_length) {
  Loader load(provider);
  Weights w;
  HF_TRY_ASSIGN(w.embedding, load.matrix("token_embd.weight", h.n_vocab, h.n_embd));
  w.layers.reserve(h.n_layers);
  for (std::uint32_t i = 0; i < h.n_layers; ++i) {
    HF_TRY_ASSIGN(LayerWeights layer, load_layer(load, h, i));
    w.layers.push_back(layer);
  }
  HF_TRY_ASSIGN(w.output_norm, load.vector("output_norm.weight", h.n_embd));
  w.output = w.embedding;
  if (!h.tied_output) {
    HF_TRY_ASSIGN(w.output, load.matrix("output.weight", h.n_vocab, h.n_embd));
  }
  HF_TRY(load_rope(load, h, context_length, w));
  return w;
}

}  // namespace holdfast::model
