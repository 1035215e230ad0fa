// Engine iterations and requests per second of the simulation, one replication of one replica.
//
// Long answers to short prompts are mostly decoding, which is advanced in stretches; chat has a
// prompt in nearly every iteration, so the requests set the pace there; `busy` is chat at the edge
// of what the machine can do. The engine is two H100 with a 70B model in FP8.
#include <benchmark/benchmark.h>

#include "holdfast/planner/simulate.h"

namespace {

using namespace holdfast::planner;

Simulation engine(double rate, const RequestClass& cls) {
  Simulation s;
  s.step.weights = gigabytes(70);
  s.step.kv_per_token = BytesPerToken(163840);
  s.step.bandwidth = gigabytes_per_second(0.85 * 6700);
  s.step.flops_per_token = FlopsPerToken(141e9);
  s.step.decode_speed = teraflops(0.30 * 3958);
  s.step.prefill_speed = teraflops(0.45 * 3958);
  s.step.attention_flops = 2 * 80 * 64 * 128;
  s.step.form = StepForm::kWeightsUnderArithmetic;
  s.limits.kv_tokens_max = 423000;
  s.arrivals.rate = PerSecond(rate);
  s.classes = {cls};
  s.requests = 20000;
  s.replications = 1;
  return s;
}

void simulated(benchmark::State& state, const Simulation& simulation) {
  std::int64_t iterations = 0;
  std::int64_t requests = 0;
  for (auto step : state) {
    static_cast<void>(step);
    const SimulationOutcome outcome = simulate(simulation).value();
    iterations += outcome.iterations;
    requests += outcome.all.completed;
  }
  using benchmark::Counter;
  state.counters["iterations/s"] = Counter(static_cast<double>(iterations), Counter::kIsRate);
  state.counters["requests/s"] = Counter(static_cast<double>(requests), Counter::kIsRate);
}

const RequestClass kChat{.isl = {.p50 = 1020, .p90 = 2735, .p99 = 4142},
                         .osl = {.p50 = 129, .p90 = 424, .p99 = 601}};
const RequestClass kLong{.isl = {.mean = 20, .cv = 0.5}, .osl = {.mean = 300, .cv = 1}};

BENCHMARK_CAPTURE(simulated, long_answers, engine(2, kLong));
BENCHMARK_CAPTURE(simulated, chat, engine(3, kChat));
BENCHMARK_CAPTURE(simulated, busy, engine(6, kChat));

}  // namespace

BENCHMARK_MAIN();
