// From a candidate to an option of the plan: costs, latencies, lists.
#pragma once

#include "candidates.h"
#include "holdfast/planner/plan.h"

namespace holdfast::planner {

std::string option_id(const Found& found, const std::string& prefix);
// Everything but statuses, draws and thresholds.
PlanOption make_option(const Problem& problem, const Slice& slice, const Found& found,
                       const std::string& prefix);
// Latencies of a simulation of the sized hour, with the bands of the rates; the number of replicas
// grows until the limits hold. False with a reason where no number of them does.
bool simulate_option(const Problem& problem, const Slice& slice, Found& found, PlanOption& option);
// Of the same option under chain_latency() alone.
void screen_latency(const Problem& problem, const Slice& slice, const Found& found,
                    PlanOption& option);

}  // namespace holdfast::planner
