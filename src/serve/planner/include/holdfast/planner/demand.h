// Demand over the hours of a week, and what a size must hold.
#pragma once

#include <string_view>
#include <vector>

#include "holdfast/planner/problem.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

inline constexpr int kHoursPerWeek = 168;

// Requests per second of one class, hour by hour, this year.
struct DemandProfile {
  PerSecond mean;             // over a week
  PerSecond sized;            // the 99th percentile of the hours: what capacity must hold
  double peak_to_mean = 1;    // sized over mean
  std::vector<double> hours;  // of some weeks, relative to the mean (mean 1)
  std::vector<double> week;   // one week without noise, relative to the mean
};

// From the shape of the workload's arrivals. A given peak_to_mean stretches the profile to it.
DemandProfile demand_profile(const Workload& workload, double share, std::uint64_t seed);

// Demand after `years` at `growth`: factor (1+g)^years. Capacity of a year is for its end; what a
// year uses is of its middle.
double growth_factor(double growth, double years);
constexpr double mid_of_year(int year) { return year - 0.5; }

}  // namespace holdfast::planner
