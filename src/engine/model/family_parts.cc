#include "family_parts.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace holdfast::model {

MetadataReader::MetadataReader(const gguf::GgufFile& file, std::string_view architecture)
    : file_(file), prefix_(std::string(architecture) + ".") {}

std::string MetadataReader::full(std::string_view key) const { return prefix_ + std::string(key); }

bool MetadataReader::has(std::string_view key) const { return file_.metadata.contains(full(key)); }

bool MetadataReader::has_tensor(std::string_view name) const {
  return file_.find_tensor(name) != nullptr;
}

void MetadataReader::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

Status MetadataReader::status() const { return error_ ? Status(*error_) : ok_status(); }

template <typename T>
T MetadataReader::take(Result<T> result, T fallback) {
  if (result.ok()) return std::move(result).value();
  fail(std::move(result).error());
  return fallback;
}

template <typename T>
T MetadataReader::take_optional(Result<std::optional<T>> result, T fallback) {
  return take<std::optional<T>>(std::move(result), std::nullopt).value_or(fallback);
}

std::uint32_t MetadataReader::u32(std::string_view key) {
  return take<std::uint32_t>(file_.metadata.get_u32(full(key)), 0);
}

std::uint32_t MetadataReader::u32_or(std::string_view key, std::uint32_t fallback) {
  return take_optional<std::uint32_t>(file_.metadata.find_u32(full(key)), fallback);
}

float MetadataReader::f32(std::string_view key) {
  return take<float>(file_.metadata.get_f32(full(key)), 0.0f);
}

float MetadataReader::f32_or(std::string_view key, float fallback) {
  return take_optional<float>(file_.metadata.find_f32(full(key)), fallback);
}

std::string MetadataReader::text_or(std::string_view key, std::string_view fallback) {
  return std::string(
      take_optional<std::string_view>(file_.metadata.find_string(full(key)), fallback));
}

std::uint32_t MetadataReader::uniform_u32(std::string_view key,
                                          std::optional<std::uint32_t> fallback) {
  if (!file_.metadata.array_size(full(key))) return fallback ? u32_or(key, *fallback) : u32(key);
  const auto values = take<std::vector<std::uint32_t>>(file_.metadata.get_u32_array(full(key)), {});
  if (values.empty()) {
    fail(corrupt("the model's metadata is not valid", full(key) + " is empty"));
    return 0;
  }
  if (std::any_of(values.begin(), values.end(), [&](auto v) { return v != values[0]; })) {
    fail(unsupported("unsupported model: " + full(key) + " differs between layers"));
  }
  return values[0];
}

std::vector<bool> MetadataReader::window_pattern(std::string_view key, std::uint32_t period,
                                                 std::uint32_t n_layers) {
  if (const auto size = file_.metadata.array_size(full(key))) {
    auto flags = take<std::vector<bool>>(file_.metadata.get_bool_array(full(key)), {});
    if (*size != n_layers) {
      fail(corrupt("the model's metadata is not valid",
                   full(key) + " must have one element per layer"));
    }
    return flags;
  }
  period = u32_or(key, period);
  std::vector<bool> windowed(n_layers, true);
  for (std::uint32_t i = 0; period > 0 && i < n_layers; ++i) windowed[i] = i % period < period - 1;
  return windowed;
}

namespace {

RopeParameters read_rope(MetadataReader& reader, RopeLayout layout, const Hyperparameters& hyper) {
  RopeParameters r;
  r.layout = layout;
  r.dims = reader.u32_or("rope.dimension_count", hyper.head_dim);
  r.base = reader.f32_or("rope.freq_base", 10000.0f);
  r.factor = reader.f32_or("rope.scaling.factor", reader.f32_or("rope.scale_linear", 0.0f));
  if (r.factor == 0.0f) r.factor = 1.0f;
  r.magnitude_factor = reader.f32_or("rope.scaling.attn_factor", 1.0f);
  r.original_context = reader.u32_or("rope.scaling.original_context_length", hyper.context_train);
  r.yarn_beta_fast = reader.f32_or("rope.scaling.yarn_beta_fast", 32.0f);
  r.yarn_beta_slow = reader.f32_or("rope.scaling.yarn_beta_slow", 1.0f);
  const std::string kind = reader.text_or("rope.scaling.type", "linear");
  if (kind == "yarn") {
    r.scaling = RopeScaling::kYarn;
  } else if (kind == "linear" || kind == "longrope") {
    r.scaling = r.factor == 1.0f ? RopeScaling::kNone : RopeScaling::kLinear;
  } else if (kind == "none") {
    r.factor = 1.0f;
  } else {
    reader.fail(unsupported("unsupported rope scaling \"" + kind +
                            "\"; supported: none, linear, yarn, longrope"));
  }
  if (reader.has_tensor("rope_freqs.weight")) {
    r.divisors = RopeDivisors::kFixed;
  } else if (reader.has_tensor("rope_factors_long.weight")) {
    r.divisors = RopeDivisors::kByContext;
  }
  return r;
}

}  // namespace

Hyperparameters read_decoder(MetadataReader& reader, std::string_view architecture,
                             RopeLayout layout) {
  Hyperparameters h;
  h.architecture = std::string(architecture);
  if (reader.u32_or("expert_count", 0) > 0) {
    reader.fail(unsupported("unsupported architecture \"" + h.architecture +
                            "\" with experts; dense models of this family are supported"));
  }
  h.n_layers = reader.u32("block_count");
  h.n_embd = reader.u32("embedding_length");
  h.n_heads = reader.uniform_u32("attention.head_count", std::nullopt);
  h.n_kv_heads = reader.uniform_u32("attention.head_count_kv", h.n_heads);
  h.head_dim = reader.u32_or("attention.key_length", h.n_heads == 0 ? 0 : h.n_embd / h.n_heads);
  if (reader.u32_or("attention.value_length", h.head_dim) != h.head_dim) {
    reader.fail(unsupported("unsupported model: keys and values differ in size"));
  }
  h.n_ff = reader.uniform_u32("feed_forward_length", std::nullopt);
  h.context_train = reader.u32("context_length");
  h.norm_eps = reader.f32("attention.layer_norm_rms_epsilon");
  h.tied_output = !reader.has_tensor("output.weight");
  h.fused_qkv = reader.has_tensor("blk.0.attn_qkv.weight");
  h.q_bias = reader.has_tensor(h.fused_qkv ? "blk.0.attn_qkv.bias" : "blk.0.attn_q.bias");
  h.k_bias = h.fused_qkv ? h.q_bias : reader.has_tensor("blk.0.attn_k.bias");
  h.v_bias = h.fused_qkv ? h.q_bias : reader.has_tensor("blk.0.attn_v.bias");
  h.output_bias = reader.has_tensor("blk.0.attn_output.bias");
  h.rope = read_rope(reader, layout, h);
  h.rope_local = h.rope;
  const float scale = reader.f32_or("attention.scale", 0.0f);
  h.attention_scale =
      scale != 0.0f ? scale : 1.0f / std::sqrt(static_cast<float>(std::max(h.head_dim, 1u)));
  if (h.n_layers <= kLayersMax) h.windowed.assign(h.n_layers, false);
  return h;
}

Result<Hyperparameters> finish(const MetadataReader& reader, Hyperparameters hyper) {
  HF_TRY(reader.status());
  return hyper;
}

}  // namespace holdfast::model
