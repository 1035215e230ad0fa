#include "holdfast/planner/simulate.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "holdfast/planner/sobol.h"
#include "replica.h"
#include "replication.h"

namespace holdfast::planner {
namespace {

constexpr std::int64_t kWorkMax = 50'000'000;  // requests in all replications
constexpr int kChunkMin = 16;
constexpr int kChunkMax = 1 << 17;
constexpr double kStepMin_s = 1e-9;
constexpr double kStepMax_s = 1e6;

Error bad(const std::string& field) {
  return Error(ErrorCode::kInvalidArgument, field + " is out of range");
}

bool in_range(double value, double low, double high) {
  return std::isfinite(value) && value >= low && value <= high;
}

Status check(const StepCoefficients& step) {
  if (!in_range(step.weights.value(), 0, 1e18)) return bad("weights");
  if (!in_range(step.experts.value(), 0, 1e18)) return bad("experts");
  if (!in_range(step.expert_share, 0, 1)) return bad("expert_share");
  if (!in_range(step.expert_rho, 0, 1)) return bad("expert_rho");
  if (!in_range(step.kv_factor, 0, 100)) return bad("kv_factor");
  if (!in_range(step.kv_per_token.value(), 0, 1e12)) return bad("kv_per_token");
  if (!in_range(step.bandwidth.value(), 1e-6, 1e18)) return bad("bandwidth");
  if (!in_range(step.flops_per_token.value(), 0, 1e21)) return bad("flops_per_token");
  if (!in_range(step.decode_speed.value(), 1e-6, 1e24)) return bad("decode_speed");
  if (!in_range(step.prefill_speed.value(), 1e-6, 1e24)) return bad("prefill_speed");
  if (!in_range(step.attention_flops, 0, 1e15)) return bad("attention_flops");
  if (!in_range(step.overhead.value(), 0, 1e6)) return bad("overhead");
  if (!in_range(step.per_row.value(), 0, 1e6)) return bad("per_row");
  if (!in_range(step.per_token_sent.value(), 0, 1e6)) return bad("per_token_sent");
  return ok_status();
}

Status check(const EngineLimits& limits) {
  if (limits.batch_max < 1 || limits.batch_max > kSimulatedBatchMax) return bad("batch_max");
  if (limits.kv_tokens_max < 1 || limits.kv_tokens_max > std::int64_t{1} << 40) {
    return bad("kv_tokens_max");
  }
  if (limits.chunk_tokens < kChunkMin || limits.chunk_tokens > kChunkMax) {
    return bad("chunk_tokens");
  }
  if (limits.queue_max < 0) return bad("queue_max");
  return ok_status();
}

Status check(const Fleet& fleet) {
  if (fleet.replicas < 1 || fleet.replicas > kReplicasMax) return bad("replicas");
  if (!in_range(fleet.failures.mtbf.value(), 0, 1e12)) return bad("mtbf");
  if (!in_range(fleet.failures.mttr.value(), 0, 1e9)) return bad("mttr");
  const Autoscaling& scaling = fleet.autoscaling;
  if (scaling.least < 1 || scaling.least > fleet.replicas) return bad("autoscaling least");
  if (!in_range(scaling.requests_per_replica, 0.01, 1e6)) return bad("requests_per_replica");
  if (!in_range(scaling.check.value(), 0.1, 1e6)) return bad("autoscaling check");
  if (!in_range(scaling.start_delay.value(), 0, 1e6)) return bad("start_delay");
  if (!in_range(scaling.stop_after.value(), 0, 1e9)) return bad("stop_after");
  if (!in_range(fleet.burst.wait_max.value(), 0, 1e6)) return bad("burst wait_max");
  if (!in_range(fleet.burst.ttft.value(), 0, 1e6)) return bad("burst ttft");
  if (!in_range(fleet.burst.tpot.value(), 0, 1e6)) return bad("burst tpot");
  return ok_status();
}

Status check(const RequestClass& cls) {
  if (!in_range(cls.share, 1e-9, 1e9)) return bad("class share");
  if (cls.priority < 0 || cls.priority >= kPriorities) return bad("class priority");
  if (!in_range(cls.prefix_hit, 0, 1)) return bad("prefix_hit");
  HF_TRY(check_lengths(cls.isl, "isl"));
  return check_lengths(cls.osl, "osl");
}

Status check(const Simulation& simulation) {
  HF_TRY(check(simulation.step));
  HF_TRY(check(simulation.limits));
  HF_TRY(check(simulation.fleet));
  HF_TRY(check_arrivals(simulation.arrivals));
  const std::size_t classes = simulation.classes.size();
  const bool trace = !simulation.arrivals.trace.empty();
  if (classes < 1 || classes > (trace ? 1 : kClassesMax)) return bad("number of classes");
  for (const RequestClass& cls : simulation.classes) HF_TRY(check(cls));
  if (simulation.requests < 1 || simulation.requests > kSimulatedRequestsMax) {
    return bad("requests");
  }
  if (simulation.replications < 1 || simulation.replications > kReplicationsMax ||
      simulation.requests * simulation.replications > kWorkMax) {
    return bad("replications");
  }
  if (!in_range(simulation.warmup_share, 0, 0.9)) return bad("warmup_share");
  return ok_status();
}

// The shortest and the longest iteration that can occur: time must pass, and not stand still.
Status check_step_times(const Simulation& simulation, const StepClock& clock) {
  const EngineLimits& limits = simulation.limits;
  const double least = clock.step_s(0, 1, 0, 0, 0);
  const double prompt = clock.step_s(0, 0, 1, 1, 1);
  if (!(least >= kStepMin_s && prompt >= kStepMin_s)) return bad("shortest step time");
  const double squares = static_cast<double>(limits.chunk_tokens) * 2 * kLengthMax;
  const double most = clock.step_s(limits.kv_tokens_max, limits.batch_max, limits.batch_max,
                                   limits.chunk_tokens, squares);
  if (!(most <= kStepMax_s)) return bad("longest step time");
  return ok_status();
}

// Half width of the 95 % interval over `n` values is this times s/sqrt(n): Student's quantile by
// the expansion of Cornish and Fisher, exact values where it is poor.
double student_975(int n) {
  if (n == 2) return 12.706;
  if (n == 3) return 4.303;
  const double v = n - 1;
  const double z = 1.959963984540054;
  const double z3 = z * z * z;
  const double z5 = z3 * z * z;
  const double z7 = z5 * z * z;
  return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v);
}

// One figure over the replications.
struct Figure {
  std::vector<double> mean, p50, p90, p99;

  void add(std::vector<double>& values) {
    if (values.empty()) return;
    std::sort(values.begin(), values.end());
    double sum = 0;
    for (double value : values) sum += value;
    mean.push_back(sum / static_cast<double>(values.size()));
    p50.push_back(quantile_of_sorted(values, 0.50));
    p90.push_back(quantile_of_sorted(values, 0.90));
    p99.push_back(quantile_of_sorted(values, 0.99));
  }
};

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

LatencySummary summary_of(const Figure& figure) {
  LatencySummary summary;
  summary.mean = Seconds(mean_of(figure.mean));
  summary.p50 = Seconds(mean_of(figure.p50));
  summary.p90 = Seconds(mean_of(figure.p90));
  const double p99 = mean_of(figure.p99);
  const auto n = static_cast<double>(figure.p99.size());
  double half = 0;
  if (figure.p99.size() >= 2) {
    double squares = 0;
    for (double value : figure.p99) squares += (value - p99) * (value - p99);
    half = student_975(static_cast<int>(n)) * std::sqrt(squares / (n - 1) / n);
  }
  summary.p99 = Seconds(p99);
  summary.p99_low = Seconds(std::max(0.0, p99 - half));
  summary.p99_high = Seconds(p99 + half);
  return summary;
}

// Latencies of all requests, or of one class.
struct Tally {
  Figure ttft, tpot, e2e;
  std::vector<double> ttft_s, tpot_s, e2e_s;  // of the current replication
  std::int64_t completed = 0;

  void take(const SimulatedRequest& request, bool warm) {
    ++completed;
    if (!warm) return;
    ttft_s.push_back(request.first_s - request.arrival_s);
    e2e_s.push_back(request.finish_s - request.arrival_s);
    if (request.osl > 1) {
      tpot_s.push_back((request.finish_s - request.first_s) / (request.osl - 1));
    }
  }

  void end_replication() {
    ttft.add(ttft_s);
    tpot.add(tpot_s);
    e2e.add(e2e_s);
    ttft_s.clear();
    tpot_s.clear();
    e2e_s.clear();
  }

  ClassOutcome outcome() const {
    return {.completed = completed,
            .ttft = summary_of(ttft),
            .tpot = summary_of(tpot),
            .e2e = summary_of(e2e)};
  }
};

// Sums over the replications, turned into means at the end.
struct Sums {
  double busy_s = 0, running_s = 0, replica_s = 0, span_s = 0, output_tokens = 0;
  std::vector<double> c2a, idc_1s, idc_10s, idc_60s;

  void add(const ReplicationTotals& totals, SimulationOutcome& outcome) {
    busy_s += totals.replicas.busy_s;
    running_s += totals.replicas.running_s;
    replica_s += totals.replica_s;
    span_s += totals.span_s;
    output_tokens += static_cast<double>(totals.replicas.output_tokens);
    c2a.push_back(totals.burstiness.c2a);
    idc_1s.push_back(totals.burstiness.idc_1s);
    idc_10s.push_back(totals.burstiness.idc_10s);
    idc_60s.push_back(totals.burstiness.idc_60s);
    outcome.rejected += totals.rejected;
    outcome.burst += totals.burst;
    outcome.retried += totals.retried;
    outcome.preempted += totals.replicas.preempted;
    outcome.iterations += totals.replicas.iterations;
    outcome.kv_tokens_peak = std::max(outcome.kv_tokens_peak, totals.replicas.kv_tokens_peak);
  }

  void finish(int replications, SimulationOutcome& outcome) const {
    outcome.utilisation = replica_s > 0 ? std::min(busy_s / replica_s, 1.0) : 0;
    outcome.running_mean = busy_s > 0 ? running_s / busy_s : 0;
    outcome.output_rate = TokensPerSecond(span_s > 0 ? output_tokens / span_s : 0);
    outcome.replica_time = Seconds(replica_s / replications);
    outcome.span = Seconds(span_s / replications);
    outcome.burstiness = {.c2a = mean_of(c2a),
                          .idc_1s = mean_of(idc_1s),
                          .idc_10s = mean_of(idc_10s),
                          .idc_60s = mean_of(idc_60s)};
  }
};

}  // namespace

Result<SimulationOutcome> simulate(const Simulation& simulation) {
  HF_TRY(check(simulation));
  const StepClock clock(simulation.step,
                        simulation.limits.batch_max + simulation.limits.chunk_tokens);
  HF_TRY(check_step_times(simulation, clock));
  SimulationOutcome outcome;
  Tally all;
  std::vector<Tally> classes(simulation.classes.size());
  Sums sums;
  for (int index = 0; index < simulation.replications; ++index) {
    Replication replication(simulation, clock, index);
    replication.run();
    const std::vector<SimulatedRequest>& requests = replication.requests();
    const auto warm =
        static_cast<std::size_t>(simulation.warmup_share * static_cast<double>(requests.size()));
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (requests[i].finish_s < 0) continue;
      all.take(requests[i], i >= warm);
      classes[requests[i].cls].take(requests[i], i >= warm);
    }
    all.end_replication();
    for (Tally& tally : classes) tally.end_replication();
    sums.add(replication.totals(), outcome);
  }
  outcome.all = all.outcome();
  for (const Tally& tally : classes) outcome.classes.push_back(tally.outcome());
  sums.finish(simulation.replications, outcome);
  return outcome;
}

}  // namespace holdfast::planner
