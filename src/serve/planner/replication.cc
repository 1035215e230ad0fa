#include "replication.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace holdfast::planner {
namespace {

// A request that lost its replica this often is given up: a fleet that fails faster than it answers
// would otherwise never end.
constexpr int kRetriesMax = 20;

// Streams of randomness that must not move each other: with the same seed, more load means the same
// requests closer together.
enum class Stream : std::uint64_t { kArrivals = 1, kLengths = 2, kFaults = 3 };

std::uint64_t stream_seed(std::uint64_t seed, int replication, Stream stream) {
  std::uint64_t state = seed;
  state = splitmix64(state) + static_cast<std::uint64_t>(replication);
  state = splitmix64(state) + static_cast<std::uint64_t>(stream);
  return splitmix64(state);
}

int cached_tokens(int isl, double hit) {
  // The last token is always computed: its output is the first token of the answer.
  return std::min(static_cast<int>(std::lround(isl * hit)), isl - 1);
}

}  // namespace

Replication::Replication(const Simulation& simulation, const StepClock& clock, int index)
    : simulation_(simulation), faults_(stream_seed(simulation.seed, index, Stream::kFaults)) {
  if (simulation.arrivals.trace.empty()) {
    requests_.resize(static_cast<std::size_t>(simulation.requests));
    ArrivalTimes times(simulation.arrivals, stream_seed(simulation.seed, index, Stream::kArrivals));
    for (SimulatedRequest& request : requests_) request.arrival_s = times.next_s();
    draw_requests(stream_seed(simulation.seed, index, Stream::kLengths));
  } else {
    take_trace(stream_seed(simulation.seed, index, Stream::kArrivals), index);
  }
  for (int i = 0; i < simulation.fleet.replicas; ++i) {
    slots_.push_back({.replica = Replica(clock, simulation.limits, requests_)});
  }
}

void Replication::draw_requests(std::uint64_t seed) {
  std::vector<LengthSampler> isl;
  std::vector<LengthSampler> osl;
  double shares = 0;
  for (const RequestClass& cls : simulation_.classes) {
    isl.emplace_back(cls.isl);
    osl.emplace_back(cls.osl);
    shares += cls.share;
  }
  Random random(seed);
  for (SimulatedRequest& request : requests_) {
    double left = random.uniform() * shares;
    std::size_t c = 0;
    while (c + 1 < simulation_.classes.size() && left >= simulation_.classes[c].share) {
      left -= simulation_.classes[c].share;
      ++c;
    }
    request.cls = static_cast<std::uint8_t>(c);
    request.priority = static_cast<std::uint8_t>(simulation_.classes[c].priority);
    request.isl = isl[c](random.uniform());
    request.osl = osl[c](random.uniform());
    request.cached = cached_tokens(request.isl, simulation_.classes[c].prefix_hit);
  }
}

// Replication 0 replays from the start; each other one from a place of its own, past the end on to
// the beginning.
void Replication::take_trace(std::uint64_t seed, int index) {
  const std::vector<TraceRequest>& trace = simulation_.arrivals.trace;
  const std::size_t count = std::min(trace.size(), static_cast<std::size_t>(simulation_.requests));
  const std::size_t first = index == 0 ? 0 : Random(seed).next() % trace.size();
  const double span_s = (trace.back().at - trace.front().at).value();
  const double lap_s = span_s + span_s / static_cast<double>(trace.size());
  for (std::size_t i = 0; i < count; ++i) {
    const TraceRequest& from = trace[(first + i) % trace.size()];
    SimulatedRequest request;
    request.arrival_s =
        (from.at - trace[first].at).value() + (first + i >= trace.size() ? lap_s : 0);
    request.isl = from.isl;
    request.osl = from.osl;
    request.priority = static_cast<std::uint8_t>(simulation_.classes[0].priority);
    request.cached = cached_tokens(from.isl, simulation_.classes[0].prefix_hit);
    requests_.push_back(request);
  }
}

void Replication::schedule(double at_s, What what, std::size_t replica) {
  events_.push({at_s, scheduled_++, what, replica});
}

void Replication::start_fleet() {
  const Autoscaling& scaling = simulation_.fleet.autoscaling;
  const std::size_t on = scaling.enabled ? static_cast<std::size_t>(scaling.least) : slots_.size();
  const double mtbf_s = simulation_.fleet.failures.mtbf.value();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (i < on) slots_[i].state = State::kOn;
    if (mtbf_s > 0) schedule(faults_.exponential() * mtbf_s, What::kFail, i);
  }
  if (scaling.enabled) schedule(scaling.check.value(), What::kCheck, 0);
}

bool Replication::work_left() const {
  if (next_ < requests_.size() || !pending_.empty()) return true;
  return std::any_of(slots_.begin(), slots_.end(),
                     [](const Slot& slot) { return !slot.replica.idle(); });
}

void Replication::advance_all(double until_s) {
  for (Slot& slot : slots_) slot.replica.advance(until_s);
}

void Replication::run() {
  start_fleet();
  while (work_left()) {
    const double event_s =
        events_.empty() ? std::numeric_limits<double>::infinity() : events_.top().at_s;
    const double arrival_s = next_ < requests_.size() ? requests_[next_].arrival_s
                                                      : std::numeric_limits<double>::infinity();
    advance_all(std::min(event_s, arrival_s));
    if (arrival_s <= event_s) {
      if (next_ < requests_.size()) {
        route(arrival_s, static_cast<std::uint32_t>(next_));
        ++next_;
      }
      continue;
    }
    const Event event = events_.top();
    events_.pop();
    handle(event);
  }
  close_books();
}

void Replication::handle(const Event& event) {
  Slot& slot = slots_[event.replica];
  switch (event.what) {
    case What::kReady:
      if (slot.state == State::kStarting) slot.state = State::kOn;
      flush_pending(event.at_s);
      return;
    case What::kFail:
      fail(event.at_s, event.replica);
      return;
    case What::kRepair:
      slot.state = State::kOn;
      schedule(event.at_s + faults_.exponential() * simulation_.fleet.failures.mtbf.value(),
               What::kFail, event.replica);
      flush_pending(event.at_s);
      return;
    case What::kCheck:
      autoscale(event.at_s);
      schedule(event.at_s + simulation_.fleet.autoscaling.check.value(), What::kCheck, 0);
      return;
  }
}

std::optional<std::size_t> Replication::choose() {
  std::optional<std::size_t> best;
  for (std::size_t step = 0; step < slots_.size(); ++step) {
    const bool robin = simulation_.fleet.route == RoutePolicy::kRoundRobin;
    const std::size_t i = robin ? (robin_ + step) % slots_.size() : step;
    if (slots_[i].state != State::kOn) continue;
    if (robin) {
      robin_ = i + 1;
      return i;
    }
    if (!best || slots_[i].replica.load() < slots_[*best].replica.load()) best = i;
  }
  return best;
}

void Replication::to_api(double at_s, std::uint32_t id) {
  const BurstLane& lane = simulation_.fleet.burst;
  SimulatedRequest& request = requests_[id];
  if (request.first_s < 0) request.first_s = at_s + lane.ttft.value();
  request.finish_s = at_s + lane.ttft.value() + lane.tpot.value() * (request.osl - 1);
  ++totals_.burst;
}

void Replication::route(double at_s, std::uint32_t id) {
  const bool lane = simulation_.fleet.burst.enabled;
  if (!slots_.front().replica.fits(requests_[id])) {
    ++totals_.rejected;
    return;
  }
  const std::optional<std::size_t> chosen = choose();
  if (!chosen) {
    if (lane) {
      to_api(at_s, id);
    } else {
      pending_.push_back(id);
    }
    return;
  }
  Replica& replica = slots_[*chosen].replica;
  if (lane && replica.expected_wait_s() > simulation_.fleet.burst.wait_max.value()) {
    to_api(at_s, id);
  } else if (simulation_.limits.queue_max > 0 &&
             replica.waiting() >= simulation_.limits.queue_max) {
    ++totals_.rejected;
  } else {
    replica.enqueue(at_s, id);
  }
}

void Replication::fail(double at_s, std::size_t i) {
  const Failures& failures = simulation_.fleet.failures;
  Slot& slot = slots_[i];
  if (slot.state != State::kOn && slot.state != State::kDraining) {
    schedule(at_s + faults_.exponential() * failures.mtbf.value(), What::kFail, i);
    return;
  }
  const double up_s = at_s + faults_.exponential() * failures.mttr.value();
  slot.state = State::kDown;
  schedule(up_s, What::kRepair, i);
  for (std::uint32_t id : slot.replica.fail(up_s)) {
    ++totals_.retried;
    if (++requests_[id].retries > kRetriesMax) {
      requests_[id].first_s = -1;
      ++totals_.rejected;
    } else {
      route(at_s, id);
    }
  }
}

void Replication::flush_pending(double at_s) {
  std::deque<std::uint32_t> waiting;
  waiting.swap(pending_);
  for (std::uint32_t id : waiting) route(at_s, id);
}

void Replication::autoscale(double at_s) {
  const Autoscaling& scaling = simulation_.fleet.autoscaling;
  stop_drained(at_s);
  std::size_t load = pending_.size();
  int have = 0;
  for (const Slot& slot : slots_) {
    load += static_cast<std::size_t>(slot.replica.load());
    if (slot.state != State::kOff && slot.state != State::kDraining) ++have;
  }
  const double needed = std::ceil(static_cast<double>(load) / scaling.requests_per_replica);
  const int wanted = static_cast<int>(
      std::clamp<double>(needed, scaling.least, static_cast<double>(slots_.size())));
  if (wanted >= have) low_since_s_ = -1;
  if (wanted > have) grow(at_s, wanted - have);
  if (wanted < have) {
    if (low_since_s_ < 0) low_since_s_ = at_s;
    if (at_s - low_since_s_ >= scaling.stop_after.value()) shrink(have - wanted);
  }
}

// First those that are still warm, then cold ones.
void Replication::grow(double at_s, int wanted) {
  for (Slot& slot : slots_) {
    if (wanted == 0 || slot.state != State::kDraining) continue;
    slot.state = State::kOn;
    --wanted;
  }
  for (std::size_t i = 0; i < slots_.size() && wanted > 0; ++i) {
    if (slots_[i].state != State::kOff) continue;
    slots_[i].state = State::kStarting;
    slots_[i].since_s = at_s;
    schedule(at_s + simulation_.fleet.autoscaling.start_delay.value(), What::kReady, i);
    --wanted;
  }
}

void Replication::shrink(int unwanted) {
  for (std::size_t i = slots_.size(); i-- > 0 && unwanted > 0;) {
    if (slots_[i].state != State::kOn) continue;
    slots_[i].state = State::kDraining;
    --unwanted;
  }
}

void Replication::stop_drained(double at_s) {
  for (Slot& slot : slots_) {
    if (slot.state != State::kDraining || !slot.replica.idle()) continue;
    slot.state = State::kOff;
    totals_.replica_s += at_s - slot.since_s;
  }
}

void Replication::close_books() {
  double end_s = 0;
  std::vector<double> times_s;
  for (const SimulatedRequest& request : requests_) {
    end_s = std::max({end_s, request.finish_s, request.arrival_s});
    times_s.push_back(request.arrival_s);
  }
  totals_.span_s = end_s - times_s.front();
  totals_.burstiness = measure_burstiness(times_s);
  for (const Slot& slot : slots_) {
    if (slot.state != State::kOff) {
      totals_.replica_s += std::max(0.0, end_s - std::max(slot.since_s, times_s.front()));
    }
    const ReplicaTotals& from = slot.replica.totals();
    ReplicaTotals& sum = totals_.replicas;
    sum.busy_s += from.busy_s;
    sum.running_s += from.running_s;
    sum.iterations += from.iterations;
    sum.preempted += from.preempted;
    sum.output_tokens += from.output_tokens;
    sum.kv_tokens_peak = std::max(sum.kv_tokens_peak, from.kv_tokens_peak);
  }
}

}  // namespace holdfast::planner
