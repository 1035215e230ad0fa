// The simulation held to account: its latencies beside published server runs (PL-07).
#pragma once

#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/efficiencies.h"
#include "holdfast/planner/measurements.h"

namespace holdfast::planner {

// A run under Poisson load, with the same system's rate without a limit on latency.
struct ServerRun {
  std::string system;  // "submitter/platform"
  Measurement offline;
  double scheduled_rps = 0;  // samples per second that arrived
  double ttft_p50_ms = 0;
  double ttft_p99_ms = 0;
  double tpot_mean_ms = 0;
};

// Rows of a file with the columns of validation_latency.csv that have percentiles of the first
// token, joined with rows of a file like validation.csv by submitter, platform and model; rows
// without an offline rate are left out. kInvalidArgument names the line that is malformed.
Result<std::vector<ServerRun>> parse_server_runs(std::string_view latency_csv,
                                                 std::string_view rows_csv,
                                                 const DeviceTable& devices,
                                                 const std::vector<ModelShape>& models);
// The shipped rows, parsed once.
const std::vector<ServerRun>& shipped_server_runs();

struct LatencyCheck {
  std::string system;
  std::string model;
  std::string device;
  std::uint32_t replicas = 1;
  double speed = 1;  // that makes the simulated maximum equal the measured one
  double load = 0;   // scheduled over offline rate
  // Predicted over measured, less one.
  double ttft_p50_error = 0;
  double ttft_p99_error = 0;
  double tpot_mean_error = 0;
  bool within(double most) const;  // all three
};

// One replica is the least power of two of devices whose weights fill at most 60 % of what models
// may use there, so that a batch has room. All times of the steps are divided by one number, so
// that the simulated maximum is the measured one; nothing else is fitted. Prompts and answers are
// lognormal: the mean of the data set, cv 1 for prompts (the planner's default), and for answers
// 0.63 (OpenOrca) or 0.81 (the set of Mixtral), the spread that p90 over p50 of the runs' latencies
// implies (2.1 and 2.5, the same in every run).
//
// Known gap: of the 44 shipped runs none is within 30 % in all three. Mean time per token comes out
// about 80 % too short. The real servers run some 900 sequences per replica at nine tenths of their
// offline rate, so their steps have a large part that does not grow with the batch; where
// arithmetic hides the reading of weights, the simulated step has none, and a tenth of the load to
// spare keeps its batch small. One overhead for all runs does not mend it: at best a third of them
// fits.
Result<LatencyCheck> check_latency(const ServerRun& run, const Efficiencies& efficiencies);

}  // namespace holdfast::planner
