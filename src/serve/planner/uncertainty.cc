#include "uncertainty.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>

#include "holdfast/planner/sobol.h"

namespace holdfast::planner {

namespace {

constexpr int kSpeedDimensions = 12;

// Spread of common inputs, as sigma of a lognormal; assumed where the specification gives none.
struct Uncertain {
  const char* input;
  double sigma;
};
constexpr std::array<Uncertain, 9> kCommon{{{"price of hardware", 0.20},
                                            {"price of rented hours", 0.15},
                                            {"price of tokens", 0.25},
                                            {"price of electricity", 0.15},
                                            {"cost of staff", 0.25},
                                            {"demand", 0.20},
                                            {"growth of demand", 0},
                                            {"drift of token prices", 0},
                                            {"maintenance", 0.30}}};

// One input of the problem that a multiplier can move.
struct Input {
  const char* path;
  double value;
  std::function<void(Scenario&, double)> apply;
  // Of a price: an option's own; 0 where it does not pay it.
  std::function<double(const Candidate&)> own = {};
};

std::vector<Input> inputs_of(const Problem& p, const std::vector<Finalist>& finalists,
                             std::size_t recommended) {
  const Candidate& first = *finalists[recommended].candidate;
  std::vector<Input> out;
  const auto add = [&out](const char* path, double value,
                          std::function<void(Scenario&, double)> f) {
    if (value > 0) out.push_back({path, value, std::move(f)});
  };
  add("workload.rate_rps", first.demand.mean.value(), [](Scenario& s, double m) { s.demand = m; });
  add("workload.isl", first.request.isl, [](Scenario& s, double m) { s.isl = m; });
  add("workload.osl", first.request.osl, [](Scenario& s, double m) { s.osl = m; });
  // The recommended option's own price where it has one, else that of the first that has.
  const auto add_price = [&](const char* path, double (*own)(const Candidate&),
                             std::function<void(Scenario&, double)> f) {
    double value = own(first);
    for (const Finalist& other : finalists)
      if (value <= 0) value = own(*other.candidate);
    if (value > 0) out.push_back({path, value, std::move(f), own});
  };
  add_price(
      "prices.purchase", [](const Candidate& c) { return c.buy_price; },
      [](Scenario& s, double m) { s.buy = m; });
  add_price(
      "prices.gpu_hour", [](const Candidate& c) { return c.rent_price; },
      [](Scenario& s, double m) { s.rent = m; });
  add_price(
      "prices.token_out", [](const Candidate& c) { return c.tokens ? c.tokens->out : 0.0; },
      [](Scenario& s, double m) { s.token = m; });
  add("costs.electricity_kwh", p.electricity_kwh, [](Scenario& s, double m) { s.electricity = m; });
  add("costs.pue", p.pue, [](Scenario& s, double m) { s.pue = m; });
  add("costs.maintenance", p.maintenance, [](Scenario& s, double m) { s.maintenance = m; });
  add("costs.life_years", p.life_years, [life = p.life_years](Scenario& s, double m) {
    s.life_years = std::clamp(life * m, 1.0, 30.0);
  });
  add("team.loaded_cost", p.team.loaded_cost, [](Scenario& s, double m) { s.staff = m; });
  add("budget.wacc", p.wacc,
      [w = p.wacc](Scenario& s, double m) { s.wacc = std::min(1.0, w * m); });
  add("engine.speed", 1, [](Scenario& s, double m) { s.speed = m; });
  return out;
}

// With preference for predictable costs, a dear but steady option may win.
double score(const Problem& p, const Finalist& f, const Scenario& s) {
  return candidate_npv(*f.candidate, p, s) * (1 + p.predictability * f.option->cost_cv);
}

std::size_t winner(const Problem& p, const std::vector<Finalist>& finalists, const Scenario& s) {
  std::size_t best = 0;
  double least = 0;
  for (std::size_t i = 0; i < finalists.size(); ++i) {
    const double cost = score(p, finalists[i], s);
    if (i == 0 || cost < least) {
      least = cost;
      best = i;
    }
  }
  return best;
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<double>(x.size());
  const double mx = std::accumulate(x.begin(), x.end(), 0.0) / n;
  const double my = std::accumulate(y.begin(), y.end(), 0.0) / n;
  double xy = 0;
  double xx = 0;
  double yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mx) * (y[i] - my);
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

Scenario scenario_of(const Problem& p, const std::vector<double>& z) {
  Scenario s;
  const auto factor = [&z](std::size_t i) { return std::exp(kCommon[i].sigma * z[i]); };
  s.buy = factor(0);
  s.rent = factor(1);
  s.token = factor(2);
  s.electricity = factor(3);
  s.staff = factor(4);
  s.demand = factor(5);
  // Low and high growth are the tenth and ninetieth percentile.
  const Workload& w = p.workload;
  s.growth = z[6] / kZ90 * (z[6] < 0 ? w.growth - w.growth_low : w.growth_high - w.growth);
  s.drift = 0.12 * z[7];
  s.maintenance = factor(8);
  return s;
}

}  // namespace

DrawResult draw_costs(const Problem& p, std::vector<Finalist>& finalists, int draws) {
  DrawResult out;
  if (finalists.empty()) return out;
  const int dimensions = kSpeedDimensions + static_cast<int>(kCommon.size());
  Sobol sobol(dimensions, p.seed);
  std::vector<double> point(static_cast<std::size_t>(dimensions));
  std::vector<std::vector<double>> costs(finalists.size());
  std::vector<std::vector<double>> z_common(kCommon.size());
  std::vector<std::vector<double>> z_speed(kSpeedDimensions);
  std::vector<double> wins(finalists.size(), 0.0);
  for (int d = 0; d < draws; ++d) {
    sobol.next(point);
    std::vector<double> z;
    for (std::size_t i = 0; i < kCommon.size(); ++i) {
      z.push_back(inverse_normal_cdf(point[kSpeedDimensions + i]));
      z_common[i].push_back(z.back());
    }
    for (std::size_t i = 0; i < kSpeedDimensions; ++i)
      z_speed[i].push_back(inverse_normal_cdf(point[i]));
    Scenario s = scenario_of(p, z);
    std::size_t best = 0;
    for (std::size_t i = 0; i < finalists.size(); ++i) {
      const Candidate& c = *finalists[i].candidate;
      const double sigma = c.served ? c.served->throughput_sigma() : 0;
      s.speed = std::exp(sigma * z_speed[i % kSpeedDimensions].back());
      costs[i].push_back(candidate_npv(c, p, s));
      if (costs[i].back() < costs[best].back()) best = i;
    }
    wins[best] += 1.0 / draws;
  }
  for (std::size_t i = 0; i < finalists.size(); ++i) {
    PlanOption& o = *finalists[i].option;
    o.p_cheapest = wins[i];
    o.npv_band = {quantile(costs[i], 0.1), quantile(costs[i], 0.5), quantile(costs[i], 0.9)};
    std::vector<Money> amounts;
    for (const double c : costs[i]) amounts.emplace_back(c);
    o.cost_cv = coefficient_of_variation(amounts);
  }
  // Which uncertainty decides between the two that win most often?
  std::vector<std::size_t> order(finalists.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return wins[a] > wins[b]; });
  if (order.size() < 2) return out;
  std::vector<double> difference;
  for (std::size_t d = 0; d < costs[0].size(); ++d)
    difference.push_back(costs[order[0]][d] - costs[order[1]][d]);
  double most = 0;
  for (std::size_t i = 0; i < kCommon.size(); ++i) {
    const double r = std::abs(correlation(z_common[i], difference));
    if (r > most) {
      most = r;
      out.decisive = kCommon[i].input;
    }
  }
  for (const std::size_t i : {order[0], order[1]}) {
    const double r = std::abs(correlation(z_speed[i % kSpeedDimensions], difference));
    if (r > most) {
      most = r;
      out.decisive = "speed of " + finalists[i].option->id;
    }
  }
  return out;
}

std::vector<TornadoBar> tornado(const Problem& p, const std::vector<Finalist>& finalists,
                                std::size_t recommended) {
  std::vector<TornadoBar> out;
  for (const Input& input : inputs_of(p, finalists, recommended)) {
    TornadoBar bar;
    bar.input = input.path;
    bar.value = input.value;
    Scenario low;
    Scenario high;
    input.apply(low, 0.8);
    input.apply(high, 1.2);
    bar.npv_low = candidate_npv(*finalists[recommended].candidate, p, low);
    bar.npv_high = candidate_npv(*finalists[recommended].candidate, p, high);
    // Rounding of an input that does nothing is no effect.
    const double nominal = candidate_npv(*finalists[recommended].candidate, p, {});
    for (double* npv : {&bar.npv_low, &bar.npv_high})
      if (std::abs(*npv - nominal) < 1e-9 * std::abs(nominal)) *npv = nominal;
    bar.winner_low = finalists[winner(p, finalists, low)].option->id;
    bar.winner_high = finalists[winner(p, finalists, high)].option->id;
    out.push_back(std::move(bar));
  }
  std::stable_sort(out.begin(), out.end(), [](const TornadoBar& a, const TornadoBar& b) {
    return std::abs(a.npv_high - a.npv_low) > std::abs(b.npv_high - b.npv_low);
  });
  return out;
}

std::vector<Threshold> thresholds(const Problem& p, const std::vector<Finalist>& finalists,
                                  std::size_t recommended) {
  constexpr double kReach = 20;
  constexpr int kScan = 24;
  constexpr int kBisections = 30;
  std::vector<Threshold> out;
  if (finalists.size() < 2) return out;
  for (const Input& input : inputs_of(p, finalists, recommended)) {
    const auto winner_at = [&](double log_multiplier) {
      Scenario s;
      input.apply(s, std::exp(log_multiplier));
      return winner(p, finalists, s);
    };
    double nearest = 0;
    bool found = false;
    std::size_t to = recommended;
    for (const double direction : {-1.0, 1.0}) {
      const double reach = std::log(kReach) / kScan;
      for (int i = 1; i <= kScan; ++i) {
        if (found && i * reach >= std::abs(nearest)) break;
        const double at = direction * i * reach;
        if (winner_at(at) == recommended) continue;
        double near = direction * (i - 1) * reach;
        double far = at;
        for (int b = 0; b < kBisections; ++b) {
          const double middle = (near + far) / 2;
          (winner_at(middle) == recommended ? near : far) = middle;
        }
        found = true;
        nearest = far;
        to = winner_at(far);
        break;
      }
    }
    if (!found) continue;
    // A price that the recommended option does not pay is that of the option which wins by it.
    double value = input.value;
    if (input.own && input.own(*finalists[recommended].candidate) <= 0 &&
        input.own(*finalists[to].candidate) > 0) {
      value = input.own(*finalists[to].candidate);
    }
    out.push_back({input.path, value, value * std::exp(nearest), finalists[to].option->id});
  }
  std::stable_sort(out.begin(), out.end(), [](const Threshold& a, const Threshold& b) {
    return std::abs(std::log(a.threshold / a.value)) < std::abs(std::log(b.threshold / b.value));
  });
  return out;
}

}  // namespace holdfast::planner
