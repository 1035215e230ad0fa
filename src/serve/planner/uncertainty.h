// Draws over everything that is uncertain, and what each input would have to be for another choice.
#pragma once

#include <string>
#include <vector>

#include "economics.h"
#include "holdfast/planner/plan.h"

namespace holdfast::planner {

// A candidate that may be chosen, with the option it became.
struct Finalist {
  const Candidate* candidate = nullptr;
  PlanOption* option = nullptr;
};

struct DrawResult {
  std::string decisive;  // the uncertain input that moves the difference to the runner-up most
};
// Fills npv_band, cost_cv and p_cheapest of the finalists: `draws` Sobol points. Each finalist that
// runs a model has an engine speed of its own; prices, demand and drift are common.
DrawResult draw_costs(const Problem& problem, std::vector<Finalist>& finalists, int draws);

// +-20 % of every input, for the finalist that is recommended.
std::vector<TornadoBar> tornado(const Problem& problem, const std::vector<Finalist>& finalists,
                                std::size_t recommended);

// For each input the nearest value, between a twentieth and twenty times of what it is, at which
// another finalist is cheapest.
std::vector<Threshold> thresholds(const Problem& problem, const std::vector<Finalist>& finalists,
                                  std::size_t recommended);

}  // namespace holdfast::planner
