// Rotations: the scalings that are in use, each as GGUF's keys and tables say it.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "config.h"

namespace holdfast::checkpoint {

namespace {

constexpr double kThetaMax = 1e12;
constexpr double kFactorMax = 1e6;
constexpr std::uint32_t kContextMax = 1u << 27;
constexpr std::size_t kPairsMax = 512;

// What all scalings share.
struct Rotation {
  float theta = 10000.0f;
  std::uint32_t dims = 0;
  std::uint32_t context = 0;
};

std::string kind_of(ConfigReader& r) {
  const std::string type = r.text_or("type", "default");
  return r.text_or("rope_type", type);
}

// Llama 3: slow frequencies are divided, fast ones are not, between them a slope.
std::vector<float> llama3_divisors(ConfigReader& r, const Rotation& rotation) {
  const double factor = r.number("factor", 1, kFactorMax);
  const double low = r.number("low_freq_factor", 1e-3, kFactorMax);
  const double high = r.number("high_freq_factor", 1e-3, kFactorMax);
  const double context = r.count("original_max_position_embeddings", kContextMax);
  if (low >= high) r.fail(r.wrong("high_freq_factor", "above low_freq_factor"));
  std::vector<float> divisors;
  for (std::uint32_t i = 0; i < rotation.dims; i += 2) {
    const double turns =
        context / (2.0 * std::numbers::pi * std::pow(rotation.theta, double(i) / rotation.dims));
    const double smooth = std::clamp((turns - low) / (high - low), 0.0, 1.0);
    divisors.push_back(static_cast<float>(1.0 / ((1.0 - smooth) / factor + smooth)));
  }
  return divisors;
}

void write_yarn(ConfigReader& r, const Rotation& rotation, ModelConfig& out) {
  KeyWriter keys(out);
  for (const char* const member : {"mscale", "mscale_all_dim"}) {
    if (r.find(member) != nullptr) r.fail(r.unsupported_value(member, "of a yarn rotation"));
  }
  if (!r.flag_or("truncate", true)) r.fail(r.unsupported_value("truncate", "false"));
  const float factor = r.number("factor", 1, kFactorMax);
  // Ours multiplies by this itself; the file's replaces it.
  const float own = 1.0f + 0.1f * std::log(factor);
  keys.text("rope.scaling.type", "yarn");
  keys.f32("rope.scaling.factor", factor);
  keys.f32("rope.scaling.attn_factor",
           r.number_or("attention_factor", 1e-6, kFactorMax, own) / own);
  keys.f32("rope.scaling.yarn_beta_fast", r.number_or("beta_fast", 1e-3, kFactorMax, 32.0f));
  keys.f32("rope.scaling.yarn_beta_slow", r.number_or("beta_slow", 1e-3, kFactorMax, 1.0f));
  keys.u32("rope.scaling.original_context_length",
           r.count_or("original_max_position_embeddings", kContextMax, rotation.context));
}

std::vector<float> factors(ConfigReader& r, std::string_view member, std::uint32_t dims) {
  const json::Value* list = r.find(member);
  std::vector<float> out;
  if (list != nullptr && list->is_array() && list->as_array().size() == dims / 2 &&
      dims / 2 <= kPairsMax) {
    for (const json::Value& v : list->as_array()) {
      if (!v.is_number() || !(v.as_double() > 0) || v.as_double() > kFactorMax) break;
      out.push_back(static_cast<float>(v.as_double()));
    }
  }
  if (out.size() == dims / 2 && dims > 0) return out;
  r.fail(r.wrong(member, "a list of " + std::to_string(dims / 2) + " numbers above 0"));
  return {};
}

// Phi-3: tables for short and long contexts; the magnitude follows from how much longer.
void write_longrope(ConfigReader& r, ConfigReader& config, const Rotation& rotation,
                    ModelConfig& out) {
  KeyWriter keys(out);
  const std::uint32_t original = config.count_or(
      "original_max_position_embeddings", kContextMax,
      r.count_or("original_max_position_embeddings", kContextMax, rotation.context));
  const double longer = double(rotation.context) / original;
  const double magnitude =
      longer > 1 && original > 1 ? std::sqrt(1 + std::log(longer) / std::log(double(original))) : 1;
  keys.text("rope.scaling.type", "longrope");
  keys.u32("rope.scaling.original_context_length", original);
  keys.f32("rope.scaling.attn_factor",
           r.number_or("attention_factor", 1e-6, kFactorMax, static_cast<float>(magnitude)));
  out.vectors.push_back({"rope_factors_long.weight", factors(r, "long_factor", rotation.dims)});
  out.vectors.push_back({"rope_factors_short.weight", factors(r, "short_factor", rotation.dims)});
}

void write_scaling(ConfigReader& scaling, ConfigReader& config, const Rotation& rotation,
                   ModelConfig& out) {
  const std::string kind = kind_of(scaling);
  KeyWriter keys(out);
  if (kind == "default") return;
  if (kind == "linear") {
    keys.text("rope.scaling.type", "linear");
    keys.f32("rope.scaling.factor", scaling.number("factor", 1, kFactorMax));
  } else if (kind == "llama3") {
    out.vectors.push_back({"rope_freqs.weight", llama3_divisors(scaling, rotation)});
  } else if (kind == "yarn") {
    write_yarn(scaling, rotation, out);
  } else if (kind == "longrope" || kind == "su") {
    write_longrope(scaling, config, rotation, out);
  } else {
    scaling.fail(scaling.unsupported_value("rope_type", kind));
  }
}

// Newer files: rope_parameters, for Gemma 3 one for each kind of layer. Older ones: rope_theta
// beside rope_scaling.
struct RopeMembers {
  std::optional<ConfigReader> main;
  std::optional<ConfigReader> local;
  bool has_theta = false;  // main holds it
};

RopeMembers find_members(ConfigReader& config) {
  RopeMembers m;
  m.main = config.object("rope_parameters");
  m.has_theta = m.main.has_value();
  if (!m.main) {
    m.main = config.object("rope_scaling");
    return m;
  }
  ConfigReader whole = *m.main;
  if (whole.find("full_attention") == nullptr) return m;
  m.local = whole.object("sliding_attention");
  m.main = whole.object("full_attention");
  if (!whole.status().ok()) config.fail(whole.status().error());
  return m;
}

}  // namespace

void read_rope(ConfigReader& config, std::uint32_t context, ModelConfig& out) {
  const bool gemma3 = out.architecture == "gemma3";
  const float fallback = gemma3 ? 1e6f : 10000.0f;
  RopeMembers m = find_members(config);
  ConfigReader& theta_reader = m.has_theta && m.main ? *m.main : config;
  Rotation rotation;
  rotation.theta = theta_reader.number_or("rope_theta", 1, kThetaMax, fallback);
  rotation.context = context;
  ConfigReader& share_reader =
      theta_reader.find("partial_rotary_factor") != nullptr ? theta_reader : config;
  const float share = share_reader.number_or("partial_rotary_factor", 1e-3, 1, 1.0f);
  rotation.dims = static_cast<std::uint32_t>(static_cast<float>(out.head_dim) * share);
  KeyWriter keys(out);
  keys.f32("rope.freq_base", rotation.theta);
  keys.u32("rope.dimension_count", rotation.dims);
  if (m.main) write_scaling(*m.main, config, rotation, out);
  if (gemma3) {
    ConfigReader& local = m.local ? *m.local : config;
    keys.f32("rope.freq_base_swa", local.number_or(m.local ? "rope_theta" : "rope_local_base_freq",
                                                   1, kThetaMax, 10000.0f));
    if (m.local && kind_of(*m.local) != "default") {
      m.local->fail(m.local->unsupported_value("rope_type", kind_of(*m.local)));
    }
  }
  for (std::optional<ConfigReader>* const r : {&m.main, &m.local}) {
    if (*r && !(*r)->status().ok()) config.fail((*r)->status().error());
  }
}

}  // namespace holdfast::checkpoint
