// A first-come-first-served queue with k slots in front of the real admission rule, in simulated
// time. The oracle of the overload promises: it knows every arrival, wait and end.
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <queue>
#include <random>
#include <vector>

#include "holdfast/platform/entropy.h"
#include "holdfast/router/admission.h"

namespace holdfast::router {

enum class Service { kFixed, kLogNormal };

struct Scenario {
  std::uint32_t slots = 8;
  double service_s = 1;
  double prefill_s = 0.1;  // part of the service before the first token
  Service service = Service::kFixed;
  AdmissionLimits limits;
  double duration_s = 120;
  // Arrivals per second at a time, as a multiple of what the slots can serve.
  std::function<double(double)> load = [](double) { return 1.0; };
  std::function<std::string(std::mt19937_64&)> tenant = [](auto&) { return std::string("t"); };
  std::uint64_t seed = 1;
};

struct Outcome {
  double arrived_s = 0;
  bool admitted = false;
  double first_token_s = 0;  // after arrival
  double ended_s = -1;       // point in time
  double retry_after_s = 0;
  std::uint32_t waiting = 0;  // found on arrival
  std::string tenant;
};

class QueueSimulation {
 public:
  explicit QueueSimulation(const Scenario& scenario)
      : s_(scenario), random_(scenario.seed), entropy_(scenario.seed), gate_(s_.limits, entropy_) {}

  // Poisson arrivals until the duration is over; what was let in then ends.
  std::vector<Outcome> open_loop() {
    double at = 0;
    while (true) {
      const double rate = s_.load(at) * s_.slots / s_.service_s;
      at += std::exponential_distribution<double>(rate)(random_);
      if (at > s_.duration_s) break;
      run_until(at);
      arrive(at, s_.tenant(random_));
    }
    run_until(1e18);
    return std::move(outcomes_);
  }

  // `users` who each send the next request when the last has ended, or after the time told.
  std::vector<Outcome> closed_loop(std::uint32_t users) {
    using At = std::pair<double, std::uint32_t>;
    std::priority_queue<At, std::vector<At>, std::greater<>> due;
    for (std::uint32_t u = 0; u < users; ++u) due.push({0.001 * u, u});
    on_end_ = [&](std::size_t index, double now) { due.push({now, user_of_[index]}); };
    while (true) {
      const double next = due.empty() ? 1e18 : due.top().first;
      if (!ends_.empty() && ends_.top().first <= next) {
        if (ends_.top().first > s_.duration_s) break;
        end_one();
        continue;
      }
      if (due.empty() || next > s_.duration_s) break;
      const std::uint32_t user = due.top().second;
      due.pop();
      user_of_.push_back(user);
      arrive(next, "t");
      if (!outcomes_.back().admitted) due.push({next + outcomes_.back().retry_after_s, user});
    }
    return std::move(outcomes_);
  }

  double mean_drawn_s() const { return drawn_s_ / std::max(1.0, drawn_); }
  const AdmissionControl& gate() const { return gate_; }

 private:
  static Instant instant(double s) { return Instant(static_cast<std::int64_t>(s * 1e9)); }

  Arrival arrival_of(const Outcome& o) const { return {o.tenant, 1, {}, false}; }

  double draw_service() {
    double out = s_.service_s;
    if (s_.service == Service::kLogNormal) {  // mean service_s, standard deviation the same
      const double sigma = std::sqrt(std::log(2.0));
      out *= std::lognormal_distribution<double>(-sigma * sigma / 2, sigma)(random_);
    }
    drawn_s_ += out;
    ++drawn_;
    return out;
  }

  void arrive(double now, std::string tenant) {
    Outcome o;
    o.arrived_s = now;
    o.tenant = std::move(tenant);
    o.waiting = gate_.waiting(s_.slots);
    Arrival arrival = arrival_of(o);
    arrival.priority = backend::Priority::kInteractive;
    const auto refusal = gate_.arrive(instant(now), s_.slots, arrival);
    o.admitted = !refusal;
    if (refusal) o.retry_after_s = static_cast<double>(refusal->retry_after.count()) / 1000;
    outcomes_.push_back(o);
    if (!o.admitted) return;
    waiting_.push_back(outcomes_.size() - 1);
    start(now);
  }

  void start(double now) {
    while (busy_ < s_.slots && !waiting_.empty()) {
      const std::size_t index = waiting_.front();
      waiting_.pop_front();
      ++busy_;
      outcomes_[index].first_token_s = now - outcomes_[index].arrived_s + s_.prefill_s;
      Arrival arrival = arrival_of(outcomes_[index]);
      arrival.priority = backend::Priority::kInteractive;
      gate_.started(arrival);
      ends_.push({now + draw_service(), index});
    }
  }

  void end_one() {
    const auto [now, index] = ends_.top();
    ends_.pop();
    --busy_;
    outcomes_[index].ended_s = now;
    Arrival arrival = arrival_of(outcomes_[index]);
    arrival.priority = backend::Priority::kInteractive;
    gate_.ended(instant(now), s_.slots, arrival, true);
    start(now);
    if (on_end_) on_end_(index, now);
  }

  void run_until(double now) {
    while (!ends_.empty() && ends_.top().first <= now) end_one();
  }

  using End = std::pair<double, std::size_t>;
  const Scenario s_;
  std::mt19937_64 random_;
  platform::SeededEntropy entropy_;
  AdmissionControl gate_;
  std::vector<Outcome> outcomes_;
  std::deque<std::size_t> waiting_;
  std::priority_queue<End, std::vector<End>, std::greater<>> ends_;
  std::uint32_t busy_ = 0;
  double drawn_s_ = 0;
  double drawn_ = 0;
  std::vector<std::uint32_t> user_of_;
  std::function<void(std::size_t, double)> on_end_;
};

// Of those that fit; 0 where there are none.
inline double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto at = static_cast<std::size_t>(p * static_cast<double>(values.size() - 1));
  return values[at];
}

}  // namespace holdfast::router
