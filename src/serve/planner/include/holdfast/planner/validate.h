// The planner held to account: its predictions beside measured rows.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/planner/efficiencies.h"
#include "holdfast/planner/measurements.h"

namespace holdfast::planner {

struct Prediction {
  std::string id;      // of the row
  std::string kind;    // of the row
  std::string metric;  // "prefill_tps", "decode_tps", "throughput_tps"
  std::string device;
  std::string device_class;  // whose efficiencies were used
  double measured = 0;
  Band predicted;
  // Another row contradicts it: the same device, model and length read a prompt at less than half
  // the speed with 16-bit weights than with quantised ones, which need more arithmetic. Such runs
  // were throttled or fell back to other kernels; they are predicted and counted all the same.
  bool contradicted = false;
  bool within() const { return measured >= predicted.p10 && measured <= predicted.p90; }
  double error() const { return predicted.p50 / measured - 1; }
};

// Sets `contradicted` where both rows are among these.
void mark_contradicted(const std::vector<Measurement>& rows, std::vector<Prediction>& predictions);

// What the row's kind is measured for: one prediction for each rate that it gives.
std::vector<Prediction> predict_row(const Measurement& row, const Efficiencies& efficiencies);

// Every row, each by efficiencies that were fitted without its device.
std::vector<Prediction> leave_one_device_out(const std::vector<Measurement>& rows);

struct ErrorSummary {
  std::string name;  // of the class, with the metric before it; or of all rows of a metric
  std::size_t rows = 0;
  std::size_t devices = 0;
  double mean_error = 0;    // mean |error|: MAPE
  double median_error = 0;  // median |error|
  double p90_error = 0;     // 90th percentile of |error|
  double coverage = 0;      // share of rows inside p10 to p90
};
// One for each metric and class, one over all classes of each metric ("decode_tps, all"), and where
// rows are contradicted, one without these ("prefill_tps, all but contradicted").
std::vector<ErrorSummary> summarize(const std::vector<Prediction>& predictions);

}  // namespace holdfast::planner
