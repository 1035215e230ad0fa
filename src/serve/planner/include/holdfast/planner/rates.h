// How long prefill and decode take: specification, sections 7 and 8. Pure arithmetic; the
// efficiencies come from efficiencies.h.
#pragma once

#include <cstdint>

#include "holdfast/planner/device.h"
#include "holdfast/planner/model_shape.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

// What share of the limits an engine reaches on a class of devices, as costs: 1 is the limit
// itself.
struct DecodeEfficiency {
  double bytes_cost = 1;        // 1 / eta_bw, of weights
  double kv_cost = 1;           // kappa / eta_bw, of keys and values
  double flops_cost = 0;        // of the first sequence, as a factor of 2 A / F
  Seconds layer;                // c
  double batch_flops_cost = 0;  // 1 / eta_d, of each further sequence
  Seconds sequence;             // e, of each further sequence
  Seconds split;                // of each further device that holds layers (not tensor parallel)
  double expert_reuse = 1;      // rho: 1 for independent routing, 0.5 for repeated prompts
};

// A place to run on: devices that hold one copy of the model.
struct Placement {
  Device device;
  std::uint32_t devices = 1;
  std::uint32_t tensor_parallel = 1;  // of `devices`; the rest splits layers
};

// Bytes of weights that a step of `batch` sequences reads: experts that none of them chose are
// skipped, W_shared + W_exp (1 - (1 - k/E)^(b^rho)).
Bytes weights_read(const ModelShape& shape, Bytes weights, double batch, double rho);

// Bytes of arithmetic of one token: 2 A.
Flops decode_flops(const ModelShape& shape);

// What tensor parallelism adds to a step: 2 L (alpha + 2 (TP-1)/TP b d s / BW_link). 0 for TP 1.
Seconds communication(const ModelShape& shape, const Placement& place, double tokens);

// One step in which each of `batch` sequences, holding `context` tokens on average, gains a token:
//   bytes_cost W_read / BW + kv_cost b KV / BW + flops_cost 2 A / F + c L
//   + (b - 1) (batch_flops_cost 2 A / F + e) + t_comm
Seconds decode_step(const ModelShape& shape, Bytes weights, const Placement& place, double batch,
                    double context, double kv_element_bytes, const DecodeEfficiency& efficiency);

// FLOPs of reading n tokens behind `depth` others: 2 A n + 2 L h d_h (n^2 + 2 n depth); a layer
// with a window sees no more than it.
Flops prefill_flops(const ModelShape& shape, double tokens, double depth = 0);

// Reading a prompt of `tokens` in chunks of `ubatch` when products reach the share `eta` of the
// device's prefill peak. Several devices that split layers are a pipeline of the chunks, at most
// four of them under way; what it gains is raised to `pipeline_exponent` (0: nothing, 1: all).
Seconds prefill_time(const ModelShape& shape, double tokens, const Placement& place, double eta,
                     double depth = 0, double ubatch = 512, double pipeline_exponent = 0.85);
// As rows of two to eight cards show it: models below 30B parameters gain most of it, larger ones
// half with 16-bit weights and next to nothing with quantised ones.
double pipeline_exponent(const ModelShape& shape, const Quant& quant);

// Tokens per step of speculative decoding against one, over its cost:
// (1 - a^(k+1)) / ((1 - a)(1 + k r)); a acceptance in [0, 1), k guesses, r cost of a guess.
double speculation_factor(double acceptance, double guesses, double cost_ratio);

}  // namespace holdfast::planner
