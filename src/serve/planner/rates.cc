#include "holdfast/planner/rates.h"

#include <algorithm>
#include <cmath>

namespace holdfast::planner {

namespace {

// Activations travel between devices in 16 bits.
constexpr double kActivationBytes = 2;
constexpr double kFastLinkBytesPerSecond = 200e9;  // NVLink and its like are above, PCIe below
constexpr Seconds kFastLinkLatency = microseconds(8);
constexpr Seconds kSlowLinkLatency = microseconds(20);
constexpr double kUnknownLinkBytesPerSecond = 16e9;
// Chunks that are under way at the same time at most in engines of the llama.cpp class.
constexpr double kChunksUnderWay = 4;

}  // namespace

Bytes weights_read(const ModelShape& shape, Bytes weights, double batch, double rho) {
  if (!shape.mixture() || shape.experts <= shape.experts_used) return weights;
  const double experts = shape.experts;
  const double per_expert = (shape.params - shape.active) / (experts - shape.experts_used);
  const double shared = std::max(0.0, shape.params - per_expert * experts);
  const double missed = 1 - shape.experts_used / experts;
  const double touched = 1 - std::pow(missed, std::pow(std::max(batch, 1.0), rho));
  return weights * ((shared + per_expert * experts * touched) / shape.params);
}

Flops decode_flops(const ModelShape& shape) { return Flops(2 * shape.active); }

Seconds communication(const ModelShape& shape, const Placement& place, double tokens) {
  if (place.tensor_parallel <= 1) return Seconds(0);
  const double tp = place.tensor_parallel;
  const double link =
      place.device.link.value() > 0 ? place.device.link.value() : kUnknownLinkBytesPerSecond;
  const Seconds latency = link >= kFastLinkBytesPerSecond ? kFastLinkLatency : kSlowLinkLatency;
  const Bytes sent(2 * (tp - 1) / tp * tokens * shape.width * kActivationBytes);
  return (latency + sent / BytesPerSecond(link)) * (2.0 * shape.layers);
}

Seconds decode_step(const ModelShape& shape, Bytes weights, const Placement& place, double batch,
                    double context, double kv_element_bytes, const DecodeEfficiency& efficiency) {
  const double tp = place.tensor_parallel;
  const BytesPerSecond bandwidth = place.device.data_bandwidth() * tp;
  const FlopsPerSecond peak = place.device.arithmetic_peak() * tp;
  const Bytes read = weights_read(shape, weights, batch, efficiency.expert_reuse);
  const double layer_bytes = shape.attention == Attention::kLatent
                                 ? static_cast<double>(shape.kv_latent) + shape.rope_dim
                                 : 2.0 * shape.kv_heads * shape.head_dim;
  const double whole = static_cast<double>(shape.layers) - shape.window_layers;
  const double seen =
      whole * context + shape.window_layers * std::min<double>(context, shape.window);
  const Bytes kv = shape.attention == Attention::kStateSpace
                       ? Bytes(shape.state_bytes)
                       : Bytes(layer_bytes * seen * kv_element_bytes);
  const Seconds flops = decode_flops(shape) / peak;
  const double further = std::max(0.0, batch - 1);
  const double hops = static_cast<double>(place.devices) / tp - 1;
  return efficiency.bytes_cost * (read / bandwidth) +
         efficiency.kv_cost * batch * (kv / bandwidth) + efficiency.flops_cost * flops +
         efficiency.layer * static_cast<double>(shape.layers) +
         further * (efficiency.batch_flops_cost * flops + efficiency.sequence) +
         efficiency.split * std::max(0.0, hops) + communication(shape, place, batch);
}

Flops prefill_flops(const ModelShape& shape, double tokens, double depth) {
  const double linear = 2 * shape.active * tokens;
  if (shape.attention == Attention::kStateSpace) return Flops(linear);
  const double heads = static_cast<double>(shape.heads) * shape.head_dim;
  // Twice the tokens that one sees on average: n + 2 depth, or two windows.
  const double seen = tokens + 2 * depth;
  const double in_window = std::min(seen, 2.0 * shape.window);
  const double whole = static_cast<double>(shape.layers) - shape.window_layers;
  return Flops(linear + 2 * heads * tokens * (whole * seen + shape.window_layers * in_window));
}

Seconds prefill_time(const ModelShape& shape, double tokens, const Placement& place, double eta,
                     double depth, double ubatch, double pipeline_exponent) {
  const double tp = place.tensor_parallel;
  const Seconds alone =
      prefill_flops(shape, tokens, depth) / (place.device.prefill_peak() * (eta * tp));
  const double parts = std::clamp(static_cast<double>(place.devices) / tp, 1.0, kChunksUnderWay);
  const double chunks = std::max(1.0, std::ceil(tokens / ubatch));
  const double ideal = chunks * parts / (chunks + parts - 1);
  return alone / std::pow(ideal, pipeline_exponent) + communication(shape, place, tokens);
}

double pipeline_exponent(const ModelShape& shape, const Quant& quant) {
  constexpr double kLargeParams = 30e9;
  if (shape.params < kLargeParams) return 0.85;
  return quant.bits_per_weight >= 16 ? 0.5 : 0.15;
}

double speculation_factor(double acceptance, double guesses, double cost_ratio) {
  const double a = std::clamp(acceptance, 0.0, 0.999999);
  return (1 - std::pow(a, guesses + 1)) / ((1 - a) * (1 + guesses * cost_ratio));
}

}  // namespace holdfast::planner
