#include <string>
#include <unordered_map>
#include <utility>

#include "holdfast/model/family.h"
#include "holdfast/quant/packed.h"

namespace holdfast::model {

namespace {

// How much of a foreign name goes into a message.
constexpr std::size_t kNameShownMax = 64;

std::string shown(std::string_view name) {
  if (name.size() <= kNameShownMax) return std::string(name);
  return std::string(name.substr(0, kNameShownMax)) + "...";
}

// Tables that some converters store though every program computes them from the metadata.
bool is_precomputed_table(std::string_view name) {
  return name.ends_with(".attn_rot_embd.weight") || name.ends_with(".rotary_emb.inv_freq");
}

void add_layer(const Hyperparameters& h, std::uint32_t layer, std::vector<TensorSpec>& out) {
  const std::string p = "blk." + std::to_string(layer) + ".";
  const auto matrix = [&](const char* name, std::uint64_t rows, std::uint64_t cols) {
    out.push_back({p + name + ".weight", TensorRole::kMatrix, rows, cols});
  };
  const auto norm = [&](const char* name, std::uint64_t n) {
    out.push_back({p + name + ".weight", TensorRole::kVector, 1, n});
  };
  const auto bias = [&](const char* name, bool there, std::uint64_t n) {
    if (there) out.push_back({p + name + ".bias", TensorRole::kVector, 1, n});
  };
  if (h.pre_norms) norm("attn_norm", h.n_embd);
  if (h.fused_qkv) {
    matrix("attn_qkv", h.qkv_size(), h.n_embd);
    bias("attn_qkv", h.q_bias, h.qkv_size());
  } else {
    matrix("attn_q", h.q_size(), h.n_embd);
    bias("attn_q", h.q_bias, h.q_size());
    matrix("attn_k", h.kv_size(), h.n_embd);
    bias("attn_k", h.k_bias, h.kv_size());
    matrix("attn_v", h.kv_size(), h.n_embd);
    bias("attn_v", h.v_bias, h.kv_size());
  }
  if (h.qk_norm != QkNorm::kNone) {
    const bool whole = h.qk_norm == QkNorm::kWhole;
    norm("attn_q_norm", whole ? h.q_size() : h.head_dim);
    norm("attn_k_norm", whole ? h.kv_size() : h.head_dim);
  }
  matrix("attn_output", h.n_embd, h.q_size());
  bias("attn_output", h.output_bias, h.n_embd);
  if (h.post_norms) norm("post_attention_norm", h.n_embd);
  if (h.pre_norms) norm("ffn_norm", h.n_embd);
  if (!h.fused_gate_up) matrix("ffn_gate", h.n_ff, h.n_embd);
  matrix("ffn_up", h.fused_gate_up ? 2 * std::uint64_t{h.n_ff} : h.n_ff, h.n_embd);
  matrix("ffn_down", h.n_embd, h.n_ff);
  if (h.post_norms) norm("post_ffw_norm", h.n_embd);
}

Error bad_tensor(std::string_view name, std::string what) {
  return corrupt("the model's tensors do not fit its hyper-parameters",
                 shown(name) + ": " + std::move(what));
}

Status check_tensor(const TensorSpec& spec, const gguf::TensorInfo& info) {
  const bool shape_ok =
      info.dims[0] == spec.cols && info.dims[1] == spec.rows && info.dims[2] * info.dims[3] == 1;
  if (!shape_ok) {
    return bad_tensor(spec.name, "the shape is " + std::to_string(info.dims[0]) + " x " +
                                     std::to_string(info.rows()) + ", not " +
                                     std::to_string(spec.cols) + " x " + std::to_string(spec.rows));
  }
  const quant::TypeInfo* type = quant::type_info(info.type);
  if (type == nullptr || !type->may_hold_weights()) {
    return unsupported("unsupported tensor type " + std::string(quant::tensor_type_name(info.type)),
                       shown(spec.name));
  }
  if (spec.role == TensorRole::kVector && type->type_class != quant::TypeClass::kFloat) {
    return unsupported("unsupported tensor type " + std::string(type->name) + " for a vector",
                       shown(spec.name));
  }
  if (spec.role == TensorRole::kMatrix) {
    HF_TRY(quant::packed_bytes(type->packed, spec.rows, spec.cols).context(spec.name));
  }
  return ok_status();
}

Status check_vocabulary(const gguf::GgufFile& file, std::uint32_t n_vocab) {
  const auto tokens = file.metadata.array_size("tokenizer.ggml.tokens");
  if (tokens && *tokens != n_vocab) {
    return bad_tensor("token_embd.weight", "it has " + std::to_string(n_vocab) +
                                               " rows, the vocabulary " + std::to_string(*tokens) +
                                               " tokens");
  }
  return ok_status();
}

// Everything in the file is accounted for: used, or on the short list of things without meaning.
Status append_ignored(const gguf::GgufFile& file, Inspection& inspection) {
  std::unordered_map<std::string_view, bool> known;
  for (const TensorSpec& spec : inspection.tensors) known.emplace(spec.name, true);
  std::vector<TensorSpec> ignored;
  for (const gguf::TensorInfo& info : file.tensors) {
    if (known.contains(info.name)) continue;
    if (!is_precomputed_table(info.name)) {
      return unsupported("unsupported model: it has tensors that architecture \"" +
                             inspection.hyper.architecture + "\" does not use here",
                         shown(info.name));
    }
    ignored.push_back({info.name, TensorRole::kIgnored, info.rows(), info.columns()});
  }
  for (TensorSpec& spec : ignored) inspection.tensors.push_back(std::move(spec));
  return ok_status();
}

}  // namespace

std::vector<TensorSpec> required_tensors(const Hyperparameters& h) {
  std::vector<TensorSpec> out;
  out.push_back({"token_embd.weight", TensorRole::kMatrix, h.n_vocab, h.n_embd});
  const std::uint64_t pairs = h.rope.dims / 2;
  if (h.rope.divisors == RopeDivisors::kFixed) {
    out.push_back({"rope_freqs.weight", TensorRole::kVector, 1, pairs});
  } else if (h.rope.divisors == RopeDivisors::kByContext) {
    out.push_back({"rope_factors_long.weight", TensorRole::kVector, 1, pairs});
    out.push_back({"rope_factors_short.weight", TensorRole::kVector, 1, pairs});
  }
  for (std::uint32_t i = 0; i < h.n_layers; ++i) add_layer(h, i, out);
  out.push_back({"output_norm.weight", TensorRole::kVector, 1, h.n_embd});
  if (!h.tied_output) out.push_back({"output.weight", TensorRole::kMatrix, h.n_vocab, h.n_embd});
  return out;
}

Result<Inspection> inspect(const gguf::GgufFile& file) {
  HF_TRY_ASSIGN(const std::string_view architecture,
                file.metadata.get_string("general.architecture"));
  const ModelFamily* family = find_family(architecture);
  if (family == nullptr) {
    return unsupported("unsupported architecture \"" + shown(architecture) +
                       "\"; supported: " + supported_architectures());
  }
  Inspection inspection;
  HF_TRY_ASSIGN(inspection.hyper, family->read(file));
  const gguf::TensorInfo* embeddings = file.find_tensor("token_embd.weight");
  if (embeddings == nullptr) return bad_tensor("token_embd.weight", "it is missing");
  if (embeddings->dims[1] > kVocabularyMax) return bad_tensor("token_embd.weight", "too many rows");
  inspection.hyper.n_vocab = static_cast<std::uint32_t>(embeddings->dims[1]);
  HF_TRY(validate(inspection.hyper));
  HF_TRY(check_vocabulary(file, inspection.hyper.n_vocab));
  inspection.tensors = required_tensors(inspection.hyper);
  for (const TensorSpec& spec : inspection.tensors) {
    const gguf::TensorInfo* info = file.find_tensor(spec.name);
    if (info == nullptr) return bad_tensor(spec.name, "it is missing");
    HF_TRY(check_tensor(spec, *info));
  }
  HF_TRY(append_ignored(file, inspection));
  return inspection;
}

}  // namespace holdfast::model
