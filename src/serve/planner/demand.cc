#include "holdfast/planner/demand.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "holdfast/planner/hybrid.h"
#include "holdfast/planner/sobol.h"

namespace holdfast::planner {

namespace {

constexpr int kWeeks = 52;
// Of one hour against the same hour of other weeks: assumed.
constexpr double kHourNoise = 0.2;
constexpr double kSizedQuantile = 0.99;

DiurnalLoad load_of(const ArrivalSpec& arrival) {
  DiurnalLoad load;
  load.mean = 1;
  load.sigma = kHourNoise;
  if (arrival.profile == "flat") {
    load.night_share = 1;
    load.weekend_share = 1;
    load.sigma = 0;
  } else if (arrival.profile == "office") {
    load.night_share = 0.05;
    load.weekend_share = 0.15;
  }
  if (arrival.weekend_share >= 0) load.weekend_share = arrival.weekend_share;
  return load;
}

// Raises to a power so that the largest is `peak` times the mean; 1 or less flattens.
std::vector<double> stretched(const std::vector<double>& values, double peak) {
  const auto with_power = [&values](double power) {
    std::vector<double> out;
    for (const double v : values) out.push_back(std::pow(std::max(v, 1e-9), power));
    const double mean =
        std::accumulate(out.begin(), out.end(), 0.0) / static_cast<double>(out.size());
    for (double& v : out) v /= mean;
    return out;
  };
  double low = 0;
  double high = 20;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    const auto tried = with_power(middle);
    (quantile(tried, kSizedQuantile) < peak ? low : high) = middle;
  }
  return with_power(low);
}

}  // namespace

DemandProfile demand_profile(const Workload& workload, double share, std::uint64_t seed) {
  DemandProfile out;
  out.mean = PerSecond(workload.rate_rps * share);
  const DiurnalLoad load = load_of(workload.arrival);
  out.hours = diurnal_series(load, kWeeks, seed);
  for (int h = 0; h < kHoursPerWeek; ++h) out.week.push_back(diurnal_weight(load, h));
  const auto normalise = [](std::vector<double>& v) {
    const double mean = std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
    for (double& x : v) x /= mean;
  };
  normalise(out.hours);
  normalise(out.week);
  if (workload.arrival.peak_to_mean > 1) {
    out.hours = stretched(out.hours, workload.arrival.peak_to_mean);
    out.week = stretched(out.week, workload.arrival.peak_to_mean);
  }
  out.peak_to_mean = std::max(1.0, quantile(out.hours, kSizedQuantile));
  out.sized = out.mean * out.peak_to_mean;
  return out;
}

double growth_factor(double growth, double years) { return std::pow(1 + growth, years); }

}  // namespace holdfast::planner
