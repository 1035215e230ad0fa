// What the formulas need to know of a model: its sizes, not its weights.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/json/json.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

enum class Attention : std::uint8_t {
  kGrouped,     // multi-head, grouped-query or multi-query: by the number of key-value heads
  kLatent,      // MLA: one compressed vector per token and layer
  kStateSpace,  // a state of constant size per sequence
};

// Symbols are those of the specification, section 5.
struct ModelShape {
  std::string id;
  double params = 0;           // P: weights
  double active = 0;           // A: weights that one token uses
  std::uint32_t layers = 0;    // L
  std::uint32_t width = 0;     // d
  std::uint32_t ff_width = 0;  // of one expert, where there are experts
  std::uint32_t vocab = 0;
  std::uint32_t heads = 0;     // h
  std::uint32_t kv_heads = 0;  // g
  std::uint32_t head_dim = 0;  // d_h
  Attention attention = Attention::kGrouped;
  std::uint32_t kv_latent = 0;      // d_c of MLA
  std::uint32_t rope_dim = 0;       // d_r of MLA
  std::uint32_t window = 0;         // tokens; 0: every layer sees the whole context
  std::uint32_t window_layers = 0;  // layers that see the window alone
  std::uint32_t experts = 0;        // E; 0: dense
  std::uint32_t experts_used = 0;   // k
  double state_bytes = 0;           // of a state-space model, per sequence
  std::uint32_t context_max = 0;    // tokens; 0: not known
  std::string quant;                // of `file_bytes`
  std::optional<Bytes> file_bytes;  // exact, from a header
  std::string licence;
  std::string released;  // YYYY-MM
  std::string source;
  bool estimated = false;  // sizes guessed from the number of parameters

  bool mixture() const { return experts > 0; }
};

inline constexpr std::size_t kModelsMax = 4096;

// Rows of a file with the columns of models.csv. kInvalidArgument names line and column.
Result<std::vector<ModelShape>> parse_models(std::string_view csv, std::string_view name);

// From a config.json of the transformers library: counts the parameters that the sizes imply.
// kInvalidArgument names the field that is missing or absurd.
Result<ModelShape> shape_from_config(const json::Value& config, std::string_view name);

// Sizes that a model with so many parameters usually has; marked as estimated. params in
// [1e6, 1e13], active in (0, params].
ModelShape shape_from_params(std::string_view id, double params, double active);

// kInvalidArgument with the field for sizes that no model has: zero, negative, active above total,
// more key-value heads than heads, a window without layers, ...
Status check_shape(const ModelShape& shape);

// How weights are stored. Bits per weight and the loss in quality: specification, section 6.
struct Quant {
  std::string_view name;
  double bits_per_weight;
  double quality_loss;     // relative rise of perplexity of a 70B model: 0.0483 is 4.83 %
  bool eight_bit_compute;  // products in FP8 or INT8 by engines that can
};
const std::vector<Quant>& quant_table();
// Case does not matter. kInvalidArgument with the nearest names.
Result<Quant> find_quant(std::string_view name);

// Bytes per element of keys and values: "f16" 2, "q8_0" 1.0625, "fp8" 1, "q4_0" 0.5625.
Result<double> kv_element_bytes(std::string_view type);

}  // namespace holdfast::planner
