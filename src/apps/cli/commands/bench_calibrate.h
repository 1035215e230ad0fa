// `holdfast bench MODEL --calibrate`: what the planner needs to know of this machine.
#pragma once

#include <string>

#include "../context.h"
#include "holdfast/base/result.h"

namespace holdfast::cli {

// Measures limits of the machine, start, prefill and decoding of the model within a minute, and
// puts them into the calibration file (calibration.h): `out`, or planner/calibration.json of the
// data directory. Points for which there is no time left are not measured, which is said.
// kInvalidArgument, before anything is measured, for a file that is there and is no calibration;
// the engine's errors.
Status bench_calibrate(const Context& context, const std::string& model, const std::string& out);

}  // namespace holdfast::cli
