#include "config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "holdfast/quant/types.h"

namespace holdfast::checkpoint {

namespace {

// Each number alone stays in a range that no sum or product of two can leave 64 bits from; the
// model's own limits are stricter and are checked after this.
constexpr std::uint32_t kLayersMax = 1024;
constexpr std::uint32_t kSizeMax = 1u << 20;
constexpr std::uint32_t kHeadsMax = 1024;
constexpr std::uint32_t kHeadDimMax = 1024;
constexpr std::uint32_t kVocabularyMax = 1u << 20;
constexpr std::uint32_t kContextMax = 1u << 27;
constexpr double kFactorMax = 1e6;
constexpr std::uint32_t kMistralWindow = 4096;  // of a file that does not say

struct Family {
  std::string_view model_type;
  std::string_view class_name;    // in "architectures"
  std::string_view architecture;  // GGUF's
  NameRules names;
  bool tied_output = false;  // where the file does not say
  std::string_view activation = "silu";
};

constexpr NameRules kLlamaNames{.pairs = true};
constexpr NameRules kPlainNames{};
constexpr NameRules kGemmaNames{.norms = Norms::kAround, .norms_less_one = true};
constexpr std::array kFamilies = {
    Family{"llama", "LlamaForCausalLM", "llama", kLlamaNames},
    Family{"mistral", "MistralForCausalLM", "llama", kLlamaNames},
    Family{"qwen2", "Qwen2ForCausalLM", "qwen2", kPlainNames},
    Family{"qwen3", "Qwen3ForCausalLM", "qwen3", kPlainNames},
    Family{"gemma2", "Gemma2ForCausalLM", "gemma2", kGemmaNames, true, "gelu_pytorch_tanh"},
    Family{"gemma3_text", "Gemma3ForCausalLM", "gemma3", kGemmaNames, true, "gelu_pytorch_tanh"},
    Family{"phi3", "Phi3ForCausalLM", "phi3", {.fused = true}},
    Family{"olmo2", "Olmo2ForCausalLM", "olmo2", {.norms = Norms::kBehindOnly}},
    Family{"granite", "GraniteForCausalLM", "granite", kLlamaNames},
};

std::string family_names() {
  std::string names;
  for (const Family& f : kFamilies)
    names += (names.empty() ? "" : ", ") + std::string(f.model_type);
  return names;
}

Result<const Family*> find_family(ConfigReader& reader) {
  const std::string type = reader.text_or("model_type", "");
  HF_TRY(reader.status());
  if (type.empty()) return reader.wrong("model_type", "the name of a family");
  const auto family = std::find_if(kFamilies.begin(), kFamilies.end(),
                                   [&](const Family& f) { return f.model_type == type; });
  if (family == kFamilies.end()) {
    return unsupported("unsupported architecture " + shown(type) +
                       "; supported: " + family_names());
  }
  const json::Value* classes = reader.find("architectures");
  if (classes == nullptr) return &*family;
  if (!classes->is_array() || classes->as_array().size() != 1 ||
      !classes->as_array()[0].is_string()) {
    return reader.wrong("architectures", "a list of one name");
  }
  const std::string& name = classes->as_array()[0].as_string();
  if (name == family->class_name) return &*family;
  return unsupported("unsupported architecture " + shown(name) + "; this family is supported as " +
                     std::string(family->class_name));
}

void read_sizes(ConfigReader& r, const Family& family, ModelConfig& out) {
  KeyWriter keys(out);
  const std::uint32_t n_embd = r.count("hidden_size", kSizeMax);
  out.names.n_layers = r.count("num_hidden_layers", kLayersMax);
  out.n_heads = r.count("num_attention_heads", kHeadsMax);
  out.n_kv_heads = r.count_or("num_key_value_heads", kHeadsMax, out.n_heads);
  out.head_dim = r.count_or("head_dim", kHeadDimMax, std::max(1u, n_embd / out.n_heads));
  out.vocab_size = r.count("vocab_size", kVocabularyMax);
  out.names.tied_output = r.flag_or("tie_word_embeddings", family.tied_output);
  keys.u32("block_count", out.names.n_layers);
  keys.u32("embedding_length", n_embd);
  keys.u32("feed_forward_length", r.count("intermediate_size", kSizeMax));
  keys.u32("attention.head_count", out.n_heads);
  keys.u32("attention.head_count_kv", out.n_kv_heads);
  keys.u32("attention.key_length", out.head_dim);
  keys.u32("attention.value_length", out.head_dim);
  keys.f32("attention.layer_norm_rms_epsilon", r.number_or("rms_norm_eps", 0, 1, 1e-6f));
}

void check_activation(ConfigReader& r, const Family& family) {
  const char* const member =
      r.find("hidden_activation") != nullptr ? "hidden_activation" : "hidden_act";
  const std::string activation = r.text_or(member, family.activation);
  if (activation != family.activation) r.fail(r.unsupported_value(member, activation));
}

// What would make another model of the same tensors.
void check_variant(ConfigReader& r) {
  if (r.find("quantization_config") != nullptr) {
    r.fail(unsupported("unsupported model: its weights are quantised (quantization_config)")
               .with_hint("Import the model in BF16, F16 or F32, or as GGUF."));
  }
  for (const char* const member : {"num_local_experts", "num_experts", "n_routed_experts"}) {
    if (r.find(member) != nullptr) r.fail(r.unsupported_value(member, "of experts"));
  }
  if (r.flag_or("use_bidirectional_attention", false)) {
    r.fail(r.unsupported_value("use_bidirectional_attention", "true"));
  }
  if (r.flag_or("mlp_bias", false)) r.fail(r.unsupported_value("mlp_bias", "true"));
}

// One flag per layer: whether it has a window. Empty where the file does not say.
std::vector<bool> layer_windows(ConfigReader& r, std::uint32_t n_layers) {
  const json::Value* types = r.find("layer_types");
  if (types == nullptr) return {};
  std::vector<bool> windowed;
  if (types->is_array() && types->as_array().size() == n_layers) {
    for (const json::Value& type : types->as_array()) {
      const bool window = type == json::Value("sliding_attention");
      if (!window && type != json::Value("full_attention")) break;
      windowed.push_back(window);
    }
  }
  if (windowed.size() == n_layers) return windowed;
  r.fail(r.wrong("layer_types", "full_attention or sliding_attention for each layer"));
  return {};
}

gguf::Value flags(const std::vector<bool>& v) {
  gguf::NumberArray array{gguf::ValueType::kBool, Bytes(v.size())};
  for (std::size_t i = 0; i < v.size(); ++i) array.raw[i] = std::byte{v[i]};
  return {gguf::ValueType::kArray, std::move(array)};
}

// Gemma: windows on most layers.
void read_windows(ConfigReader& r, std::uint32_t default_period, ModelConfig& out) {
  KeyWriter keys(out);
  std::vector<bool> windowed = layer_windows(r, out.names.n_layers);
  const std::uint32_t window = r.count_or("sliding_window", kContextMax, 0);
  if (windowed.empty()) {
    const std::uint32_t period =
        r.count_or("sliding_window_pattern", kLayersMax,
                   r.count_or("_sliding_window_pattern", kLayersMax, default_period));
    for (std::uint32_t i = 0; i < out.names.n_layers; ++i) {
      windowed.push_back(window > 0 && (i + 1) % period != 0);
    }
  }
  const bool any = std::find(windowed.begin(), windowed.end(), true) != windowed.end();
  if (any && window == 0) r.fail(r.wrong("sliding_window", "a whole number from 1 on"));
  keys.u32("attention.sliding_window", any ? window : 0);
  if (any) keys.set("attention.sliding_window_pattern", flags(windowed));
}

void read_gemma(ConfigReader& r, std::uint32_t default_period, ModelConfig& out) {
  KeyWriter keys(out);
  read_windows(r, default_period, out);
  keys.f32("attn_logit_softcapping", r.number_or("attn_logit_softcapping", 0, kFactorMax, 0.0f));
  keys.f32("final_logit_softcapping", r.number_or("final_logit_softcapping", 0, kFactorMax, 0.0f));
  keys.f32("attention.scale",
           1.0f / std::sqrt(r.number_or("query_pre_attn_scalar", 1e-6, kFactorMax, 256.0f)));
}

void read_granite(ConfigReader& r, ModelConfig& out) {
  KeyWriter keys(out);
  keys.f32("embedding_scale", r.number_or("embedding_multiplier", 1e-6, kFactorMax, 1.0f));
  keys.f32("residual_scale", r.number_or("residual_multiplier", 1e-6, kFactorMax, 1.0f));
  keys.f32("attention.scale", r.number_or("attention_multiplier", 1e-6, kFactorMax, 1.0f));
  keys.f32("logit_scale", r.number_or("logits_scaling", 1e-6, kFactorMax, 1.0f));
}

// Families whose decoder here sees everything, where some of the models have a window: up to its
// length both compute the same, so that is as far as the model goes.
std::uint32_t cap_by_window(ConfigReader& r, const Family& family, std::uint32_t context) {
  const bool by_flag = family.model_type == "qwen2" || family.model_type == "qwen3";
  if (by_flag && !r.flag_or("use_sliding_window", false)) return context;
  const bool mistral = family.model_type == "mistral" && r.find("sliding_window") == nullptr;
  const bool says_none = mistral && r.has("sliding_window");
  const std::uint32_t fallback = mistral && !says_none ? kMistralWindow : context;
  return std::min(context, r.count_or("sliding_window", kContextMax, fallback));
}

void read_family(ConfigReader& r, const Family& family, std::uint32_t context, ModelConfig& out) {
  KeyWriter keys(out);
  if (family.architecture == "gemma2") {
    read_gemma(r, 2, out);
  } else if (family.architecture == "gemma3") {
    read_gemma(r, 6, out);
  } else {
    context = cap_by_window(r, family, context);
    if (family.architecture == "granite") read_granite(r, out);
  }
  keys.u32("context_length", context);
}

}  // namespace

Result<ModelConfig> read_config(const json::Value& config) {
  ConfigReader reader(config, "config.json");
  HF_TRY_ASSIGN(const Family* family, find_family(reader));
  ModelConfig out;
  out.architecture = family->architecture;
  out.names = family->names;
  check_variant(reader);
  check_activation(reader, *family);
  read_sizes(reader, *family, out);
  const std::uint32_t context = reader.count("max_position_embeddings", kContextMax);
  read_family(reader, *family, context, out);
  read_rope(reader, context, out);
  HF_TRY(reader.status());
  return out;
}

}  // namespace holdfast::checkpoint
