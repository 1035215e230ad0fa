// What meeting costs a team of threads: a barrier, a run, and whole passes whose stages are shared
// out in fixed parts, or dealt.
//
// A pass is what a small model's token is: 200 stages of some 20 microseconds of arithmetic on one
// thread. Its time with more threads than processors, or beside a busy process, over that with as
// many threads as processors shows how gently a team degrades. Arguments: threads.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <thread>

#include "holdfast/tensor/thread_team.h"

namespace {

using namespace holdfast;
using tensor::Range;
using tensor::ThreadTeam;
using tensor::Worker;

constexpr int kStages = 200;
constexpr std::size_t kItems = 96;

std::unique_ptr<ThreadTeam> make_team(const benchmark::State& state) {
  return ThreadTeam::create(static_cast<std::size_t>(state.range(0)),
                            std::max(1u, std::thread::hardware_concurrency()))
      .value();
}

// About 200 ns each.
void work(Range items) {
  for (std::size_t i = items.begin; i < items.end; ++i) {
    std::uint64_t x = i;
    for (int k = 0; k < 150; ++k) x = x * 6364136223846793005u + 1442695040888963407u;
    benchmark::DoNotOptimize(x);
  }
}

void barrier(benchmark::State& state) {
  const auto team = make_team(state);
  for (auto _ : state) {
    team->run([](Worker& worker) {
      for (int i = 0; i < 1000; ++i) worker.barrier();
    });
  }
  state.counters["ns"] = benchmark::Counter(
      1000.0 * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void pass_of_fixed_parts(benchmark::State& state) {
  const auto team = make_team(state);
  for (auto _ : state) {
    team->run([](Worker& worker) {
      for (int i = 0; i < kStages; ++i) {
        work(worker.share(kItems));
        worker.barrier();
      }
    });
  }
}

void pass_of_deals(benchmark::State& state) {
  const auto team = make_team(state);
  for (auto _ : state) {
    team->run([](Worker& worker) {
      for (int i = 0; i < kStages; ++i) {
        worker.deal(kItems, 1, work);
        worker.barrier();
      }
    });
  }
}

}  // namespace

BENCHMARK(barrier)->Arg(1)->Arg(2)->Arg(3)->Arg(4)->Arg(8)->UseRealTime();
BENCHMARK(pass_of_fixed_parts)
    ->Arg(1)
    ->Arg(2)
    ->Arg(3)
    ->Arg(4)
    ->Arg(8)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(pass_of_deals)
    ->Arg(1)
    ->Arg(2)
    ->Arg(3)
    ->Arg(4)
    ->Arg(8)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

BENCHMARK_MAIN();
