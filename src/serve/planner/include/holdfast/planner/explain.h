// Where a number of a plan comes from: formula, numbers, source.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/plan.h"
#include "holdfast/planner/report.h"

namespace holdfast::planner {

// The quantities that this option has: "decode", "memory.kv", "cost.energy", ... A line of the
// ledger with a space in its name has a hyphen there.
std::vector<std::string> quantities(const PlanOption& option);

// The derivation of a quantity of the recommended option (of the first part, where there are
// several), or of another as QUANTITY@OPTION_ID: the formula with symbols, then with numbers and
// units, what the symbols are, and the section of the specification. What the plan does not hold is
// computed again with the shipped efficiencies and the problem's calibrations. `problem` must be
// the one that the plan was made from. kInvalidArgument with the nearest names for an unknown
// quantity or option, and where nothing is recommended.
Result<std::string> explain_quantity(const Plan& plan, const Problem& problem,
                                     std::string_view quantity, Language language);

}  // namespace holdfast::planner
