// The planner's calibration file (docs/formats/calibration.md): what `bench --calibrate` measured
// on one machine, of one or more models. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::cli {

inline constexpr std::string_view kCalibrationSchema = "holdfast.calibration/1";
// Limits of a file: a hundred times what a machine with many models needs.
inline constexpr std::size_t kCalibrationBytesMax = std::size_t{4} << 20;
inline constexpr std::size_t kCalibratedModelsMax = 1000;
inline constexpr std::size_t kCalibrationPointsMax = 1000;  // of one model

struct CalibratedMachine {
  std::string cpu;
  std::int64_t threads = 1;  // that computed
  std::string isa;
  std::int64_t memory_bytes = 0;
  double bandwidth_bytes_per_s = 0;
  double int8_ops_per_s = 0;
  double f32_ops_per_s = 0;
  std::optional<double> disk_read_bytes_per_s;  // not known where no file was large enough

  // Processor, threads and instruction set: what speeds of models depend on.
  bool same_as(const CalibratedMachine& other) const;
};

struct CalibrationPoint {
  bool prefill = false;     // else decode
  std::int64_t tokens = 0;  // of the prompt; of each sequence's answer
  std::int64_t batch = 1;   // sequences together
  std::int64_t depth = 0;   // tokens of each that stand before
  double tokens_per_s = 0;  // of all sequences
};

struct CalibratedModel {
  std::string name;
  std::int64_t params = 0;  // elements of all tensors
  std::int64_t weights_bytes = 0;
  std::int64_t layers = 0;
  std::string quant;    // "Q4_K_M"
  std::string kv_type;  // of the cache while it was measured
  double start_s = 0;   // from starting the process to the first token, the file in memory
  std::vector<CalibrationPoint> points;
};

struct Calibration {
  CalibratedMachine machine;
  std::string date;                     // of the newest model, RFC 3339
  std::vector<CalibratedModel> models;  // by name
};

// kInvalidArgument names the member that is missing, unknown, of the wrong kind or out of range, or
// the schema if it is another; kExhausted above a limit.
Result<Calibration> parse_calibration(std::string_view text);
// Canonical: members in the order of the document, models by name, shortest numbers, indented by
// two, a line break at the end. Equal values give equal bytes.
std::string write_calibration(const Calibration& calibration);

// `known` with a model more: it replaces the one of its name; machine and date are the new ones.
// Of another machine nothing is kept: its speeds would be taken for this one's.
Calibration with_model(const std::optional<Calibration>& known, CalibratedMachine machine,
                       std::string date, CalibratedModel model);

}  // namespace holdfast::cli
