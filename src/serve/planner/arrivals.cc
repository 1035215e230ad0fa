#include "holdfast/planner/arrivals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "holdfast/planner/sobol.h"
#include "least_squares.h"

namespace holdfast::planner {
namespace {

constexpr double kSecondsOfHour = kSecondsPerHour;
constexpr std::array<double, 3> kWindows_s{1, 10, 60};
// Time constants of the streams: below, between and above the windows that are specified.
constexpr std::array<double, 4> kMemories_s{0.3, 3, 20, 150};
constexpr double kSingleC2aMin = 3;
constexpr double kSingleErrorMax = 0.15;
constexpr double kZ90 = 1.2815515655446004;
constexpr double kZ99 = 2.3263478740408408;

Error bad(const std::string& field) {
  return Error(ErrorCode::kInvalidArgument, field + " is out of range");
}

bool in_range(double value, double low, double high) {
  return std::isfinite(value) && value >= low && value <= high;
}

Status check_trace(const std::vector<TraceRequest>& trace) {
  if (trace.size() > kTraceMax) return bad("trace length");
  double last = 0;
  for (const TraceRequest& request : trace) {
    if (!in_range(request.at.value(), last, 1e12)) return bad("trace time");
    if (request.isl < 1 || request.isl > kLengthMax) return bad("trace context tokens");
    if (request.osl < 1 || request.osl > kLengthMax) return bad("trace generated tokens");
    last = request.at.value();
  }
  return ok_status();
}

// The share of a stream's excess that a window sees: 2m * (1 - (1 - exp(-t/m)) * m/t).
double seen(double window_s, double memory_s) {
  const double r = window_s / memory_s;
  return 2 * memory_s * (1 + std::expm1(-r) / r);
}

bool has_dispersion(const Burstiness& shape) {
  return shape.idc_1s > 0 || shape.idc_10s > 0 || shape.idc_60s > 0;
}

// Non-negative parts whose sum comes closest to the excess in each given window, in relative terms.
std::array<double, kMemories_s.size()> fit_parts(const std::array<double, 3>& excess) {
  std::array<double, kMemories_s.size()> none{};
  std::array<double, kMemories_s.size()> wide{};
  wide.fill(1e3);  // nearly no preference for small parts: only to have one solution
  LeastSquares problem(none, wide);
  for (std::size_t i = 0; i < excess.size(); ++i) {
    if (excess[i] <= 0) continue;
    std::array<double, kMemories_s.size()> row{};
    for (std::size_t j = 0; j < row.size(); ++j)
      row[j] = seen(kWindows_s[i], kMemories_s[j]) / excess[i];
    problem.add(row, 1, 1);
  }
  const std::vector<double> parts = problem.solve_nonnegative();
  std::copy(parts.begin(), parts.end(), none.begin());
  return none;
}

// One part and its memory.
struct SinglePart {
  double memory_s = 1;
  double part = 0;
  double worst = 0;  // largest relative error of an index of dispersion
};

// The memory for which one part comes closest to all windows.
SinglePart fit_single(const std::array<double, 3>& excess) {
  SinglePart best;
  best.worst = std::numeric_limits<double>::infinity();
  constexpr int kGrid = 240;
  for (int i = 0; i <= kGrid; ++i) {
    SinglePart trial;
    trial.memory_s = std::pow(10, -1 + 4.0 * i / kGrid);
    double top = 0;
    double bottom = 0;
    for (std::size_t w = 0; w < excess.size(); ++w) {
      if (excess[w] <= 0) continue;
      const double a = seen(kWindows_s[w], trial.memory_s) / excess[w];
      top += a;
      bottom += a * a;
    }
    trial.part = bottom > 0 ? top / bottom : 0;
    for (std::size_t w = 0; w < excess.size(); ++w) {
      if (excess[w] <= 0) continue;
      const double got = trial.part * seen(kWindows_s[w], trial.memory_s);
      trial.worst = std::max(trial.worst, std::abs(got - excess[w]) / (1 + excess[w]));
    }
    if (trial.worst < best.worst) best = trial;
  }
  return best;
}

// A stream with relative variance `variance` of its rate: symmetric levels while these stay
// positive, else on and off.
ModulatedStream stream_of(double rate, double variance, double memory_s) {
  ModulatedStream stream;
  stream.memory_s = memory_s;
  if (variance <= 1) {
    stream.share_high = 0.5;
    stream.rate_high = rate * (1 + std::sqrt(variance));
    stream.rate_low = rate * (1 - std::sqrt(variance));
  } else {
    stream.share_high = 1 / (1 + variance);
    stream.rate_high = rate * (1 + variance);
  }
  return stream;
}

double dispersion(std::span<const double> times_s, double window_s) {
  const double span_s = times_s.back() - times_s.front();
  const auto windows = static_cast<std::size_t>(span_s / window_s);
  if (windows < 10) return 0;
  // Times ascend, so a window's arrivals stand together; empty windows add nothing to the squares.
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < times_s.size();) {
    const auto window = static_cast<std::size_t>((times_s[i] - times_s.front()) / window_s);
    double count = 0;
    while (i < times_s.size() &&
           static_cast<std::size_t>((times_s[i] - times_s.front()) / window_s) == window) {
      ++count;
      ++i;
    }
    if (window >= windows) break;
    sum += count;
    squares += count * count;
  }
  const double mean = sum / static_cast<double>(windows);
  return mean > 0 ? (squares / static_cast<double>(windows) - mean * mean) / mean : 0;
}

}  // namespace

Status check_arrivals(const Arrivals& arrivals) {
  if (!arrivals.trace.empty()) return check_trace(arrivals.trace);
  if (!in_range(arrivals.rate.value(), 1e-9, 1e9)) return bad("arrival rate");
  if (!in_range(arrivals.shape.c2a, 0.001, 1e6)) return bad("c2a");
  for (double idc : {arrivals.shape.idc_1s, arrivals.shape.idc_10s, arrivals.shape.idc_60s}) {
    if (!in_range(idc, 0, 1e6)) return bad("idc");
  }
  if (arrivals.hourly_weight.size() > 366 * 24) return bad("hourly profile length");
  double sum = 0;
  for (double weight : arrivals.hourly_weight) {
    if (!in_range(weight, 0, 1e6)) return bad("hourly profile");
    sum += weight;
  }
  if (!arrivals.hourly_weight.empty() && sum <= 0) return bad("hourly profile");
  return ok_status();
}

std::vector<ModulatedStream> fit_streams(double rate, const Burstiness& shape) {
  if (!has_dispersion(shape)) return {};
  const std::array<double, 3> excess{shape.idc_1s - 1, shape.idc_10s - 1, shape.idc_60s - 1};
  // One stream that is silent between its bursts has the large c2a of machine traffic; a sum of
  // streams has not, because the others fill the gaps.
  if (shape.c2a >= kSingleC2aMin) {
    const SinglePart single = fit_single(excess);
    if (single.worst <= kSingleErrorMax) {
      return {stream_of(rate, single.part / rate, single.memory_s)};
    }
  }
  const auto parts = fit_parts(excess);
  const auto active = static_cast<double>(
      std::count_if(parts.begin(), parts.end(), [](double part) { return part > 0; }));
  std::vector<ModulatedStream> streams;
  for (std::size_t k = 0; k < parts.size(); ++k) {
    if (parts[k] <= 0) continue;
    // part = total rate * (share of the stream)^2 * its relative variance.
    streams.push_back(stream_of(rate / active, parts[k] * active * active / rate, kMemories_s[k]));
  }
  // Nothing beyond Poisson was asked for.
  if (streams.empty()) streams.push_back(stream_of(rate, 0, 1));
  return streams;
}

ArrivalTimes::ArrivalTimes(const Arrivals& arrivals, std::uint64_t seed)
    : random_(seed),
      rate_(arrivals.rate.value()),
      c2a_(arrivals.shape.c2a),
      weight_(arrivals.hourly_weight) {
  double sum = 0;
  for (double weight : weight_) sum += weight;
  for (double& weight : weight_) weight *= static_cast<double>(weight_.size()) / sum;
  for (const ModulatedStream& parameters : fit_streams(rate_, arrivals.shape)) {
    Stream stream;
    stream.parameters = parameters;
    stream.high = random_.uniform() >= parameters.share_high;
    switch_state(stream);
    draw(stream);
    streams_.push_back(stream);
  }
}

void ArrivalTimes::switch_state(Stream& stream) {
  stream.high = !stream.high;
  const double share_left =
      stream.high ? 1 - stream.parameters.share_high : stream.parameters.share_high;
  // Rates out of the two states are such that they sum to 1/memory.
  stream.state_ends_s += random_.exponential() * stream.parameters.memory_s / share_left;
}

// Spends a unit exponential at the rate of the states it passes through.
void ArrivalTimes::draw(Stream& stream) {
  double left = random_.exponential();
  for (;;) {
    const double rate = stream.high ? stream.parameters.rate_high : stream.parameters.rate_low;
    const double inside = rate * (stream.state_ends_s - stream.next_s);
    if (left < inside) {
      stream.next_s += left / rate;
      return;
    }
    left -= inside;
    stream.next_s = stream.state_ends_s;
    switch_state(stream);
  }
}

double ArrivalTimes::gap_s() {
  if (c2a_ == 1) return random_.exponential() / rate_;
  if (c2a_ < 1) {
    const int stages = static_cast<int>(std::lround(1 / c2a_));
    double sum = 0;
    for (int i = 0; i < stages; ++i) sum += random_.exponential();
    return sum / (stages * rate_);
  }
  // Hyperexponential with balanced means.
  const double p = (1 + std::sqrt((c2a_ - 1) / (c2a_ + 1))) / 2;
  const double branch = random_.uniform() < p ? p : 1 - p;
  return random_.exponential() / (2 * branch * rate_);
}

double ArrivalTimes::next_even_s() {
  if (streams_.empty()) return now_s_ += gap_s();
  const auto first =
      std::min_element(streams_.begin(), streams_.end(),
                       [](const Stream& a, const Stream& b) { return a.next_s < b.next_s; });
  now_s_ = first->next_s;
  draw(*first);
  return now_s_;
}

// The time at which the profile has let as much through as a flat one by `even_s`.
double ArrivalTimes::stretched_s(double even_s) {
  if (weight_.empty()) return even_s;
  double weight = weight_[hour_ % weight_.size()];
  while (even_s > hour_even_s_ + weight * kSecondsOfHour) {
    hour_even_s_ += weight * kSecondsOfHour;
    ++hour_;
    weight = weight_[hour_ % weight_.size()];
  }
  const double inside = weight > 0 ? (even_s - hour_even_s_) / weight : 0;
  return static_cast<double>(hour_) * kSecondsOfHour + inside;
}

double ArrivalTimes::next_s() { return stretched_s(next_even_s()); }

Status check_lengths(const Lengths& lengths, const char* field) {
  if (lengths.p50 == 0) {
    if (!in_range(lengths.mean, 1, kLengthMax)) return bad(std::string(field) + " mean");
    if (!in_range(lengths.cv, 0, 100)) return bad(std::string(field) + " cv");
    return ok_status();
  }
  if (!in_range(lengths.p50, 1, kLengthMax)) return bad(std::string(field) + " p50");
  if (!in_range(lengths.p90, lengths.p50, kLengthMax)) return bad(std::string(field) + " p90");
  if (!in_range(lengths.p99, lengths.p90, kLengthMax)) return bad(std::string(field) + " p99");
  return ok_status();
}

LengthSampler::LengthSampler(const Lengths& lengths) {
  if (lengths.p50 > 0) {
    middle_ = std::log(lengths.p50);
    slope_low_ = (std::log(lengths.p90) - middle_) / kZ90;
    slope_high_ = (std::log(lengths.p99) - std::log(lengths.p90)) / (kZ99 - kZ90);
    return;
  }
  const Lognormal from = lognormal_from_mean_cv(lengths.mean, lengths.cv);
  middle_ = std::log(from.median);
  slope_low_ = slope_high_ = from.sigma;
}

int LengthSampler::operator()(double u) const {
  if (slope_low_ == 0 && slope_high_ == 0) return static_cast<int>(std::lround(std::exp(middle_)));
  const double z = inverse_normal_cdf(u);
  const double log_length =
      middle_ + slope_low_ * std::min(z, kZ90) + slope_high_ * std::max(z - kZ90, 0.0);
  const double length = std::exp(std::min(log_length, 20.0));
  return static_cast<int>(std::clamp(std::round(length), 1.0, static_cast<double>(kLengthMax)));
}

Burstiness measure_burstiness(std::span<const double> times_s) {
  Burstiness measured;
  if (times_s.size() < 3) return measured;
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 1; i < times_s.size(); ++i) {
    const double gap = times_s[i] - times_s[i - 1];
    sum += gap;
    squares += gap * gap;
  }
  const auto gaps = static_cast<double>(times_s.size() - 1);
  const double mean = sum / gaps;
  measured.c2a = mean > 0 ? squares / gaps / (mean * mean) - 1 : 0;
  measured.idc_1s = dispersion(times_s, 1);
  measured.idc_10s = dispersion(times_s, 10);
  measured.idc_60s = dispersion(times_s, 60);
  return measured;
}

}  // namespace holdfast::planner
