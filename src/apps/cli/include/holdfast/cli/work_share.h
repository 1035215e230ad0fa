// What share of the machine's limits a measured speed is: what one token costs, against what the
// machine can do. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace holdfast::cli {

// Of one token of a model. Attention and the output head are not counted.
struct TokenCost {
  double int8_macs = 0;      // multiply-adds of the blocks' matrices, of quantised weights
  double f32_macs = 0;       // and of float weights
  double weights_bytes = 0;  // read once per step, whatever the number of sequences
  double kv_bytes = 0;       // keys and values of one position

  // One tensor more. `elements` of a matrix are its multiply-adds; `tied`: the embedding is the
  // output head too, and is read whole.
  void add_tensor(std::string_view name, unsigned dimensions, double elements, double bytes,
                  bool float_weights, bool tied);
};

// What the machine does at most; 0: not measured.
struct WorkLimits {
  double memory_bytes_per_second = 0;
  double int8_ops_per_second = 0;
  double f32_ops_per_second = 0;
};

enum class Limit : std::uint8_t { kMemory, kInt8, kF32 };
std::string_view limit_name(Limit limit);  // "memory", "int8", "f32"

struct Share {
  double share = 0;  // of 1
  Limit limit = Limit::kMemory;
};

// Of reading a prompt at that speed: the time that the arithmetic alone would take. Named after the
// unit that does more of it. Nothing where a limit that is needed was not measured.
std::optional<Share> prefill_share(const TokenCost& cost, double tokens_per_second,
                                   const WorkLimits& limits);
// Of decoding `batch` sequences that hold `positions` tokens each: weights once and keys and values
// of all, per step, over the memory bus. A model that fits in a cache can exceed 1.
std::optional<Share> decode_share(const TokenCost& cost, double tokens_per_second, double batch,
                                  double positions, const WorkLimits& limits);

}  // namespace holdfast::cli
