// Closed forms of waiting: screening before simulation (specification, section 10, tiers 1 and 2).
#pragma once

#include <functional>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

inline constexpr int kServersMax = 1 << 20;
inline constexpr int kBatchMax = 4096;

// Probability that an arrival waits in M/M/k with offered load a = lambda / mu (erlangs), by the
// recursion of Erlang B, which stays within [0, 1] for any k. 1 when a >= k. Precondition:
// servers in 1..kServersMax, offered >= 0.
double erlang_c(int servers, double offered);

struct MultiServer {
  int servers = 1;
  PerSecond arrivals;     // lambda
  PerSecond service;      // mu of one server
  double arrival_c2 = 1;  // squared coefficient of variation of the gaps
  double service_c2 = 1;
};

struct Waiting {
  bool unstable = false;   // arrivals reach capacity: the other fields are empty
  double probability = 0;  // that an arrival waits
  Seconds mean;            // over all arrivals
  double utilisation = 0;
  PerSecond tail_rate;  // P(W > t) = probability * exp(-tail_rate * t)

  // P(W > t). Precondition: !unstable.
  double exceeds(Seconds t) const;
  // The wait that the share `q` of arrivals stays within; 0 when fewer than 1-q wait at all.
  // Precondition: !unstable, 0 <= q < 1.
  Seconds quantile(double q) const;
};

// Allen-Cunneen: W_q = C(k,a)/(k*mu - lambda) * (c_a^2 + c_s^2)/2, tail rate (k*mu - lambda) * 2 /
// (c_a^2 + c_s^2); exact for M/M/k, and for the mean of M/G/1. kInvalidArgument names the field.
Result<Waiting> multi_server_wait(const MultiServer& queue);

// A batching engine as a birth-death chain: with i requests in the system min(i, batch_max) run at
// once and one leaves at rate mu(i) = min(i, B) / (OSL * step(min(i, B))).
struct SharedProcessor {
  PerSecond arrivals;
  Tokens output;  // mean OSL of a request
  int batch_max = 0;
  // Time of one step with this many running (1..batch_max), prefill of newcomers included: t'(i).
  std::function<Seconds(int running)> step;
};

struct SharedProcessorResult {
  bool unstable = false;  // arrivals reach mu(B): the other fields are empty
  double in_system = 0;   // E[b], waiting included
  double running = 0;     // mean number in the batch
  Seconds e2e;            // E[b] / lambda
  Seconds queue;          // of it, waiting for a place in the batch
  double waits = 0;       // probability that an arrival finds the batch full
  double busy = 0;        // share of time with anything running
  // Per output token, weighted by the requests that experience it.
  Seconds tpot_mean, tpot_p50, tpot_p90, tpot_p99;
};

// Computed in log space, with the tail beyond B summed in closed form (there the rate is constant).
// Means do not depend on the distribution of lengths. kInvalidArgument names the field, also when
// `step` returns a time that is not positive and finite.
Result<SharedProcessorResult> shared_processor(const SharedProcessor& system);

}  // namespace holdfast::planner
