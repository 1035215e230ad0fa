// What `bench --calibrate` measured, as the planner takes it: measured over predicted speeds.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/cli/calibration.h"
#include "holdfast/planner/problem.h"

namespace holdfast::cli {

// The machine of a calibration as a device of the planner: class cpu, with the id that `plan probe`
// gives it.
Result<planner::Device> device_of(const CalibratedMachine& machine);

// The machine's own efficiencies, and for what these do not cover factors by which the machine is faster than `device` is predicted: medians over the points of all
// models. Sigma is the spread of the logarithms, at least 0.05 and at most 0.5; a kind that was not
// measured has the factor 1.
planner::Calibration calibration_of(const Calibration& measured, const planner::Device& device);

// Reads a calibration file, and adds it and its machine, unless the machine is there already.
// kInvalidArgument names the file and the member.
Status add_calibration(std::string_view text, const std::string& name,
                       planner::ProblemInputs& inputs);

}  // namespace holdfast::cli
