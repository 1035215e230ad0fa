// The hash that says whether two plans were made from the same inputs.
#pragma once

#include <string>

#include "holdfast/planner/problem.h"

namespace holdfast::planner {

// 64 hexadecimal digits: SHA-256 of the document, the date, the trace, and every field of the
// prices, devices, models and calibrations that the plan may use, files of the user included.
std::string inputs_digest(const ProblemInputs& inputs, const Problem& problem);

}  // namespace holdfast::planner
