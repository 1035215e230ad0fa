// Changes to the inputs of a plan: `plan what-if workload.users=500 prices.ID=2.5`.
#pragma once

#include <string>
#include <vector>

#include "holdfast/base/result.h"
#include "plan_documents.h"

namespace holdfast::cli {

struct PlanEdit {
  std::string path;   // "models[0].name", "prices.nebius/nvidia-h100-80-sxm@gpu_hour"
  std::string value;  // as JSON where it is JSON, else a text
};

// "path=value". kInvalidArgument for anything else.
Result<PlanEdit> parse_edit(const std::string& text);

// Sets the field, and makes the tables on the way to it; an index one past the end adds an element.
// Prices are found by id among those of the problem, by "@kind" where an id has several.
// kInvalidArgument names the path.
Status apply_edit(const PlanEdit& edit, const planner::PriceBook& book, PlanSources& sources);

}  // namespace holdfast::cli
