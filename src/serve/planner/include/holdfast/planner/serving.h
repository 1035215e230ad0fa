// One replica of a model on a placement: how fast it steps, how much it holds, how long one waits.
#pragma once

#include <optional>
#include <string>

#include "holdfast/planner/efficiencies.h"
#include "holdfast/planner/memory.h"
#include "holdfast/planner/problem.h"
#include "holdfast/planner/rates.h"
#include "holdfast/planner/simulate.h"
#include "holdfast/planner/throughput.h"

namespace holdfast::planner {

// Mean lengths of the requests, prefix hits taken off the prompt's work but not off its memory.
struct RequestShape {
  double isl = 0;
  double osl = 0;
  double isl_p99 = 0;
  double osl_p99 = 0;
  double prefix_share = 0;
  double osl_cv = 1;
  // Tokens that stand in a running sequence on average: long answers run longer and are seen more
  // often, so it is ISL + OSL (1 + cv^2) / 2.
  double running_context() const { return isl + osl * (1 + osl_cv * osl_cv) / 2; }
  double work_isl() const { return isl * (1 - prefix_share); }
};
RequestShape request_shape(const WorkloadClass& c, double prefix_share);
Lengths simulation_lengths(const LengthSpec& spec);

// Of the 44 published server runs whose offline rate is known (latency_validation.h): one number
// for all of them. Below a load of 0.6 the formula's own small steps are nearer.
inline constexpr double kFixedShare = 0.3;
inline constexpr double kLoadedFrom = 0.6;

// Immutable; thread-safe.
class ServedModel {
 public:
  // `speed` scales all rates: 1 is the median prediction.
  ServedModel(const ModelNeed& model, const Quant& quant, const Placement& place,
              EngineProfile profile, const Efficiencies& efficiencies,
              const std::vector<Calibration>& calibrations);

  const Placement& place() const { return place_; }
  const Quant& quant() const { return quant_; }
  const ModelShape& shape() const { return model_->shape; }
  // Whether the engine is of the class of batching servers in 8 bits (section 9), or of llama.cpp.
  bool batching_server() const { return batching_; }
  const std::string& rate_class() const { return class_; }

  Seconds step(double batch, double context, double speed = 1) const;
  Seconds prefill(double tokens, double speed = 1) const;
  // Largest batch that memory holds at the mean length, and the engine runs; 0: not even one
  // request of the 99th percentile fits.
  double batch_max(const RequestShape& request) const;
  // Memory at that batch.
  MemoryNeed memory(const RequestShape& request, double batch) const;
  double kv_element_bytes() const { return kv_element_; }

  // b* and the most requests per second: r_max of section 9, with t(b) + (b / OSL) t_pf within the
  // limit of a token.
  struct Cap {
    double batch = 0;
    PerSecond requests;
    TokensPerSecond tokens;
  };
  Cap cap(const RequestShape& request, double tpot_max_ms, double speed = 1) const;

  StepCoefficients coefficients(const RequestShape& request, double speed = 1) const;
  // Of a batching server near its most: the throughput of real ones rises slowly with the batch, so
  // of a step at `batch_cap` with its share of prompts, kFixedShare does not shrink with the batch.
  // Throughput at the cap is that of coefficients(). Other engines: the same as coefficients().
  StepCoefficients loaded_coefficients(const RequestShape& request, double batch_cap) const;
  EngineLimits limits(const RequestShape& request, double batch) const;

  double decode_sigma() const { return decode_sigma_; }
  double prefill_sigma() const { return prefill_sigma_; }
  double throughput_sigma() const { return throughput_sigma_; }

 private:
  double eta_at(double tokens) const;

  const ModelNeed* model_;
  Quant quant_;
  Placement place_;
  Bytes weights_;
  double kv_element_ = 2;
  bool batching_ = false;
  std::string class_;
  DecodeEfficiency decode_;
  double eta_ = 0.3;      // of prefill at 1024 tokens
  double eta_slope_ = 0;  // d ln eta / d ln n
  std::optional<LocalEfficiency> local_;
  BatchProfile profile_;
  double decode_factor_ = 1;
  double prefill_factor_ = 1;
  double decode_sigma_ = 0;
  double prefill_sigma_ = 0;
  double throughput_sigma_ = 0;
  double batch_limit_ = 1;
};

// Latencies in seconds, each at the 50th and 99th percentile of requests.
struct Latency {
  Seconds ttft_p50, ttft_p99, tpot_p50, tpot_p99, e2e_p99;
  double utilisation = 0;
  bool unstable = false;
  std::string tier;  // "processor-sharing chain", "single slot", "simulation"
};

// Tier 1 of section 10: a chain of one replica that gets `rate`; waits are stretched by the
// burstiness of arrivals, (c_a^2 + 1) / 2.
Latency chain_latency(const ServedModel& replica, const RequestShape& request, double batch,
                      PerSecond rate, double c2a, double speed = 1);

}  // namespace holdfast::planner
