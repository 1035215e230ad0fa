#include "tensor_names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "config_reader.h"

namespace holdfast::checkpoint {

namespace {

constexpr std::string_view kLayers = "model.layers.";

// A part of a layer, without ".weight" or ".bias".
struct Part {
  std::string_view theirs;
  std::string_view ours;
};
constexpr std::array kSeparate = {
    Part{"self_attn.q_proj", "attn_q"}, Part{"self_attn.k_proj", "attn_k"},
    Part{"self_attn.v_proj", "attn_v"}, Part{"mlp.gate_proj", "ffn_gate"},
    Part{"mlp.up_proj", "ffn_up"},
};
constexpr std::array kFused = {
    Part{"self_attn.qkv_proj", "attn_qkv"},
    Part{"mlp.gate_up_proj", "ffn_up"},
};
constexpr std::array kCommon = {
    Part{"self_attn.o_proj", "attn_output"},
    Part{"self_attn.q_norm", "attn_q_norm"},
    Part{"self_attn.k_norm", "attn_k_norm"},
    Part{"mlp.down_proj", "ffn_down"},
};
constexpr std::array kNormsBefore = {
    Part{"input_layernorm", "attn_norm"},
    Part{"post_attention_layernorm", "ffn_norm"},
};
constexpr std::array kNormsAround = {
    Part{"input_layernorm", "attn_norm"},
    Part{"post_attention_layernorm", "post_attention_norm"},
    Part{"pre_feedforward_layernorm", "ffn_norm"},
    Part{"post_feedforward_layernorm", "post_ffw_norm"},
};
constexpr std::array kNormsBehind = {
    Part{"post_attention_layernorm", "post_attention_norm"},
    Part{"post_feedforward_layernorm", "post_ffw_norm"},
};

template <std::size_t N>
std::optional<std::string_view> find_in(const std::array<Part, N>& parts, std::string_view name) {
  const auto it =
      std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.theirs == name; });
  return it == parts.end() ? std::nullopt : std::optional(it->ours);
}

std::optional<std::string_view> find_part(std::string_view name, const NameRules& rules) {
  if (const auto common = find_in(kCommon, name)) return common;
  const auto projection = rules.fused ? find_in(kFused, name) : find_in(kSeparate, name);
  if (projection) return projection;
  switch (rules.norms) {
    case Norms::kBefore:
      return find_in(kNormsBefore, name);
    case Norms::kAround:
      return find_in(kNormsAround, name);
    case Norms::kBehindOnly:
      return find_in(kNormsBehind, name);
  }
  return std::nullopt;
}

Error unknown(std::string_view name) {
  return unsupported("unsupported model: its family has no tensor " + shown(name) + " here");
}

Change change_of(std::string_view ours, const NameRules& rules) {
  if (rules.norms_less_one && ours.ends_with("norm")) return Change::kPlusOne;
  if (rules.pairs && ours == "attn_q") return Change::kQueryRows;
  if (rules.pairs && ours == "attn_k") return Change::kKeyRows;
  return Change::kNone;
}

Result<MappedName> map_layer(std::string_view name, const NameRules& rules) {
  std::string_view rest = name.substr(kLayers.size());
  std::uint32_t layer = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  const auto digits = static_cast<std::size_t>(end - rest.data());
  const bool canonical = error == std::errc() && (digits == 1 || rest[0] != '0');
  if (!canonical || digits == rest.size() || rest[digits] != '.') return unknown(name);
  if (layer >= rules.n_layers) {
    return corrupt("tensor " + shown(name) + " is of a layer that a model of " +
                   std::to_string(rules.n_layers) + " layers does not have");
  }
  rest.remove_prefix(digits + 1);
  const std::string ours = "blk." + std::to_string(layer) + ".";
  // A table that every program computes from the configuration.
  if (rest == "self_attn.rotary_emb.inv_freq") {
    return MappedName{ours + std::string(rest), Change::kDrop};
  }
  const bool bias = rest.ends_with(".bias");
  if (!bias && !rest.ends_with(".weight")) return unknown(name);
  const std::string_view suffix = bias ? ".bias" : ".weight";
  rest.remove_suffix(suffix.size());
  const auto part = find_part(rest, rules);
  if (!part) return unknown(name);
  return MappedName{ours + std::string(*part) + std::string(suffix), change_of(*part, rules)};
}

}  // namespace

Result<MappedName> map_tensor_name(std::string_view name, const NameRules& rules) {
  if (name.starts_with(kLayers)) return map_layer(name, rules);
  if (name == "model.embed_tokens.weight") return MappedName{"token_embd.weight", Change::kNone};
  if (name == "model.norm.weight") {
    return MappedName{"output_norm.weight", change_of("output_norm", rules)};
  }
  if (name == "lm_head.weight") {
    return MappedName{"output.weight", rules.tied_output ? Change::kDrop : Change::kNone};
  }
  return unknown(name);
}

}  // namespace holdfast::checkpoint
