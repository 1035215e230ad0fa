#include "holdfast/planner/hybrid.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numbers>
#include <string>

#include "holdfast/base/check.h"
#include "holdfast/planner/random.h"
#include "holdfast/planner/sobol.h"

namespace holdfast::planner {
namespace {

constexpr int kHoursPerDay = 24;
constexpr int kHoursPerWeek = 7 * kHoursPerDay;
// Demand that is a whole number but for rounding must not ask for one replica more.
constexpr double kWholeSlack = 1e-9;

Error bad(const std::string& what) { return Error(ErrorCode::kInvalidArgument, what); }

Status check(const SplitPrices& prices) {
  const double owned = prices.owned.value();
  const double burst = prices.burst.value();
  if (!std::isfinite(owned) || owned < 0) return bad("owned price is out of range");
  if (!std::isfinite(burst) || burst < 0) return bad("burst price is out of range");
  return ok_status();
}

Status check_least(int least) {
  if (least >= 0 && least <= kUnitsMax) return ok_status();
  return bad("least owned units are out of range");
}

int whole_units(double demand) { return static_cast<int>(std::ceil(demand - kWholeSlack)); }

void fill_alternatives(Split& split, MoneyPerSecond all_owned, MoneyPerSecond all_burst) {
  split.all_owned = all_owned;
  split.all_burst = all_burst;
  const MoneyPerSecond pure = std::min(all_owned, all_burst);
  split.saving = pure > MoneyPerSecond(0) ? 1 - split.cost / pure : 0;
}

}  // namespace

Result<Demand> demand_of(std::span<const double> series) {
  if (series.empty()) return bad("demand series is empty");
  if (series.size() > kDemandStepsMax) return bad("demand series is too long");
  Demand demand;
  const double share = 1 / static_cast<double>(series.size());
  for (double value : series) {
    if (!(value >= 0 && value <= kUnitsMax)) return bad("demand is out of range");
    const auto units = static_cast<std::size_t>(whole_units(value));
    if (units >= demand.probability.size()) demand.probability.resize(units + 1);
    demand.probability[units] += share;
  }
  return demand;
}

int replicas_at_quantile(const Demand& demand, double q) {
  double covered = 0;
  for (int k = 0; k < demand.most(); ++k) {
    covered += demand.probability[static_cast<std::size_t>(k)];
    if (covered >= q) return k;
  }
  return std::max(demand.most(), 0);
}

MoneyPerSecond split_cost(const Demand& demand, const SplitPrices& prices, int owned) {
  double excess = 0;
  for (int k = owned + 1; k <= demand.most(); ++k) {
    excess += (k - owned) * demand.probability[static_cast<std::size_t>(k)];
  }
  return owned * prices.owned + excess * prices.burst;
}

Result<Split> newsvendor(const Demand& demand, const SplitPrices& prices, int least) {
  HF_TRY(check(prices));
  HF_TRY(check_least(least));
  if (demand.probability.empty()) return bad("demand is empty");
  // P(D > K) * burst <= owned, from the highest demand down: the tail is summed from its small end.
  int owned = demand.most();
  double above = 0;
  while (owned > 0) {
    above += demand.probability[static_cast<std::size_t>(owned)];
    if (above * prices.burst > prices.owned) break;
    --owned;
  }
  Split split;
  split.owned = std::max(owned, least);
  split.cost = split_cost(demand, prices, split.owned);
  fill_alternatives(split, split_cost(demand, prices, demand.most()),
                    split_cost(demand, prices, 0));
  return split;
}

std::vector<double> with_start_delay(std::span<const double> series, std::size_t delay_steps) {
  std::vector<double> highest(series.size());
  // Indices inside the window, demands falling: the front is the maximum.
  std::deque<std::size_t> window;
  for (std::size_t i = series.size(); i-- > 0;) {
    while (!window.empty() && series[window.back()] <= series[i]) window.pop_back();
    window.push_back(i);
    while (window.front() - i > delay_steps) window.pop_front();
    highest[i] = series[window.front()];
  }
  return highest;
}

MoneyPerSecond split_cost_with_block(std::span<const double> series, const SplitPrices& prices,
                                     int owned, std::size_t block_steps) {
  struct Start {
    std::size_t free_at;
    int machines;
  };
  std::deque<Start> in_block;
  int blocked = 0;   // machines still inside their block
  int extended = 0;  // machines kept after it because they are needed
  double billed = 0;
  for (std::size_t t = 0; t < series.size(); ++t) {
    while (!in_block.empty() && in_block.front().free_at <= t) {
      blocked -= in_block.front().machines;
      extended += in_block.front().machines;
      in_block.pop_front();
    }
    const int needed = std::max(0, whole_units(series[t]) - owned);
    extended = std::min(extended, std::max(0, needed - blocked));
    const int started = std::max(0, needed - blocked - extended);
    if (started > 0) in_block.push_back({t + std::max<std::size_t>(block_steps, 1), started});
    blocked += started;
    billed += blocked + extended;
  }
  // Blocks that outlast the series are billed to their end.
  for (const Start& start : in_block) {
    billed += static_cast<double>(start.free_at - series.size()) * start.machines;
  }
  const double steps = std::max<double>(1, static_cast<double>(series.size()));
  return owned * prices.owned + billed / steps * prices.burst;
}

Result<Split> newsvendor_with_block(std::span<const double> series, const SplitPrices& prices,
                                    int least, std::size_t block_steps) {
  HF_TRY_ASSIGN(const Demand demand, demand_of(series));
  HF_TRY(check(prices));
  HF_TRY(check_least(least));
  if (block_steps > kDemandStepsMax) return bad("minimum block is out of range");
  const int most = std::max(demand.most(), least);
  constexpr std::size_t kWorkMax = std::size_t{1} << 32;
  if (series.size() * static_cast<std::size_t>(most - least + 1) > kWorkMax) {
    return bad("demand series is too long for its height");
  }
  Split split;
  for (int owned = least; owned <= most; ++owned) {
    const MoneyPerSecond cost = split_cost_with_block(series, prices, owned, block_steps);
    if (owned == least || cost < split.cost) {
      split.owned = owned;
      split.cost = cost;
    }
  }
  fill_alternatives(split, split_cost(demand, prices, demand.most()),
                    split_cost_with_block(series, prices, 0, block_steps));
  return split;
}

double diurnal_weight(const DiurnalLoad& load, double hour_of_week) {
  const double hour = std::fmod(hour_of_week, kHoursPerDay);
  const double wave =
      (1 + std::cos(2 * std::numbers::pi * (hour - load.peak_hour) / kHoursPerDay)) / 2;
  const double day_mean = load.night_share + (1 - load.night_share) / 2;
  const bool weekend = std::fmod(hour_of_week, kHoursPerWeek) >= 5 * kHoursPerDay;
  const double week_mean = day_mean * (5 + 2 * load.weekend_share) / 7;
  return (load.night_share + (1 - load.night_share) * wave) * (weekend ? load.weekend_share : 1) /
         week_mean;
}

std::vector<double> diurnal_series(const DiurnalLoad& load, int weeks, std::uint64_t seed) {
  HF_CHECK(weeks >= 1 && weeks <= 520);
  Random random(seed);
  // Median of the lognormal with mean 1.
  const double median = std::exp(-load.sigma * load.sigma / 2);
  std::vector<double> series;
  for (int hour = 0; hour < weeks * kHoursPerWeek; ++hour) {
    series.push_back(load.mean * diurnal_weight(load, hour) *
                     lognormal(median, load.sigma, random.uniform()));
  }
  return series;
}

}  // namespace holdfast::planner
