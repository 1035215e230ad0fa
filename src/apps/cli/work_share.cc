#include "holdfast/cli/work_share.h"

namespace holdfast::cli {

void TokenCost::add_tensor(std::string_view name, unsigned dimensions, double elements,
                           double bytes, bool float_weights, bool tied) {
  // One row of an embedding that is nothing else is read for a token.
  if (name != "token_embd.weight" || tied) weights_bytes += bytes;
  if (!name.starts_with("blk.") || dimensions < 2) return;
  (float_weights ? f32_macs : int8_macs) += elements;
}

std::string_view limit_name(Limit limit) {
  switch (limit) {
    case Limit::kMemory:
      return "memory";
    case Limit::kInt8:
      return "int8";
    case Limit::kF32:
      return "f32";
  }
  return "memory";
}

std::optional<Share> prefill_share(const TokenCost& cost, double tokens_per_second,
                                   const WorkLimits& limits) {
  double int8_seconds = 0;
  double f32_seconds = 0;
  if (cost.int8_macs > 0) {
    if (limits.int8_ops_per_second <= 0) return std::nullopt;
    int8_seconds = 2 * cost.int8_macs / limits.int8_ops_per_second;
  }
  if (cost.f32_macs > 0) {
    if (limits.f32_ops_per_second <= 0) return std::nullopt;
    f32_seconds = 2 * cost.f32_macs / limits.f32_ops_per_second;
  }
  if (int8_seconds + f32_seconds <= 0) return std::nullopt;
  return Share{(int8_seconds + f32_seconds) * tokens_per_second,
               f32_seconds > int8_seconds ? Limit::kF32 : Limit::kInt8};
}

std::optional<Share> decode_share(const TokenCost& cost, double tokens_per_second, double batch,
                                  double positions, const WorkLimits& limits) {
  if (limits.memory_bytes_per_second <= 0 || batch <= 0) return std::nullopt;
  const double step_bytes = cost.weights_bytes + cost.kv_bytes * positions * batch;
  return Share{step_bytes * (tokens_per_second / batch) / limits.memory_bytes_per_second,
               Limit::kMemory};
}

}  // namespace holdfast::cli
