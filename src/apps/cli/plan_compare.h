// Two plans side by side.
#pragma once

#include <string>
#include <vector>

#include "holdfast/json/json.h"
#include "holdfast/planner/plan.h"

namespace holdfast::cli {

struct Difference {
  std::string quantity;
  std::string before;
  std::string after;
};

// Figures of the first recommended option of each, equal ones included.
std::vector<Difference> compare_plans(const planner::Plan& before, const planner::Plan& after);
// Options whose status differs, those that are in one plan only included.
std::vector<Difference> status_changes(const planner::Plan& before, const planner::Plan& after);
json::Array differences_json(const std::vector<Difference>& list);
// A table of the figures.
std::string comparison_text(const std::vector<Difference>& rows, std::size_t width);

}  // namespace holdfast::cli
