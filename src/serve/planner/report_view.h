// What both reports show of a plan, in the order in which they show it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "holdfast/planner/plan.h"
#include "speech.h"

namespace holdfast::planner {

// Options that one rule removed.
struct RemovedGroup {
  std::string rule;
  std::vector<const PlanOption*> options;
  const Reason* example = nullptr;  // of the first
};

// A part of the workload. Pointers live as long as the plan.
struct ClassView {
  std::string name;
  const PlanOption* best = nullptr;     // null where nothing is feasible
  std::vector<const PlanOption*> kept;  // the recommended first, then by cost
  std::vector<RemovedGroup> removed;    // the largest first
};
std::vector<ClassView> class_views(const Plan& plan);

// The reason that removed an option; null for one that stands.
const Reason* removal(const PlanOption& option);
const Reason* reason_by(const PlanOption& option, std::string_view rule);
// The cheapest of each mode among what is kept, by cost.
std::vector<const PlanOption*> best_of_modes(const ClassView& view);
// Not beaten in cost and first token at once, by cost.
std::vector<const PlanOption*> front(const ClassView& view);
// At most so many for a table: the recommended first, the best of each mode for certain, and of the
// rest those that nothing beats before the others.
std::vector<const PlanOption*> worth_showing(const ClassView& view, std::size_t most);
// Of the recommended options first, then stale ones, then of the best of each mode.
std::vector<const Price*> prices_by_use(const Plan& plan, const std::vector<ClassView>& views);

double per_month(const Plan& plan, const PlanOption& option);
// Undiscounted sum of a ledger line; in one year (1 is the first) where that is given.
double line_sum(const PlanOption& option, std::string_view line, std::size_t year = 0);
// Of the time to the first token, and of the whole answer.
double network_share_first(const LatencyBudget& budget);
double network_share_answer(const LatencyBudget& budget);
// Cumulated payments: [12 * horizon + 1].
std::vector<double> cumulated(const PlanOption& option);
// The month from which on `option` has cost no more than `other`; nullopt: never.
std::optional<int> even_month(const PlanOption& option, const PlanOption& other);
bool is_stale(const Plan& plan, const Price& price);

// "2 x device", with the provider where there is one.
std::string place_text(const Speech& speech, const PlanOption& option);
// What is recommended, why, and how sure: a sentence each.
std::vector<std::string> headline(const Speech& speech, const Plan& plan, const ClassView& view);
// The sentences of a plan with several parts, or without a recommendation; empty otherwise.
std::vector<std::string> overall(const Speech& speech, const Plan& plan);
std::string threshold_sentence(const Speech& speech, const Threshold& t);
std::vector<std::string> pilot_sentences(const Speech& speech, const PlanOption& option);
std::vector<std::string> latency_sentences(const Speech& speech, const PlanOption& option);
std::vector<std::string> people_sentences(const Speech& speech, const Plan& plan,
                                          const PlanOption& option);
std::string memory_sentence(const Speech& speech, const PlanOption& option);
std::vector<std::string> demand_sentences(const Speech& speech, const Plan& plan);
// Bars worth a line, and the names of the rest.
struct TornadoView {
  std::vector<const TornadoBar*> bars;
  std::string rest;
};
TornadoView tornado_view(const Speech& speech, const Plan& plan, const PlanOption& best);

}  // namespace holdfast::planner
