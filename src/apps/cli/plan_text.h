// What the report leaves out: every reason, threshold and default.
#pragma once

#include <string>

#include "holdfast/planner/plan.h"

namespace holdfast::cli {

// `plan --explain`: each option with its rules and thresholds, then the defaults that were used.
std::string explanation_text(const planner::Plan& plan, bool portuguese);

// "12,345" for people; cents below 100.
std::string money_text(double amount);
// Three significant digits.
std::string short_number(double value);

}  // namespace holdfast::cli
