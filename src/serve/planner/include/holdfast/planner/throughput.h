// The most that a batching server can deliver, for screening: specification, section 9.
#pragma once

#include <cstdint>

#include "holdfast/planner/rates.h"

namespace holdfast::planner {

// A server that batches and computes in 8 bits. Shares of the device's limits.
struct BatchProfile {
  double bandwidth_share = 0.85;
  double decode_flops_share = 0.30;   // of the 8-bit peak
  double prefill_flops_share = 0.45;  // of the 8-bit peak
  double communication_factor = 0;    // of communication(); the specification's screen has none
  double memory_share = 0.90;         // u
  Bytes workspace = gigabytes(2);     // per device
  double batch_max = 2048;
  double kv_element_bytes = 1;
  FlopsPerSecond peak{0};  // per device, in the type of the products; 0: its 8-bit peak
};

// The peak in which an engine computes with weights of that format: FP4 where the device has it,
// 8 bits, or 16.
FlopsPerSecond compute_peak(const Device& device, const Quant& quant);

// Profile `trtllm-default` of the specification: fitted on 60 published rows, mean |ln error| 0.16.
BatchProfile trtllm_default();

struct ThroughputCap {
  double batch = 0;        // b*: sequences at once
  Seconds step;            // t(b*)
  Seconds step_compute;    // its part of weights and arithmetic
  Seconds step_kv;         // its part of keys and values
  Seconds prefill;         // of one prompt
  PerSecond requests;      // r_max
  TokensPerSecond tokens;  // of output
};

// r_max = b / (OSL t(b) + b t_pf), with t(b) = max(W / BW_e, 2 A b / F_e) + b KV (ISL + OSL/2) /
// BW_e, at the largest batch that memory and `step_max` allow. `beams` sequences are decoded for
// each request. Zero throughput where the model does not fit. One replica: `place.devices` devices
// in tensor parallel.
ThroughputCap throughput_cap(const ModelShape& shape, Bytes weights, const Placement& place,
                             double isl, double osl, const BatchProfile& profile,
                             Seconds step_max = Seconds(1e9), double beams = 1);

}  // namespace holdfast::planner
