// One run of the simulated fleet over one stream of requests.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <vector>

#include "holdfast/planner/simulate.h"
#include "replica.h"

namespace holdfast::planner {

struct ReplicationTotals {
  std::int64_t rejected = 0;
  std::int64_t burst = 0;
  std::int64_t retried = 0;
  double replica_s = 0;
  double span_s = 0;
  ReplicaTotals replicas;  // summed; the peak is the largest
  Burstiness burstiness;
};

// Precondition of all: the simulation was checked.
class Replication {
 public:
  Replication(const Simulation& simulation, const StepClock& clock, int index);

  void run();
  // Those that were not rejected have first_s and finish_s.
  const std::vector<SimulatedRequest>& requests() const { return requests_; }
  const ReplicationTotals& totals() const { return totals_; }

 private:
  enum class State { kOff, kStarting, kOn, kDraining, kDown };
  enum class What { kReady, kFail, kRepair, kCheck };
  struct Event {
    double at_s;
    std::uint64_t order;  // of scheduling: ties are resolved the same way every time
    What what;
    std::size_t replica;
    bool operator>(const Event& other) const {
      return at_s != other.at_s ? at_s > other.at_s : order > other.order;
    }
  };
  struct Slot {
    Replica replica;
    State state = State::kOff;
    double since_s = 0;  // it costs money
  };

  void draw_requests(std::uint64_t seed);
  void take_trace(std::uint64_t seed, int index);
  void schedule(double at_s, What what, std::size_t replica);
  void start_fleet();
  bool work_left() const;
  void advance_all(double until_s);
  void handle(const Event& event);
  void route(double at_s, std::uint32_t id);
  std::optional<std::size_t> choose();
  void to_api(double at_s, std::uint32_t id);
  void fail(double at_s, std::size_t i);
  void flush_pending(double at_s);
  void autoscale(double at_s);
  void grow(double at_s, int wanted);
  void shrink(int unwanted);
  void stop_drained(double at_s);
  void close_books();

  const Simulation& simulation_;
  std::vector<SimulatedRequest> requests_;
  std::size_t next_ = 0;  // arrival
  std::vector<Slot> slots_;
  std::size_t robin_ = 0;
  std::deque<std::uint32_t> pending_;  // no replica is up
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::uint64_t scheduled_ = 0;
  double low_since_s_ = -1;
  Random faults_;
  ReplicationTotals totals_;
};

}  // namespace holdfast::planner
