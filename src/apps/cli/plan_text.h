// What the report leaves out: every reason, threshold and default, and where one figure is from.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/planner/plan.h"

namespace holdfast::cli {

// `plan --explain`: each option with its rules and thresholds, then the defaults that were used.
std::string explanation_text(const planner::Plan& plan, bool portuguese);

// `plan explain QUANTITY`: how a figure of the recommended option comes about, with its numbers.
// kInvalidArgument for a quantity that nobody explains, with the nearest names; kNotFound where
// nothing is recommended.
Result<std::string> explain_quantity(const planner::Plan& plan, std::string_view quantity);
// "npv, capex, ...".
std::string explained_quantities();

// "12,345" for people; cents below 100.
std::string money_text(double amount);
// Three significant digits.
std::string short_number(double value);

}  // namespace holdfast::cli
