// config.json: hyper-parameters as the keys of a GGUF file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "config_reader.h"
#include "holdfast/gguf/metadata.h"
#include "tensor_names.h"

namespace holdfast::checkpoint {

// A vector that GGUF stores and config.json only describes.
struct ExtraVector {
  std::string name;
  std::vector<float> values;
};

// What config.json says, in range each number by itself; that they fit together is checked where
// the model is put together (model::inspect).
struct ModelConfig {
  std::string architecture;  // GGUF's name
  NameRules names;
  std::uint32_t n_heads = 0;
  std::uint32_t n_kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t vocab_size = 0;
  std::vector<std::pair<std::string, gguf::Value>> metadata;
  std::vector<ExtraVector> vectors;
};

// kUnsupported for a family or a variant that we do not compute, by its name; kCorrupt names the
// member that is missing or out of range.
Result<ModelConfig> read_config(const json::Value& config);

// Collects the keys below "<architecture>." for a ModelConfig.
class KeyWriter {
 public:
  explicit KeyWriter(ModelConfig& config) : config_(config) {}
  void u32(std::string_view key, std::uint32_t v) { set(key, gguf::make_u32(v)); }
  void f32(std::string_view key, float v) { set(key, gguf::make_f32(v)); }
  void text(std::string_view key, std::string v) { set(key, gguf::make_string(std::move(v))); }
  void set(std::string_view key, gguf::Value v) {
    config_.metadata.emplace_back(config_.architecture + "." + std::string(key), std::move(v));
  }

 private:
  ModelConfig& config_;
};

// The rotation: rope_theta and rope_scaling, or rope_parameters as newer files have it, and what it
// adds to `out`. Failures go to `reader`.
void read_rope(ConfigReader& reader, std::uint32_t context, ModelConfig& out);

}  // namespace holdfast::checkpoint
