// When requests come and how long they are: the inputs of the simulation (specification, 10).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/planner/random.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

inline constexpr int kLengthMax = 1 << 20;  // tokens of one prompt or answer
inline constexpr std::size_t kTraceMax = 5'000'000;

// One recorded request.
struct TraceRequest {
  Seconds at;
  int isl = 1;
  int osl = 1;
};

// How uneven a stream is. c2a: squared coefficient of variation of the gaps. idc: variance over
// mean of the counts in windows of that length (index of dispersion); 0 is unknown.
struct Burstiness {
  double c2a = 1;
  double idc_1s = 0;
  double idc_10s = 0;
  double idc_60s = 0;
};

// A stream of arrivals. With a trace the other fields do not apply. Otherwise: Poisson when `shape`
// is left alone; gaps of a hyperexponential (c2a > 1) or Erlang (c2a < 1) distribution when only
// c2a is given; Markov-modulated Poisson when an idc is given: one stream that falls silent between
// bursts when c2a >= 3 and that comes within 15 % of the windows, else a sum of streams fitted to
// the windows. What c2a follows from it is measured and reported, not forced.
struct Arrivals {
  PerSecond rate{};
  Burstiness shape{};
  // Relative rate of each hour, repeated without end; empty is flat. Scaled to mean 1.
  std::vector<double> hourly_weight{};
  std::vector<TraceRequest> trace{};
};

// kInvalidArgument names the field.
Status check_arrivals(const Arrivals& arrivals);

// A two-state stream: Poisson at one of two rates, switching between them.
struct ModulatedStream {
  double rate_high = 0;  // per second
  double rate_low = 0;
  double share_high = 1;  // of the time
  double memory_s = 1;    // time constant of the autocorrelation
};

// The streams whose sum has this rate and, as closely as non-negative parts allow, these indices of
// dispersion. Empty when none is given.
std::vector<ModulatedStream> fit_streams(double rate, const Burstiness& shape);

// Times of arrival, ascending from 0. Thread-compatible.
class ArrivalTimes {
 public:
  // Precondition: check_arrivals(arrivals) and no trace.
  ArrivalTimes(const Arrivals& arrivals, std::uint64_t seed);

  double next_s();

 private:
  struct Stream {
    ModulatedStream parameters;
    bool high = false;
    double state_ends_s = 0;
    double next_s = 0;
  };

  double next_even_s();
  double gap_s();
  void switch_state(Stream& stream);
  void draw(Stream& stream);
  double stretched_s(double even_s);

  Random random_;
  double rate_;
  double c2a_;
  double now_s_ = 0;
  std::vector<Stream> streams_;
  std::vector<double> weight_;
  std::size_t hour_ = 0;    // of the stretched time
  double hour_even_s_ = 0;  // even time at its start
};

// Lengths in tokens: a lognormal from mean and cv, or through three percentiles (log-linear in the
// normal score between and beyond them) when p50 > 0.
struct Lengths {
  double mean = 1;
  double cv = 1;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
};

// `field` is named in the error.
Status check_lengths(const Lengths& lengths, const char* field);

// A length for u in (0, 1), rounded, at least 1 and at most kLengthMax. Thread-compatible.
class LengthSampler {
 public:
  explicit LengthSampler(const Lengths& lengths);
  int operator()(double u) const;

 private:
  double middle_ = 0;  // logarithm at the median
  double slope_low_ = 0;
  double slope_high_ = 0;  // beyond the 90th percentile
};

// What a list of ascending times shows; an index is 0 with fewer than ten windows of its length.
Burstiness measure_burstiness(std::span<const double> times_s);

}  // namespace holdfast::planner
