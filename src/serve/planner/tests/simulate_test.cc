#include "holdfast/planner/simulate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "holdfast/planner/queueing.h"
#include "holdfast/planner/random.h"
#include "holdfast/planner/sobol.h"

namespace holdfast::planner {
namespace {

// A memory-bound engine: 20 ms for the weights, 1 us per token of context, 0.1 ms per prompt token.
Simulation small_server(double rate) {
  Simulation s;
  s.step.weights = gigabytes(20);
  s.step.kv_per_token = BytesPerToken(1e6);
  s.step.bandwidth = gigabytes_per_second(1000);
  s.step.flops_per_token = FlopsPerToken(1e9);
  s.step.decode_speed = teraflops(20);
  s.step.prefill_speed = teraflops(10);
  s.step.overhead = milliseconds(1);
  s.limits.batch_max = 32;
  s.limits.kv_tokens_max = 100000;
  s.arrivals.rate = PerSecond(rate);
  s.classes = {{.isl = {.mean = 600, .cv = 1}, .osl = {.mean = 150, .cv = 1}}};
  s.requests = 3000;
  s.replications = 4;
  return s;
}

SimulationOutcome run(const Simulation& simulation) { return simulate(simulation).value(); }

// 5000 prompt tokens in chunks of 2048, 2048, 904 at 1 ms each, 1e-6 s per squared token: 5 s + 25
// s
// + three overheads of 1 ms = 30.003 s to the first token. Two steps follow with 5000 and 5001
// tokens of context at 1 us and 2 ms of compute: 1 + 2 + 5.000, 1 + 2 + 5.001 ms.
TEST(SimulateTest, OneRequestByHand) {
  Simulation s;
  s.step.kv_per_token = BytesPerToken(1);
  s.step.bandwidth = BytesPerSecond(1e6);
  s.step.flops_per_token = FlopsPerToken(1);
  s.step.decode_speed = FlopsPerSecond(500);
  s.step.prefill_speed = FlopsPerSecond(1000);
  s.step.attention_flops = 1e-3;
  s.step.overhead = milliseconds(1);
  s.arrivals.trace = {{Seconds(10), 5000, 3}};
  s.requests = 1;
  s.replications = 1;
  s.warmup_share = 0;
  const SimulationOutcome sum = run(s);
  EXPECT_NEAR(sum.all.ttft.mean.value(), 30.003, 1e-9);
  EXPECT_NEAR(sum.all.tpot.mean.value(), (0.008 + 0.008001) / 2, 1e-12);
  EXPECT_EQ(sum.iterations, 5);
  EXPECT_EQ(sum.kv_tokens_peak, 5002);
  // Overlapping: reading 5 ms hides 2 ms of compute.
  s.step.form = StepForm::kAllUnderArithmetic;
  EXPECT_NEAR(run(s).all.tpot.mean.value(), (0.006 + 0.006001) / 2, 1e-12);
  // Half of the prompt in cache: 2500 tokens, 25e6 - 6.25e6 squares, two chunks.
  s.classes[0].prefix_hit = 0.5;
  EXPECT_NEAR(run(s).all.ttft.mean.value(), 2.5 + 18.75 + 0.002, 1e-9);
  // All of it: the last token is computed still, 1 ms + (5000^2 - 4999^2) us + 1 ms.
  s.classes[0].prefix_hit = 1;
  EXPECT_NEAR(run(s).all.ttft.mean.value(), 0.001 + 0.009999 + 0.001, 1e-9);
}

// The engine written a second time, plainly: every iteration looks at every sequence.
struct Plain {
  double arrival, first, finish;
  int isl, osl, prefilled, generated;
};

double plain_step(const StepCoefficients& c, double context, int decode, int prompts, int tokens,
                  double squares) {
  const double n = decode + tokens;
  const double touched = 1 - std::pow(1 - c.expert_share, std::pow(n, c.expert_rho));
  const double read = (c.weights.value() + c.experts.value() * touched +
                       c.kv_factor * c.kv_per_token.value() * context) /
                      c.bandwidth.value();
  const double compute = c.flops_per_token.value() * decode / c.decode_speed.value();
  const double prefill =
      (c.flops_per_token.value() * tokens + c.attention_flops * squares) / c.prefill_speed.value();
  const double kv = c.kv_factor * c.kv_per_token.value() * context / c.bandwidth.value();
  double work = std::max(read, prefill) + compute;
  if (c.form == StepForm::kAllUnderArithmetic) work = std::max(read, compute + prefill);
  if (c.form == StepForm::kWeightsUnderArithmetic)
    work = std::max(read - kv, compute + prefill) + kv;
  return work + c.overhead.value() + c.per_row.value() * (decode + prompts) +
         c.per_token_sent.value() * n;
}

std::vector<Plain> plain_run(const Simulation& s) {
  std::vector<Plain> all;
  for (const TraceRequest& r : s.arrivals.trace)
    all.push_back({r.at.value(), 0, 0, r.isl, r.osl, 0, 0});
  std::vector<Plain*> running;
  std::size_t next = 0;
  double now = 0;
  std::int64_t reserved = 0;
  while (next < all.size() || !running.empty()) {
    if (running.empty()) now = std::max(now, all[next].arrival);
    while (next < all.size() && all[next].arrival <= now &&
           static_cast<int>(running.size()) < s.limits.batch_max &&
           reserved + all[next].isl + all[next].osl <= s.limits.kv_tokens_max) {
      reserved += all[next].isl + all[next].osl;
      running.push_back(&all[next++]);
    }
    double context = 0;
    double squares = 0;
    int decode = 0;
    int prompts = 0;
    int budget = s.limits.chunk_tokens;
    for (Plain* r : running) context += r->prefilled + std::max(0, r->generated - 1);
    std::vector<int> work(running.size());
    for (std::size_t i = 0; i < running.size(); ++i) {
      Plain& r = *running[i];
      if (r.prefilled == r.isl) {
        ++decode;
      } else if (budget > 0) {
        work[i] = std::min(budget, r.isl - r.prefilled);
        budget -= work[i];
        ++prompts;
        squares += std::pow(r.prefilled + work[i], 2) - std::pow(r.prefilled, 2);
      }
    }
    now += plain_step(s.step, context, decode, prompts, s.limits.chunk_tokens - budget, squares);
    for (std::size_t i = 0; i < running.size(); ++i) {
      Plain& r = *running[i];
      const bool decodes = r.prefilled == r.isl;
      r.prefilled += work[i];
      if (!decodes && r.prefilled == r.isl) r.first = now;
      if (r.prefilled == r.isl) ++r.generated;
      if (r.generated == r.osl) r.finish = now;
    }
    std::erase_if(running, [&](Plain* r) {
      if (r->generated == r->osl) reserved -= r->isl + r->osl;
      return r->generated == r->osl;
    });
  }
  return all;
}

Simulation random_engine(Random& random) {
  Simulation s = small_server(1);
  s.step.form = static_cast<StepForm>(static_cast<int>(random.uniform() * 3));
  s.step.attention_flops = 1e6 * random.uniform();
  // Reading overtakes computing inside a stretch.
  s.step.kv_per_token = BytesPerToken(1e5 * std::exp(5 * random.uniform()));
  s.step.per_row = microseconds(100 * random.uniform());
  s.step.per_token_sent = microseconds(10 * random.uniform());
  s.step.kv_factor = 1 + random.uniform();
  s.step.weights = gigabytes(10 * random.uniform());
  s.step.experts = gigabytes(10 * random.uniform());
  s.step.expert_share = random.uniform();
  s.step.expert_rho = random.uniform();
  s.step.decode_speed = teraflops(0.1 + random.uniform());
  s.limits.batch_max = 1 + static_cast<int>(random.next() % 20);
  s.limits.chunk_tokens = 100 + static_cast<int>(random.next() % 1000);
  s.limits.kv_tokens_max = 6000;
  s.warmup_share = 0;
  s.replications = 1;
  double at = 0;
  for (int i = 0; i < 400; ++i) {
    at += random.exponential() * 2 * random.uniform();
    s.arrivals.trace.push_back({Seconds(at), 1 + static_cast<int>(random.next() % 2000),
                                1 + static_cast<int>(random.next() % 300)});
  }
  return s;
}

TEST(SimulateTest, EqualsThePlainEngine) {
  Random random(21);
  for (int trial = 0; trial < 40; ++trial) {
    const Simulation s = random_engine(random);
    std::vector<double> ttft, e2e, tpot;
    for (const Plain& r : plain_run(s)) {
      ttft.push_back(r.first - r.arrival);
      e2e.push_back(r.finish - r.arrival);
      if (r.osl > 1) tpot.push_back((r.finish - r.first) / (r.osl - 1));
    }
    const SimulationOutcome sum = run(s);
    for (double q : {0.5, 0.9, 0.99}) {
      const auto of = [q](const LatencySummary& l) {
        return (q == 0.5 ? l.p50 : q == 0.9 ? l.p90 : l.p99).value();
      };
      EXPECT_NEAR(of(sum.all.ttft) / quantile(ttft, q), 1, 1e-7) << trial;
      EXPECT_NEAR(of(sum.all.e2e) / quantile(e2e, q), 1, 1e-7) << trial;
      EXPECT_NEAR(of(sum.all.tpot) / quantile(tpot, q), 1, 1e-7) << trial;
    }
    EXPECT_LE(sum.kv_tokens_peak, s.limits.kv_tokens_max);
  }
}

// PL-08. A step that takes one two-hundredth of a second and answers of 200 tokens on average make
// a service of 1 s; a prompt of one token costs no step of its own.
Simulation reduced(double rate, int batch, const std::vector<double>& services) {
  constexpr int kTokensPerSecond = 200;
  Simulation s;
  s.limits.batch_max = batch;
  s.limits.kv_tokens_max = std::int64_t{1} << 40;
  s.replications = 1;
  s.requests = 1000000;
  Random random(11);
  double at = 0;
  for (double service : services) {
    at += random.exponential() / rate;
    const double tokens = std::clamp(std::round(service * kTokensPerSecond), 1.0, 1e6);
    s.arrivals.trace.push_back({Seconds(at), 1, static_cast<int>(tokens)});
  }
  return s;
}

std::vector<double> exponential_services() {
  Random random(12);
  std::vector<double> services(1000000);
  for (double& service : services) service = random.exponential();
  return services;
}

TEST(SimulateTest, MatchesMm1) {
  Simulation s = reduced(0.7, 1, exponential_services());
  s.step.overhead = Seconds(1 / 200.0);
  const SimulationOutcome sum = run(s);
  EXPECT_NEAR(sum.all.e2e.mean.value(), 1 / (1 - 0.7), 0.02 / (1 - 0.7));
  // The time in an M/M/1 system is exponential.
  EXPECT_NEAR(sum.all.e2e.p50.value(), std::log(2) / 0.3, 0.02 * std::log(2) / 0.3);
  EXPECT_NEAR(sum.utilisation, 0.7, 0.007);
}

TEST(SimulateTest, MatchesMmk) {
  Simulation s = reduced(0.8 * 8, 8, exponential_services());
  s.step.overhead = Seconds(1 / 200.0);
  const Waiting mmk =
      multi_server_wait({.servers = 8, .arrivals = PerSecond(6.4), .service = PerSecond(1)})
          .value();
  const double expected = mmk.mean.value() + 1;
  EXPECT_NEAR(run(s).all.e2e.mean.value(), expected, 0.02 * expected);
}

// Time per row only: all running requests share one processor, whatever their distribution.
TEST(SimulateTest, MatchesMg1ProcessorSharing) {
  Random random(13);
  std::vector<double> services(1000000);
  const Lognormal from = lognormal_from_mean_cv(1, 1.5);
  for (double& x : services) x = lognormal(from.median, from.sigma, random.uniform());
  Simulation s = reduced(0.7, 4096, services);
  s.step.per_row = Seconds(1 / 200.0);
  EXPECT_NEAR(run(s).all.e2e.mean.value(), 1 / (1 - 0.7), 0.02 / (1 - 0.7));
}

// Tier 1 against tier 3 (section 10): within 6 % on the mean at Poisson arrivals. The chain shares
// a request's prefill out over its tokens, t'(i) = read + i * context + i/OSL * prefill.
TEST(SimulateTest, ChainScreensTheSimulation) {
  for (double rate : {0.5, 2.0, 3.0}) {
    Simulation s = small_server(rate);
    // As in the chain, nothing hides the prefill: weights count as overhead.
    s.step.form = StepForm::kWeightsUnderArithmetic;
    s.step.weights = Bytes(0);
    s.step.overhead = milliseconds(21);
    s.limits.kv_tokens_max = 1 << 30;
    s.requests = 20000;
    const auto step = [](int running) {
      const double prefill_s = 600 * 1e9 / 10e12;
      return Seconds(0.021 + running * (600 + 150) * 1e-6 + running * 1e9 / 20e12 +
                     running / 150.0 * prefill_s);
    };
    const SharedProcessorResult chain = shared_processor({.arrivals = PerSecond(rate),
                                                          .output = Tokens(150),
                                                          .batch_max = s.limits.batch_max,
                                                          .step = step})
                                            .value();
    EXPECT_NEAR(run(s).all.e2e.mean / chain.e2e, 1, 0.06) << rate;
  }
}

void expect_same(const LatencySummary& a, const LatencySummary& b) {
  EXPECT_EQ(a.mean, b.mean);
  EXPECT_EQ(a.p50, b.p50);
  EXPECT_EQ(a.p99, b.p99);
  EXPECT_EQ(a.p99_high, b.p99_high);
}

TEST(SimulateTest, SameSeedSameBytes) {
  Simulation s = small_server(3);
  s.fleet.replicas = 3;
  s.fleet.failures = {.mtbf = hours(0.2), .mttr = Seconds(60)};
  const SimulationOutcome a = run(s);
  const SimulationOutcome b = run(s);
  expect_same(a.all.ttft, b.all.ttft);
  expect_same(a.all.tpot, b.all.tpot);
  expect_same(a.all.e2e, b.all.e2e);
  EXPECT_EQ(a.utilisation, b.utilisation);
  EXPECT_EQ(a.iterations, b.iterations);
  s.seed = 2;
  EXPECT_NE(run(s).all.ttft.mean, a.all.ttft.mean);
}

TEST(SimulateTest, MoreLoadIsNeverFaster) {
  double last = 0;
  for (double rate : {0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0}) {
    const double p99 = run(small_server(rate)).all.ttft.p99.value();
    EXPECT_GE(p99, 0.98 * last) << rate;
    last = p99;
  }
  EXPECT_GT(last, 1);
}

TEST(SimulateTest, BurstsHurtTheTail) {
  Simulation poisson = small_server(2);
  poisson.replications = 20;
  Simulation bursty = poisson;
  bursty.arrivals.shape = {.c2a = 174, .idc_1s = 13, .idc_10s = 72, .idc_60s = 164};
  const SimulationOutcome a = run(poisson);
  const SimulationOutcome b = run(bursty);
  EXPECT_GT(b.all.ttft.p99.value(), 5 * a.all.ttft.p99.value());
  EXPECT_NEAR(a.burstiness.c2a, 1, 0.1);
  EXPECT_GT(b.burstiness.idc_60s, 50);
  EXPECT_LT(a.all.ttft.p99_low, a.all.ttft.p99);
  EXPECT_LT(a.all.ttft.p99, a.all.ttft.p99_high);
}

TEST(SimulateTest, PriorityGoesFirst) {
  Simulation s = small_server(6);
  RequestClass second = s.classes[0];
  second.priority = 1;
  s.classes[0].share = 0.2;
  second.share = 0.8;
  s.classes.push_back(second);
  const SimulationOutcome sum = run(s);
  EXPECT_LT(sum.classes[0].ttft.p99 * 3, sum.classes[1].ttft.p99);
  EXPECT_NEAR(
      static_cast<double>(sum.classes[0].completed) / static_cast<double>(sum.all.completed), 0.2,
      0.02);
}

// Long prompts of the first class wait for memory; short ones of the second must not slip past.
TEST(SimulateTest, NobodyOvertakesTheFirstInLine) {
  Simulation s = small_server(6);
  s.limits.kv_tokens_max = 3000;
  s.classes = {
      {.share = 0.2, .isl = {.mean = 2000, .cv = 0}, .osl = {.mean = 500, .cv = 0}},
      {.share = 0.8, .priority = 1, .isl = {.mean = 100, .cv = 0}, .osl = {.mean = 50, .cv = 0}}};
  const SimulationOutcome sum = run(s);
  EXPECT_LT(sum.classes[0].ttft.p50, sum.classes[1].ttft.p50);
}

// With MTBF 1000 s and MTTR 250 s the one replica is down for a fifth of the time; what arrives
// then goes to the API, and so does what it lost.
TEST(SimulateTest, FailuresSendTheirShareElsewhere) {
  Simulation s = small_server(0.2);
  s.requests = 20000;
  s.classes = {{.isl = {.mean = 100, .cv = 0}, .osl = {.mean = 10, .cv = 0}}};
  s.fleet.failures = {.mtbf = Seconds(1000), .mttr = Seconds(250)};
  s.fleet.burst = {.enabled = true, .wait_max = Seconds(1e6), .ttft = Seconds(0.5)};
  const SimulationOutcome sum = run(s);
  EXPECT_EQ(sum.all.completed, 4 * 20000);
  EXPECT_EQ(sum.rejected, 0);
  EXPECT_NEAR(static_cast<double>(sum.burst) / (4 * 20000), 0.2, 0.02);
  s.fleet.burst.enabled = false;
  const SimulationOutcome waits = run(s);
  EXPECT_EQ(waits.all.completed, 4 * 20000);
  EXPECT_GT(waits.all.ttft.p99, Seconds(100));
  EXPECT_GT(waits.retried, 0);
}

TEST(SimulateTest, BurstLaneCapsTheWait) {
  Simulation s = small_server(12);
  const SimulationOutcome alone = run(s);
  s.fleet.burst = {.enabled = true, .wait_max = Seconds(2), .ttft = Seconds(0.4)};
  const SimulationOutcome lane = run(s);
  EXPECT_GT(alone.all.ttft.p90, Seconds(10));
  EXPECT_LT(lane.all.ttft.p90, Seconds(4));
  EXPECT_GT(lane.burst, 0);
  EXPECT_EQ(lane.all.completed, alone.all.completed);
  s.fleet.burst.enabled = false;
  s.limits.queue_max = 10;
  const SimulationOutcome turned = run(s);
  EXPECT_GT(turned.rejected, 0);
  EXPECT_EQ(turned.all.completed + turned.rejected, alone.all.completed);
}

// Twice the replicas at twice the rate; least loaded does no worse than taking turns.
TEST(SimulateTest, RoutingBetweenReplicas) {
  Simulation s = small_server(16);
  s.fleet.replicas = 4;
  s.requests = 10000;
  const SimulationOutcome least = run(s);
  s.fleet.route = RoutePolicy::kRoundRobin;
  const SimulationOutcome turns = run(s);
  EXPECT_LE(least.all.ttft.p99, turns.all.ttft.p99 * 1.02);
  EXPECT_NEAR(least.output_rate / TokensPerSecond(16 * 150), 1, 0.08);
}

// Quiet, then an hour of four times what one replica can do.
TEST(SimulateTest, AutoscalingFollowsTheLoad) {
  Simulation s = small_server(3);
  s.arrivals.hourly_weight = {0.2, 1.8};
  s.requests = 40000;
  s.replications = 1;
  s.fleet.replicas = 6;
  const SimulationOutcome always = run(s);
  s.fleet.autoscaling = {.enabled = true, .requests_per_replica = 20};
  const SimulationOutcome scaled = run(s);
  s.fleet.replicas = 1;
  s.fleet.autoscaling.enabled = false;
  const SimulationOutcome one = run(s);
  EXPECT_LT(scaled.replica_time, always.replica_time * 0.7);
  EXPECT_GT(scaled.replica_time, one.replica_time * 0.9);
  EXPECT_LE(always.all.ttft.p99, scaled.all.ttft.p99);
  EXPECT_LT(scaled.all.ttft.p99, one.all.ttft.p99);
}

// Little's law: sequences running = rate * time running; the queue is outside of e2e - wait.
TEST(SimulateTest, LittlesLawHolds) {
  Simulation s = small_server(2);
  s.warmup_share = 0;
  s.replications = 1;
  s.requests = 20000;
  const SimulationOutcome sum = run(s);
  const double span = sum.span.value();
  const double in_system = sum.all.e2e.mean.value() * 20000 / span;
  // At this load nearly nobody waits beyond the iteration under way.
  EXPECT_NEAR(sum.running_mean * sum.utilisation, in_system, 0.03 * in_system);
}

TEST(SimulateTest, PreemptionKeepsWithinMemory) {
  Simulation s = small_server(5);
  s.limits.kv_policy = KvPolicy::kPreempt;
  s.limits.kv_tokens_max = 9000;
  const SimulationOutcome sum = run(s);
  EXPECT_GT(sum.preempted, 0);
  // Without the room that admission keeps free, sequences leave about 2,900 times.
  EXPECT_LT(sum.preempted, 2000);
  EXPECT_LE(sum.kv_tokens_peak, s.limits.kv_tokens_max);
  EXPECT_EQ(sum.all.completed + sum.rejected, 4 * 3000);
}

bool sane(const LatencySummary& l) {
  for (Seconds x : {l.mean, l.p50, l.p90, l.p99, l.p99_low, l.p99_high}) {
    if (!std::isfinite(x.value()) || x < Seconds(0)) return false;
  }
  return l.p50 <= l.p90 && l.p90 <= l.p99;
}

TEST(SimulateTest, RandomInputsGiveSaneNumbers) {
  Random random(5);
  for (int trial = 0; trial < 150; ++trial) {
    Simulation s = random_engine(random);
    s.arrivals.trace.clear();
    s.arrivals.rate = PerSecond(std::exp(8 * random.uniform() - 4));
    s.arrivals.shape.c2a = std::exp(4 * random.uniform() - 1);
    if (random.uniform() < 0.3) s.arrivals.shape.idc_60s = 1 + 50 * random.uniform();
    s.limits.kv_policy = random.uniform() < 0.5 ? KvPolicy::kReserve : KvPolicy::kPreempt;
    s.limits.queue_max = random.uniform() < 0.5 ? 0 : 5;
    s.fleet.replicas = 1 + static_cast<int>(random.next() % 5);
    s.fleet.autoscaling.enabled = random.uniform() < 0.3;
    s.fleet.burst.enabled = random.uniform() < 0.3;
    if (random.uniform() < 0.3) s.fleet.failures = {.mtbf = Seconds(300), .mttr = Seconds(50)};
    s.classes[0].prefix_hit = random.uniform();
    s.requests = 1 + static_cast<std::int64_t>(random.next() % 500);
    s.replications = 3;
    const auto result = simulate(s);
    ASSERT_TRUE(result.ok()) << result.error().to_string();
    EXPECT_EQ(result->all.completed + result->rejected, 3 * s.requests) << trial;
    EXPECT_TRUE(sane(result->all.ttft) && sane(result->all.tpot) && sane(result->all.e2e)) << trial;
    EXPECT_TRUE(result->utilisation >= 0 && result->utilisation <= 1) << trial;
    EXPECT_LE(result->kv_tokens_peak, s.limits.kv_tokens_max) << trial;
  }
}

std::string error_of(const Simulation& s) {
  const auto result = simulate(s);
  return result.ok() ? "" : result.error().client_message();
}

TEST(SimulateTest, BadInputIsNamed) {
  Simulation s = small_server(1);
  s.limits.batch_max = 0;
  EXPECT_NE(error_of(s).find("batch_max"), std::string::npos);
  s = small_server(1);
  s.step = StepCoefficients{};
  EXPECT_NE(error_of(s).find("step time"), std::string::npos);
  s = small_server(1);
  s.requests = kSimulatedRequestsMax + 1;
  EXPECT_NE(error_of(s).find("requests"), std::string::npos);
  s = small_server(1);
  s.classes.clear();
  EXPECT_NE(error_of(s).find("classes"), std::string::npos);
  s = small_server(1);
  s.classes[0].osl.mean = -1;
  EXPECT_NE(error_of(s).find("osl"), std::string::npos);
  s = small_server(1);
  s.fleet.replicas = 0;
  EXPECT_NE(error_of(s).find("replicas"), std::string::npos);
}

}  // namespace
}  // namespace holdfast::planner
