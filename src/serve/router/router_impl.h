// State shared by the requests of one router.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "holdfast/router/router.h"

namespace holdfast::router {

// One way to run a request: a target that has the model, and the name it has there.
struct Candidate {
  std::size_t target = 0;
  std::uint32_t slots = 0;
};

// What is known of a model over all targets.
struct ModelWays {
  std::string id;
  std::uint32_t slots = 0;
  std::vector<Candidate> ways;
};

class Flight;

struct RouterMetrics {
  explicit RouterMetrics(observe::Registry& registry);

  observe::Family<observe::Counter>& decisions;
  observe::Family<observe::Counter>& requests;
  observe::Family<observe::Counter>& errors;
  observe::Family<observe::Histogram>& latency;
  observe::Family<observe::Gauge>& breaker_state;
  observe::Family<observe::Gauge>& memory_in_use;
  observe::Family<observe::Counter>& shed;
};

class Router::Impl : public std::enable_shared_from_this<Router::Impl> {
 public:
  Impl(RouterOptions o, std::vector<Target> t, Environment e);
  // Ends the router's thread. What waits for another attempt is told that it was cancelled.
  void stop();
  bool stopping();

  Instant now() const { return Instant(env.clock.monotonic_ns()); }
  // The model of an id or alias; no ways: nobody has it.
  ModelWays ways_of(std::string_view model);

  // The first target that has the model and may be tried, else the first that has it.
  backend::Backend* first_with(std::string& model);

  std::optional<Refusal> admit(const ModelWays& model, const Arrival& arrival);
  // Of one that was admitted. Returns the number under which it is known until it ends.
  std::uint64_t add_flight(std::weak_ptr<Flight> flight);
  void admitted_started(const std::string& model, const Arrival& arrival);
  void admitted_ended(const std::string& model, std::uint32_t slots, const Arrival& arrival,
                      bool was_started, std::uint64_t flight);
  void set_admission(AdmissionLimits limits);
  void set_memory_in_use(double part);
  MemoryLevel memory_level() const { return memory_level_.load(std::memory_order_relaxed); }

  // A target that may be tried, not `except`; it then counts as under way there until leave().
  std::optional<std::size_t> choose(const ModelWays& model, std::uint64_t affinity,
                                    std::optional<std::size_t> except, std::string_view reason);
  // Whether another target could be chosen.
  bool has_other(const ModelWays& model, std::size_t except);
  // The same one once more, if its breaker lets it.
  bool choose_again(std::size_t target);
  enum class Verdict : std::uint8_t { kGood, kBad, kNone };
  void leave(std::size_t target, Verdict verdict, Instant began);
  std::uint64_t retry_after_ms(const ModelWays& model);

  // Runs `job` on the router's thread after the retry pause, or at once when the router stops.
  void later(std::function<void()> job);

  std::vector<backend::RouteFacts> routes();
  void refresh_metrics();

  RouterOptions options;  // `admission` under the lock
  std::vector<Target> targets;
  Environment env;

 private:
  struct TargetState {
    explicit TargetState(BreakerOptions options, platform::Entropy& entropy)
        : breaker(options, entropy) {}
    Breaker breaker;
    std::uint32_t under_way = 0;
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
  };
  struct KnownSlots {
    std::uint32_t slots = 0;
    Instant read_at{};
  };

  std::uint32_t slots_of(std::size_t target, const std::string& model);
  void enter(std::size_t target, std::string_view reason);
  void work();

  void shed_youngest();

  RouterMetrics metrics_;
  std::atomic<MemoryLevel> memory_level_{MemoryLevel::kNormal};

  std::mutex mutex_;  // of what follows; never held while a backend or an observer is called
  std::vector<TargetState> states_;
  std::map<std::uint64_t, std::weak_ptr<Flight>> flights_;  // oldest first
  std::uint64_t next_flight_ = 0;
  std::map<std::string, AdmissionControl> gates_;  // by model id; one for each that was asked for
  std::map<std::pair<std::size_t, std::string>, KnownSlots> slots_;

  std::mutex jobs_mutex_;
  std::condition_variable jobs_changed_;
  std::vector<std::pair<Instant, std::function<void()>>> jobs_;
  bool stopping_ = false;
  std::thread worker_;
};

}  // namespace holdfast::router
