// How much to own when the rest can be rented or bought by need (specification, section 13).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

inline constexpr int kUnitsMax = 4096;
inline constexpr std::size_t kDemandStepsMax = 1 << 20;

// Demand in whole replicas: probability[k] is the share of time that k are needed.
struct Demand {
  std::vector<double> probability;

  int most() const { return static_cast<int>(probability.size()) - 1; }
};

// From a series of demands in replicas, each step equally long, rounded up. kInvalidArgument when
// it is empty, too long, or a value is negative, not finite or above kUnitsMax.
Result<Demand> demand_of(std::span<const double> series);

// The smallest number of replicas that covers the share `q` of the time.
int replicas_at_quantile(const Demand& demand, double q);

// What a unit of capacity costs, owned (all the time) and burst (while used).
struct SplitPrices {
  MoneyPerSecond owned;
  MoneyPerSecond burst;
};

// Owned units times their price, plus the burst price of what demand exceeds them by.
MoneyPerSecond split_cost(const Demand& demand, const SplitPrices& prices, int owned);

struct Split {
  int owned = 0;
  MoneyPerSecond cost;
  MoneyPerSecond all_owned;  // enough for the highest demand
  MoneyPerSecond all_burst;
  double saving = 0;  // against the cheaper of these two; negative when `least` forces more
};

// Newsvendor: the smallest K with P(D > K) <= owned/burst, but at least `least` (what the class
// that may never leave needs). kInvalidArgument names the field.
Result<Split> newsvendor(const Demand& demand, const SplitPrices& prices, int least);

// series[t] replaced by the maximum over t .. t+delay_steps: what must already be starting at t
// when a start takes that long.
std::vector<double> with_start_delay(std::span<const double> series, std::size_t delay_steps);

// As split_cost, over a series whose burst machines are billed for at least `block_steps` steps at
// each start; a machine inside its block is used before another is started.
MoneyPerSecond split_cost_with_block(std::span<const double> series, const SplitPrices& prices,
                                     int owned, std::size_t block_steps);

// The cheapest split under a minimum block, by trying every K from `least` to the highest demand.
// kInvalidArgument names the field, also when steps times units exceed 2^32.
Result<Split> newsvendor_with_block(std::span<const double> series, const SplitPrices& prices,
                                    int least, std::size_t block_steps);

// A week of office work: a cosine with its peak at `peak_hour` between `night_share` and 1, times
// `weekend_share` on two days, times a lognormal of `sigma`. The defaults have mean 10, 95th
// percentile 23 and 99.9th 43 (the reference load of section 13; its shape is assumed).
struct DiurnalLoad {
  double mean = 10;
  double night_share = 0.2;
  double weekend_share = 0.5;
  double peak_hour = 14;
  double sigma = 0.35;
};

// Demand relative to the weekly mean at an hour of the week (0 is Monday 0:00), without the noise.
double diurnal_weight(const DiurnalLoad& load, double hour_of_week);

// `weeks` weeks of hourly demand with the noise drawn from the seed. Precondition: weeks in 1..520.
std::vector<double> diurnal_series(const DiurnalLoad& load, int weeks, std::uint64_t seed);

}  // namespace holdfast::planner
