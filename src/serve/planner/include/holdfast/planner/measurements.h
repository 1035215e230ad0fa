// Measured speeds of real systems: the rows that efficiencies are fitted on and judged by.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/device.h"
#include "holdfast/planner/model_shape.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

// The `kind` column of validation.csv.
enum class MeasurementKind : std::uint8_t {
  kLlamaBench,
  kLlamaBenchDepth,
  kBatchedBench,
  kOllama,
  kLocalScore,
  kMlperfOffline,
  kMlperfServer,
  kTrtLlm,
};
std::string_view measurement_kind_name(MeasurementKind kind);

// One row, with its device and model found.
struct Measurement {
  std::string id;
  MeasurementKind kind{};
  Device device;
  std::uint32_t devices = 1;
  ModelShape model;
  Quant quant{};
  Bytes weights;
  double prompt_tokens = 0;  // 0: not given
  double output_tokens = 0;
  double depth = 0;
  double batch = 1;
  double beams = 1;
  std::optional<double> prefill_tps;
  std::optional<double> decode_tps;  // of all sequences together
  std::optional<double> watts;       // at the wall, peak
  // An engine of the llama.cpp class since 2025: flash attention, graphs. Before: not.
  bool current_engine = false;

  // One sequence at a time.
  bool single_stream() const;
};

struct MeasurementRow {
  std::string id;
  std::string kind;
  std::optional<Measurement> measurement;
  std::string problem;  // why there is none: an unknown device, ...
};

// Rows of a file with the columns of validation.csv. A row whose device is not in the table has a
// problem instead of a measurement; a model that is not in the table is estimated from its
// parameters. kInvalidArgument names the line of a row that is malformed.
Result<std::vector<MeasurementRow>> parse_measurements(std::string_view csv, std::string_view name,
                                                       const DeviceTable& devices,
                                                       const std::vector<ModelShape>& models);

// The shipped rows, parsed once.
const std::vector<Measurement>& shipped_measurements();

}  // namespace holdfast::planner
