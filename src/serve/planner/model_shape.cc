#include "holdfast/planner/model_shape.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "holdfast/planner/csv.h"
#include "holdfast/planner/device.h"

namespace holdfast::planner {

namespace {

constexpr double kSizeMax = 1e8;  // of any one dimension; the largest vocabulary is below a million
constexpr double kParamsMax = 1e14;

Error shape_error(const ModelShape& s, std::string_view field, std::string_view what) {
  return invalid_argument("model " + s.id + ": " + std::string(field) + " " + std::string(what));
}

// Reads whole numbers of a config.json under any of several names.
class ConfigFields {
 public:
  ConfigFields(const json::Value& config, std::string_view name) : config_(config), name_(name) {}

  Result<std::uint32_t> whole(std::initializer_list<const char*> keys,
                              std::optional<std::uint32_t> otherwise = std::nullopt) const {
    for (const char* key : keys) {
      const json::Value* v = config_.find(key);
      if (v == nullptr || v->is_null()) continue;
      if (!v->is_int() || v->as_int() < 0 || static_cast<double>(v->as_int()) > kSizeMax) {
        return invalid_argument(std::string(name_) + ": " + key +
                                " must be a whole number from 0 to 100000000");
      }
      return static_cast<std::uint32_t>(v->as_int());
    }
    if (otherwise) return *otherwise;
    return invalid_argument(std::string(name_) + ": there is no " + *keys.begin());
  }

  bool flag(const char* key) const {
    const json::Value* v = config_.find(key);
    return v != nullptr && v->is_bool() && v->as_bool();
  }

 private:
  const json::Value& config_;
  std::string_view name_;
};

std::uint32_t count_window_layers(const json::Value& config, const ModelShape& s) {
  if (s.window == 0) return 0;
  if (const json::Value* types = config.find("layer_types");
      types != nullptr && types->is_array()) {
    return static_cast<std::uint32_t>(
        std::count_if(types->as_array().begin(), types->as_array().end(), [](const json::Value& t) {
          return t.is_string() && t.as_string() == "sliding_attention";
        }));
  }
  const json::Value* pattern = config.find("sliding_window_pattern");
  if (pattern != nullptr && pattern->is_int() && pattern->as_int() > 1)
    return s.layers - s.layers / static_cast<std::uint32_t>(pattern->as_int());
  // Qwen's files name a window that is switched off.
  const json::Value* used = config.find("use_sliding_window");
  if (used != nullptr && used->is_bool() && !used->as_bool()) return 0;
  return s.layers;
}

// Matrices of a decoder layer and the embedding: what biases and norms add is below a thousandth.
void count_params(ModelShape& s, bool tied, std::uint32_t dense_layers, double dense_ff,
                  std::uint32_t shared_experts) {
  const double d = s.width;
  const double q = static_cast<double>(s.heads) * s.head_dim;
  const double kv = static_cast<double>(s.kv_heads) * s.head_dim;
  double attention = 2 * d * q + 2 * d * kv;
  // MLA: down and up projections of keys and values; queries are counted as their product.
  if (s.attention == Attention::kLatent)
    attention = d * (s.kv_latent + s.rope_dim) + 2.0 * s.kv_latent * q + d * q + d * q * 0.5;
  const double expert = 3 * d * s.ff_width;
  const double embedding = static_cast<double>(s.vocab) * d * (tied ? 1 : 2);
  const double sparse_layers = s.mixture() ? s.layers - dense_layers : 0;
  const double dense = (s.layers - sparse_layers) * 3 * d * dense_ff;
  s.params = embedding + s.layers * attention + dense +
             sparse_layers * (s.experts + shared_experts) * expert;
  s.active = embedding + s.layers * attention + dense +
             sparse_layers * (s.experts_used + shared_experts) * expert;
}

double round_to(double value, double step) {
  return std::max(step, std::round(value / step) * step);
}

}  // namespace

Status check_shape(const ModelShape& s) {
  if (!(s.params >= 1e5 && s.params <= kParamsMax))
    return shape_error(s, "params", "must be a number of parameters from 1e5 to 1e14");
  if (!(s.active > 0 && s.active <= s.params))
    return shape_error(s, "active", "must be above 0 and not above params");
  const std::array<std::pair<const char*, std::uint32_t>, 4> sizes{
      {{"layers", s.layers}, {"d", s.width}, {"heads", s.heads}, {"head_dim", s.head_dim}}};
  for (const auto& [field, value] : sizes)
    if (value == 0 || value > kSizeMax) return shape_error(s, field, "must be a positive number");
  if (s.layers > 10'000) return shape_error(s, "layers", "must be at most 10000");
  if (s.kv_heads == 0 || s.kv_heads > s.heads)
    return shape_error(s, "kv_heads", "must be from 1 to the number of heads");
  if (s.attention == Attention::kLatent && s.kv_latent == 0)
    return shape_error(s, "kv_latent", "must be given for latent attention");
  if (s.window_layers > s.layers)
    return shape_error(s, "window_layers", "must not be above layers");
  if (s.window_layers > 0 && s.window == 0)
    return shape_error(s, "window", "must be given for window_layers");
  if (s.experts_used > s.experts)
    return shape_error(s, "experts_used", "must not be above experts");
  return ok_status();
}

Result<std::vector<ModelShape>> parse_models(std::string_view csv, std::string_view name) {
  HF_TRY_ASSIGN(const CsvTable t, CsvTable::parse(csv, name));
  if (t.rows() > kModelsMax)
    return exhausted(std::string(name) + ": more than " + std::to_string(kModelsMax) + " models");
  std::vector<ModelShape> models;
  for (std::size_t row = 0; row < t.rows(); ++row) {
    ModelShape s;
    s.id = t.text(row, "id");
    if (s.id.empty()) return invalid_argument(t.place(row) + ": id is missing");
    HF_TRY_ASSIGN(s.params, t.required(row, "params", 1e5, kParamsMax));
    HF_TRY_ASSIGN(const auto active, t.number(row, "active", 1, kParamsMax));
    s.active = active.value_or(s.params);
    const std::array<std::pair<const char*, std::uint32_t*>, 15> sizes{
        {{"layers", &s.layers},
         {"width", &s.width},
         {"ff_width", &s.ff_width},
         {"vocab", &s.vocab},
         {"heads", &s.heads},
         {"kv_heads", &s.kv_heads},
         {"head_dim", &s.head_dim},
         {"kv_latent", &s.kv_latent},
         {"rope_dim", &s.rope_dim},
         {"window", &s.window},
         {"window_layers", &s.window_layers},
         {"experts", &s.experts},
         {"experts_used", &s.experts_used},
         {"context_max", &s.context_max},
         {"", nullptr}}};
    for (const auto& [column, out] : sizes) {
      if (out == nullptr) continue;
      HF_TRY_ASSIGN(const auto value, t.number(row, column, 0, kSizeMax));
      *out = static_cast<std::uint32_t>(value.value_or(0));
    }
    HF_TRY_ASSIGN(const auto state, t.number(row, "state_bytes", 0, 1e12));
    s.state_bytes = state.value_or(0);
    const std::string_view attention = t.text(row, "attention");
    if (attention == "mla") {
      s.attention = Attention::kLatent;
    } else if (attention == "ssm") {
      s.attention = Attention::kStateSpace;
    } else if (attention != "mha" && attention != "gqa" && attention != "mqa") {
      return invalid_argument(t.place(row) + ": attention must be one of mha, gqa, mqa, mla, ssm");
    }
    s.licence = t.text(row, "licence");
    s.released = t.text(row, "released");
    s.source = t.text(row, "source");
    auto good = check_shape(s);
    if (!good.ok()) return invalid_argument(t.place(row) + ": " + good.error().client_message());
    models.push_back(std::move(s));
  }
  return models;
}

Result<ModelShape> shape_from_config(const json::Value& root, std::string_view name) {
  if (!root.is_object()) return invalid_argument(std::string(name) + ": no JSON object");
  // Models that see images keep the sizes of their language part in an object of its own.
  const json::Value* text = root.find("text_config");
  const json::Value& config = text != nullptr && text->is_object() ? *text : root;
  const ConfigFields fields(config, name);
  ModelShape s;
  s.id = name;
  s.source = "config.json";
  HF_TRY_ASSIGN(s.layers, fields.whole({"num_hidden_layers", "n_layer"}));
  HF_TRY_ASSIGN(s.width, fields.whole({"hidden_size", "n_embd"}));
  HF_TRY_ASSIGN(s.heads, fields.whole({"num_attention_heads", "n_head"}));
  HF_TRY_ASSIGN(s.kv_heads, fields.whole({"num_key_value_heads"}, s.heads));
  if (s.heads == 0) return invalid_argument(std::string(name) + ": num_attention_heads is 0");
  HF_TRY_ASSIGN(s.head_dim, fields.whole({"head_dim", "v_head_dim"}, s.width / s.heads));
  HF_TRY_ASSIGN(s.vocab, fields.whole({"vocab_size"}));
  HF_TRY_ASSIGN(const std::uint32_t ff,
                fields.whole({"intermediate_size", "n_inner"}, s.width * 4));
  HF_TRY_ASSIGN(s.ff_width, fields.whole({"moe_intermediate_size"}, ff));
  HF_TRY_ASSIGN(s.experts,
                fields.whole({"num_local_experts", "num_experts", "n_routed_experts"}, 0));
  HF_TRY_ASSIGN(s.experts_used, fields.whole({"num_experts_per_tok", "experts_per_token"}, 0));
  HF_TRY_ASSIGN(s.context_max, fields.whole({"max_position_embeddings", "n_positions"}, 0));
  HF_TRY_ASSIGN(s.window, fields.whole({"sliding_window"}, 0));
  HF_TRY_ASSIGN(s.kv_latent, fields.whole({"kv_lora_rank"}, 0));
  HF_TRY_ASSIGN(s.rope_dim, fields.whole({"qk_rope_head_dim"}, 0));
  HF_TRY_ASSIGN(const std::uint32_t dense_layers, fields.whole({"first_k_dense_replace"}, 0));
  HF_TRY_ASSIGN(const std::uint32_t shared, fields.whole({"n_shared_experts"}, 0));
  if (s.kv_latent > 0) s.attention = Attention::kLatent;
  s.window_layers = std::min(count_window_layers(config, s), s.layers);
  if (s.window_layers == 0) s.window = 0;
  count_params(s,
               fields.flag("tie_word_embeddings") ||
                   (&config != &root && root.find("tie_word_embeddings") == nullptr),
               std::min(dense_layers, s.layers), ff, shared);
  HF_TRY(check_shape(s));
  return s;
}

ModelShape shape_from_params(std::string_view id, double params, double active) {
  ModelShape s;
  s.id = id;
  s.params = params;
  s.active = active;
  s.estimated = true;
  s.source = "estimated from the number of parameters";
  // Through 1B (16 layers), 8B (32), 70B (80) and 405B (126) of one family.
  s.layers =
      static_cast<std::uint32_t>(std::max(4.0, std::round(32 * std::pow(params / 8e9, 0.38))));
  s.width = static_cast<std::uint32_t>(round_to(std::sqrt(params / (12.0 * s.layers)), 128));
  s.ff_width = s.width * 7 / 2;
  s.vocab = 128'256;
  s.head_dim = 128;
  s.heads = std::max(1u, s.width / s.head_dim);
  s.kv_heads = std::min(8u, s.heads);
  if (active < params) {
    // Enough to know that weights are read sparsely: the share that is always read is 5 %.
    s.experts = 128;
    s.experts_used = static_cast<std::uint32_t>(
        std::clamp(std::round(128 * (active / params - 0.05) / 0.95), 1.0, 128.0));
  }
  return s;
}

const std::vector<Quant>& quant_table() {
  // The losses of FP8, INT8, Q4_1, Q4_0, NVFP4, MXFP4, AWQ and GPTQ are assumed from the nearest
  // format.
  static const std::vector<Quant> table{
      {"F16", 16, 0, false},           {"BF16", 16, 0, false},
      {"Q8_0", 8.5, 0.0003, false},    {"FP8", 8, 0.001, true},
      {"INT8", 8, 0.002, true},        {"Q6_K", 6.56, 0.0047, false},
      {"Q5_K_M", 5.67, 0.0123, false}, {"Q4_K_M", 4.85, 0.0483, false},
      {"Q4_1", 5.0, 0.06, false},      {"Q4_K_S", 4.58, 0.0615, false},
      {"Q4_0", 4.5, 0.07, false},      {"NVFP4", 4.5, 0.05, true},
      {"IQ4_XS", 4.3, 0.0707, false},  {"MXFP4", 4.25, 0.045, true},
      {"AWQ", 4.25, 0.045, false},     {"GPTQ", 4.25, 0.05, false},
      {"Q3_K_M", 3.91, 0.1875, false}, {"Q2_K", 2.96, 0.687, false},
      {"IQ2_XXS", 2.06, 1.35, false}};
  return table;
}

Result<Quant> find_quant(std::string_view name) {
  std::vector<std::string> names;
  for (const Quant& q : quant_table()) {
    const bool same = q.name.size() == name.size() &&
                      std::equal(name.begin(), name.end(), q.name.begin(), [](char a, char b) {
                        return (a >= 'a' && a <= 'z' ? static_cast<char>(a - 'a' + 'A') : a) == b;
                      });
    if (same) return q;
    names.emplace_back(q.name);
  }
  return invalid_argument("there is no quantisation \"" + std::string(name.substr(0, 40)) + "\"" +
                          did_you_mean(name, names));
}

Result<double> kv_element_bytes(std::string_view type) {
  constexpr std::array<std::pair<std::string_view, double>, 5> kTypes{
      {{"f16", 2}, {"bf16", 2}, {"q8_0", 1.0625}, {"fp8", 1}, {"q4_0", 0.5625}}};
  for (const auto& [name, bytes] : kTypes)
    if (name == type) return bytes;
  return invalid_argument("kv_type must be one of f16, bf16, q8_0, fp8, q4_0, and is \"" +
                          std::string(type.substr(0, 40)) + "\"");
}

}  // namespace holdfast::planner
