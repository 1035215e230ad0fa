// Plans for the tests of the reports: one by hand, and some that the planner makes.
#pragma once

#include <string>
#include <vector>

#include "holdfast/planner/plan.h"

namespace holdfast::planner {

// Three options that stand (buy, rent, tokens) and seven that do not fit; costs are round.
Plan small_plan();

struct RealCase {
  Problem problem;
  Plan plan;
};
// Made once, with few draws: buying, renting, tokens, several classes, nothing feasible, edge.
const std::vector<RealCase>& real_cases();
std::vector<Plan> real_plans();

// Whether report_strings.def has the word.
bool has_word(const std::string& key);

}  // namespace holdfast::planner
