// What `bench --calibrate` measured, as the planner takes it: measured over predicted speeds.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/cli/calibration.h"
#include "holdfast/planner/problem.h"

namespace holdfast::cli {

// The machine of a calibration as a device of the planner: class cpu, with the id that `plan probe`
// gives it.
Result<planner::Device> device_of(const CalibratedMachine& machine);

// The exact sizes of a model that was measured, by its name; nullopt where it is not known any
// more.
using ShapeOf = std::function<std::optional<planner::ModelShape>(const std::string& name)>;

// Efficiencies of that machine, fitted on all points (planner::fit_local); where there are too few
// kinds of points, factors by which it is faster than `device` is predicted: medians. Sigma is then
// the spread of the logarithms, at least 0.05 and at most 0.5. Models that `shape_of` does not know
// have the sizes that so many parameters usually have.
planner::Calibration calibration_of(const Calibration& measured, const planner::Device& device,
                                    const ShapeOf& shape_of);

// Reads a calibration file, and adds it and its machine, unless the machine is there already.
// kInvalidArgument names the file and the member.
Status add_calibration(std::string_view text, const std::string& name, const ShapeOf& shape_of,
                       planner::ProblemInputs& inputs);

}  // namespace holdfast::cli
