#include "holdfast/planner/queueing.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace holdfast::planner {
namespace {

Error bad(const std::string& field) {
  return Error(ErrorCode::kInvalidArgument, field + " is out of range");
}

bool in_range(double value, double low, double high) {
  return std::isfinite(value) && value >= low && value <= high;
}

constexpr double kRateMax = 1e12;

Status check(const MultiServer& queue) {
  if (queue.servers < 1 || queue.servers > kServersMax) return bad("servers");
  if (!in_range(queue.arrivals.value(), 0, kRateMax)) return bad("arrival rate");
  if (!in_range(queue.service.value(), 1e-12, kRateMax)) return bad("service rate");
  if (!in_range(queue.arrival_c2, 0, 1e6)) return bad("arrival_c2");
  if (!in_range(queue.service_c2, 0, 1e6)) return bad("service_c2");
  return ok_status();
}

// Distribution over 0..B requests, the mass beyond B folded into a geometric tail of ratio `rho`.
struct Chain {
  std::vector<double> step_s;       // [B + 1], 0 unused
  std::vector<double> probability;  // [B + 1]; the last one is that of exactly B
  double rho = 0;                   // lambda / mu(B)
};

Result<std::vector<double>> step_times(const SharedProcessor& system) {
  std::vector<double> step_s(static_cast<std::size_t>(system.batch_max) + 1);
  for (int i = 1; i <= system.batch_max; ++i) {
    const double t = system.step(i).value();
    if (!in_range(t, 1e-12, 1e12)) return bad("step time of " + std::to_string(i));
    step_s[static_cast<std::size_t>(i)] = t;
  }
  return step_s;
}

// pi(i) is proportional to the product of lambda/mu(j) over j <= i; shifted by its largest
// logarithm before the exponential, so that no B overflows.
void solve(const SharedProcessor& system, Chain& chain) {
  const std::size_t batch = chain.step_s.size() - 1;
  const double work = system.arrivals.value() * system.output.value();
  std::vector<double> logs(batch + 1);
  double top = 0;
  for (std::size_t i = 1; i <= batch; ++i) {
    logs[i] = logs[i - 1] + std::log(work * chain.step_s[i] / static_cast<double>(i));
    top = std::max(top, logs[i]);
  }
  chain.probability.resize(batch + 1);
  double total = 0;
  for (std::size_t i = 0; i <= batch; ++i) {
    chain.probability[i] = std::exp(logs[i] - top);
    total += i == batch ? chain.probability[i] / (1 - chain.rho) : chain.probability[i];
  }
  for (double& p : chain.probability) p /= total;
}

// Step times met by running requests, from short to long, each with its weight.
void fill_tpot(const Chain& chain, SharedProcessorResult& result) {
  struct Met {
    double step_s, weight;
  };
  std::vector<Met> met;
  const std::size_t batch = chain.step_s.size() - 1;
  double weights = 0;
  double sum = 0;
  for (std::size_t i = 1; i <= batch; ++i) {
    const double mass = i == batch ? chain.probability[i] / (1 - chain.rho) : chain.probability[i];
    // Requests per unit of time at this level generate i tokens per step: weight i.
    met.push_back({chain.step_s[i], static_cast<double>(i) * mass});
    weights += met.back().weight;
    sum += met.back().weight * chain.step_s[i];
  }
  std::stable_sort(met.begin(), met.end(),
                   [](const Met& a, const Met& b) { return a.step_s < b.step_s; });
  const auto quantile = [&](double q) {
    double seen = 0;
    for (const Met& m : met) {
      seen += m.weight;
      if (seen >= q * weights) return Seconds(m.step_s);
    }
    return Seconds(met.back().step_s);
  };
  result.tpot_mean = Seconds(sum / weights);
  result.tpot_p50 = quantile(0.50);
  result.tpot_p90 = quantile(0.90);
  result.tpot_p99 = quantile(0.99);
}

void fill_means(const SharedProcessor& system, const Chain& chain, SharedProcessorResult& result) {
  const std::size_t batch = chain.step_s.size() - 1;
  const double full = chain.probability[batch];
  // Beyond B: sum of rho^j = rho/(1-rho), sum of j*rho^j = rho/(1-rho)^2.
  const double beyond = full * chain.rho / (1 - chain.rho);
  const double waiting = full * chain.rho / ((1 - chain.rho) * (1 - chain.rho));
  for (std::size_t i = 1; i <= batch; ++i) {
    result.running += static_cast<double>(i) * chain.probability[i];
  }
  result.running += static_cast<double>(batch) * beyond;
  result.in_system = result.running + waiting;
  result.e2e = Seconds(result.in_system / system.arrivals.value());
  result.queue = Seconds(waiting / system.arrivals.value());
  result.waits = full + beyond;
  result.busy = 1 - chain.probability[0];
}

}  // namespace

double erlang_c(int servers, double offered) {
  if (offered >= servers) return 1;
  double blocked = 1;  // Erlang B with no server
  for (int k = 1; k <= servers; ++k) blocked = offered * blocked / (k + offered * blocked);
  return blocked / (1 - offered / servers * (1 - blocked));
}

double Waiting::exceeds(Seconds t) const {
  return t < Seconds(0) ? 1 : probability * std::exp(-(tail_rate * t));
}

Seconds Waiting::quantile(double q) const {
  if (1 - q >= probability) return Seconds(0);
  return Seconds(std::log(probability / (1 - q)) / tail_rate.value());
}

Result<Waiting> multi_server_wait(const MultiServer& queue) {
  HF_TRY(check(queue));
  Waiting waiting;
  const double offered = queue.arrivals / queue.service;
  waiting.unstable = offered >= queue.servers;
  if (waiting.unstable) return waiting;
  waiting.probability = erlang_c(queue.servers, offered);
  waiting.utilisation = offered / queue.servers;
  const PerSecond slack = queue.service * queue.servers - queue.arrivals;
  // Gaps and services without any variation never queue: the rate of the tail is then infinite, and
  // a millionth of the exponential case stands in for it.
  const double variation = std::max((queue.arrival_c2 + queue.service_c2) / 2, 1e-6);
  waiting.mean = waiting.probability / slack * variation;
  waiting.tail_rate = slack / variation;
  return waiting;
}

Result<SharedProcessorResult> shared_processor(const SharedProcessor& system) {
  if (system.batch_max < 1 || system.batch_max > kBatchMax) return bad("batch_max");
  if (!in_range(system.arrivals.value(), 1e-12, kRateMax)) return bad("arrival rate");
  if (!in_range(system.output.value(), 1e-6, 1e9)) return bad("output tokens");
  Chain chain;
  HF_TRY_ASSIGN(chain.step_s, step_times(system));
  chain.rho = system.arrivals.value() * system.output.value() * chain.step_s.back() /
              static_cast<double>(system.batch_max);
  SharedProcessorResult result;
  result.unstable = chain.rho >= 1;
  if (result.unstable) return result;
  solve(system, chain);
  fill_means(system, chain, result);
  fill_tpot(chain, result);
  return result;
}

}  // namespace holdfast::planner
