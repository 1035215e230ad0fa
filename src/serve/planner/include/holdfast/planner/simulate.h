// A server with continuous batching, iteration by iteration (specification, section 10, tier 3).
#pragma once

#include <cstdint>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/arrivals.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

inline constexpr int kReplicasMax = 1024;
inline constexpr int kSimulatedBatchMax = 4096;
inline constexpr int kPriorities = 8;
inline constexpr int kClassesMax = 64;
inline constexpr int kReplicationsMax = 1000;
inline constexpr std::int64_t kSimulatedRequestsMax = 5'000'000;

// How reading memory and computing share an iteration.
enum class StepForm : std::uint8_t {
  kReadThenDecode,         // max(read, prefill) + decode
  kAllUnderArithmetic,     // max(read, decode + prefill)
  kWeightsUnderArithmetic  // max(read of weights, decode + prefill) + read of keys and values
};

// How long one engine iteration takes (specification, sections 7 and 8). With b rows that gain a
// token, p prompt tokens and S tokens of context in all running sequences:
//   read    = (weights + experts * u(b + p) + kv_factor * kv_per_token * S) / bandwidth
//   decode  = flops_per_token * b / decode_speed
//   prefill = (flops_per_token * p + attention_flops * sum of (end^2 - start^2)) / prefill_speed
//   t = (what the form makes of these) + overhead + per_row * rows + per_token_sent * (b + p)
// where u(n) = 1 - (1 - expert_share)^(n^expert_rho) and rows counts prompts as well. The bandwidth
// and speeds are effective ones, efficiency included.
struct StepCoefficients {
  Bytes weights{};
  Bytes experts{};
  double expert_share = 0;  // k/E of a mixture of experts
  double expert_rho = 1;
  double kv_factor = 1;
  BytesPerToken kv_per_token{};
  BytesPerSecond bandwidth{1};
  FlopsPerToken flops_per_token{};
  FlopsPerSecond decode_speed{1};
  FlopsPerSecond prefill_speed{1};
  double attention_flops = 0;  // per squared token: 2 * layers * heads * head size
  Seconds overhead{};          // c * L and the fixed part of communication
  Seconds per_row{};           // e
  Seconds per_token_sent{};    // communication that grows with the batch
  StepForm form = StepForm::kReadThenDecode;
};

enum class KvPolicy {
  kReserve,  // admit when prompt and whole answer fit
  kPreempt,  // admit when the prompt fits; when full, the newest sequence starts again later
};

struct EngineLimits {
  int batch_max = 256;
  std::int64_t kv_tokens_max = 1 << 20;  // of one replica, shared prefix already taken off
  int chunk_tokens = 2048;               // prompt tokens of one iteration
  KvPolicy kv_policy = KvPolicy::kReserve;
  // A request that finds this many waiting at its replica is rejected; 0 is no limit.
  int queue_max = 0;
};

struct RequestClass {
  double share = 1;  // of the requests; shares are scaled to sum to 1
  int priority = 0;  // 0 is admitted first; first come first served within one
  Lengths isl{};
  Lengths osl{};
  double prefix_hit = 0;  // share of the prompt found in cache: neither computed nor stored again
};

enum class RoutePolicy { kLeastLoaded, kRoundRobin };

struct Failures {
  Seconds mtbf{};  // of one replica; 0 is never
  Seconds mttr{};
};

// Starts and stops replicas between `least` and Fleet::replicas, looking every `check`.
struct Autoscaling {
  bool enabled = false;
  int least = 1;
  double requests_per_replica = 32;  // running and waiting, aimed at
  Seconds check{15};
  Seconds start_delay{120};
  Seconds stop_after{300};  // of less need
};

// Requests whose expected wait is longer go to an API: the queue ahead times the recent pace of
// admissions.
struct BurstLane {
  bool enabled = false;
  Seconds wait_max{1};
  Seconds ttft{0.5};
  Seconds tpot{0.02};
};

struct Fleet {
  int replicas = 1;
  RoutePolicy route = RoutePolicy::kLeastLoaded;
  Failures failures{};
  Autoscaling autoscaling{};
  BurstLane burst{};
};

struct Simulation {
  StepCoefficients step{};
  EngineLimits limits{};
  Fleet fleet{};
  Arrivals arrivals{};
  // One at least. With a trace: one, whose lengths are those of the trace.
  std::vector<RequestClass> classes{RequestClass{}};
  std::int64_t requests = 20000;  // per replication; with a trace at most its length
  int replications = 20;
  double warmup_share = 0.1;  // of the requests, left out of the percentiles
  std::uint64_t seed = 1;
};

// Means over the replications, and the 95 % confidence interval of p99 (Student's t; equal to p99
// for a single replication).
struct LatencySummary {
  Seconds mean, p50, p90, p99;
  Seconds p99_low, p99_high;
};

struct ClassOutcome {
  std::int64_t completed = 0;      // in all replications, warm-up included, burst lane included
  LatencySummary ttft, tpot, e2e;  // tpot: of requests with more than one token
};

struct SimulationOutcome {
  ClassOutcome all;
  std::vector<ClassOutcome> classes;
  std::int64_t rejected = 0;   // queue full, or longer than the memory of a replica
  std::int64_t burst = 0;      // went to the API
  std::int64_t preempted = 0;  // times a sequence lost its place
  std::int64_t retried = 0;    // times a failure sent a request to another replica
  double utilisation = 0;      // share of the replicas' time with an iteration running
  double running_mean = 0;     // sequences in a replica while it works
  TokensPerSecond output_rate;
  std::int64_t kv_tokens_peak = 0;  // in one replica
  Seconds replica_time;             // that replicas were kept running, per replication
  Seconds span;                     // from the first arrival to the last completion, on average
  Burstiness burstiness;            // of the arrivals actually used
  std::int64_t iterations = 0;
};

// Runs all replications. The same input gives the same bytes. Deterministic stretches of pure
// decoding are advanced in one step, with the same result as one by one up to rounding.
// kInvalidArgument names the field.
Result<SimulationOutcome> simulate(const Simulation& simulation);

}  // namespace holdfast::planner
