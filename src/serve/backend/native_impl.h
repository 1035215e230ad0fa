// The state of a NativeBackend and who works on it: a loading thread, an attendant for everything
// that is due at some time, and a reaper that ends engines.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "holdfast/backend/native_backend.h"
#include "load_estimate.h"

namespace holdfast::backend {

// Longer than anyone means, and far from where the sum with a point in time would overflow.
inline constexpr std::chrono::milliseconds kKeepAliveMax = std::chrono::hours(24 * 3650);

using Clock = std::chrono::steady_clock;
using Engine = std::shared_ptr<EngineProcess>;

// A loaded model that a request counts as active on, until it is released.
struct Lease {
  Engine engine;
  std::string id;
  std::uint64_t load_ns = 0;  // time spent waiting for the load
};

// What waits for a model. Called once, without the mutex.
struct Waiter {
  std::uint64_t id = 0;  // to find it again; 0: nobody looks for it
  std::optional<Clock::time_point> deadline;
  Clock::time_point since;
  std::function<void(std::variant<Lease, Failure>)> call;
};

struct WaitOptions {
  std::uint64_t id = 0;
  std::optional<Clock::time_point> deadline;
  std::optional<std::chrono::milliseconds> keep_alive;
  bool wait_for_load = true;
  bool management = false;  // keep_alive may take a pin away
};

using Loaded = std::variant<Engine, Failure>;
using Unloaded = Done<std::monostate>;

// An engine that is to end, and who waits for that.
struct Dropped {
  Engine engine;
  std::vector<Unloaded> done;
};

// A waiter that gets no engine, and why.
struct Refused {
  Waiter waiter;
  Failure failure;
};

// One model that was asked for since the backend began.
struct Slot {
  ModelFacts facts;
  ModelState state = ModelState::kCold;
  Engine engine;
  std::vector<Waiter> waiters;
  bool wanted = false;                      // is to be loaded although nobody waits
  std::chrono::milliseconds keep_alive{0};  // negative: pinned
  Clock::time_point last_used;
  Clock::time_point ready_since;
  Clock::time_point blocked_until;  // after a crash or a failed load
  std::optional<Failure> failure;   // of the last load
  std::uint32_t failures = 0;       // loads that failed, in a row
  std::uint32_t crashes = 0;        // of engines that did not live long, in a row
  std::uint32_t active = 0;
  EngineFacts said;    // what the engine last said of its work
  EngineFacts before;  // counters of the engines before it
  bool ended = false;  // a request ended after it last said so
  bool asked = false;  // and has not answered yet
  Clock::time_point stats_at;
  std::uint32_t restarts = 0;
  std::int64_t loaded_at = 0;
  std::uint64_t load_ms = 0;
  std::vector<Unloaded> unloaded;  // unload the engine that is being started

  bool pinned() const { return keep_alive.count() < 0; }
  // May be ended now without anybody noticing but the next request.
  bool idle() const { return engine != nullptr && active == 0; }
};

struct NativeBackend::Impl : std::enable_shared_from_this<NativeBackend::Impl> {
  Impl(NativeBackendOptions o, std::shared_ptr<ModelCatalog> c);

  // native_backend.cc: what callers ask for.
  void with_engine(const std::string& model, const WaitOptions& how,
                   std::function<void(std::variant<Lease, Failure>)> call);
  std::optional<Failure> queue_up(Slot& slot, const WaitOptions& how, Waiter waiter);
  void leave(std::uint64_t waiter);
  void release(const std::string& id);
  void unload(const std::string& id, Unloaded done);
  void drop(Slot& slot, std::vector<Unloaded> done);
  EngineFacts facts_of(const Slot& slot) const;
  LoadView load_view(const Slot& slot) const;
  Failure loading(const Slot& slot) const;

  // loading.cc: on the loading thread.
  void work();
  void load_one(const std::string& id);
  Loaded start_engine(const ModelFacts& facts);
  Status add_draft(const ModelFacts& model, EngineProcessOptions& o) const;
  Loaded start_with_eviction(const std::string& id, const ModelFacts& facts);
  Failure no_room(const std::string& id, Failure failure) const;
  bool evict_one(const std::string& except);
  void finish_load(const std::string& id, Loaded loaded, std::chrono::nanoseconds took);
  std::variant<Lease, Failure> settle(Slot& slot, const Loaded& loaded,
                                      std::chrono::nanoseconds took);
  bool settle_abandoned(Slot& slot);
  void engine_exited(const std::string& id, const EngineProcess* which);
  std::uint64_t memory_left() const;

  // upkeep.cc: on the attendant and the reaper.
  void attend();
  void reap();
  void sweep_idle(std::optional<Clock::time_point>& wake);
  void sweep_waiters(std::optional<Clock::time_point>& wake);
  void watch_engines(std::optional<Clock::time_point>& wake);
  bool refresh_stats(std::unique_lock<std::mutex>& lock, std::optional<Clock::time_point>& wake);
  void store_stats(const std::string& id, const EngineProcess* which, const wire::Message& m);

  std::chrono::milliseconds idle_time() const {
    const std::lock_guard lock(mutex);
    return idle_default;
  }

  const NativeBackendOptions options;
  const std::shared_ptr<ModelCatalog> catalog;
  // Which engines compute now: a load makes room for them. Null where the system cannot.
  std::shared_ptr<platform::BusyBoard> board;

  mutable std::mutex mutex;  // of what follows; never held while a callback runs
  // Idle time of a model whose loader named none.
  std::chrono::milliseconds idle_default = std::min(options.keep_alive, kKeepAliveMax);
  std::condition_variable changed;
  std::map<std::string, Slot> slots;
  std::deque<std::string> to_load;
  std::vector<Refused> refused;  // to be told by the attendant
  LoadEstimator estimator;
  std::string loading_id;  // the model whose engine is being started
  Clock::time_point loading_since;
  std::atomic<pid_t> loading_pid{0};
  // Ends the start that is under way: at shutdown, and when its model is unloaded.
  std::atomic<bool> abandon{false};
  // Engines end on a thread of their own: not on one that reads from them, and not behind a load.
  std::vector<Dropped> to_drop;
  std::size_t ending = 0;  // of those, and the ones that the reaper has taken
  std::condition_variable dropped;
  std::uint64_t next_waiter = 1;
  std::uint64_t restarts_total = 0;
  bool stopping = false;
  bool reaping = true;
  std::thread worker;
  std::thread attendant;
  std::thread reaper;
};

// Names shared by the three parts.
std::int64_t unix_now();
// Milliseconds, rounded up; 0 for what is past.
std::uint64_t count_ms(std::chrono::nanoseconds d);
// Of an engine's predecessors to its own.
void add_counters(EngineFacts& to, const EngineFacts& from);
std::uint64_t info_number(const json::Value& info, std::string_view key);
Failure failure_of(const Error& error);
Failure shutting_down();

// The earlier of both.
inline void earlier(std::optional<Clock::time_point>& wake, Clock::time_point at) {
  wake = wake ? std::min(*wake, at) : at;
}

}  // namespace holdfast::backend
