// `holdfast bench MODEL --calibrate`: what the planner needs to know of this machine.
#pragma once

#include <cstdint>
#include <string>

#include "../context.h"
#include "holdfast/base/result.h"

namespace holdfast::cli {

struct CalibrateFlags {
  std::string model;
  std::string out;               // empty: planner/calibration.json of the data directory
  std::int64_t repetitions = 5;  // of each point at most, >= 1
  bool print = true;             // what was measured
};

// Measures limits of the machine, start, prefill and decoding of the model within a minute, and
// puts them into the calibration file (calibration.h). Points for which there is no time left are
// not measured, which is said. kInvalidArgument, before anything is measured, for a file that is
// there and is no calibration; the engine's errors.
Status bench_calibrate(const Context& context, const CalibrateFlags& flags);

}  // namespace holdfast::cli
