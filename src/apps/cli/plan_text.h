// A plan for the terminal: what is recommended, the options side by side, why others are out.
#pragma once

#include <string>

#include "holdfast/planner/plan.h"

namespace holdfast::cli {

struct PlanTextOptions {
  std::size_t width = 100;
  bool explain = false;  // with the reasons of all options, thresholds and defaults
  bool portuguese = false;
};

std::string plan_text(const planner::Plan& plan, const PlanTextOptions& options);

// "12,345" for people; cents below 100.
std::string money_text(double amount);
// Three significant digits.
std::string short_number(double value);

}  // namespace holdfast::cli
