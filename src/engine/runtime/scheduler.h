// Scheduler: who runs next. Plain decisions over plain values: no model, no clock, no memory of its
// own beyond its lists, so that a simulation runs the same code as the engine.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "holdfast/runtime/request.h"

namespace holdfast::runtime {

struct SchedulerOptions {
  std::uint32_t slots = 8;  // sequences that run together
  // More places, for tenants of which nothing runs: the first request of one tenant need not wait
  // for an answer of another to end.
  std::uint32_t guest_slots = 1;
  std::uint32_t queue_max = 256;  // waiting in one class
};

// What the scheduler must know of a request.
struct Job {
  RequestId id = 0;
  Scheduling scheduling;
  bool restartable = true;  // can give its place back and be computed again
};

// Classes: a higher one goes first, and takes the place of a lower one that runs. So that the
// lowest is not starved, one request of a lower class is admitted after kHigherInRow of higher ones
// that went before it, and keeps its place.
//
// Tenants of one class share by deficit round robin (Shreedhar, Varghese 1995) over computed
// tokens, weighted. What a request will cost is not known when it is admitted, so it is charged for
// its prompt then, and for each token of its answer as that comes; a tenant in debt waits until its
// rounds have paid it off. Debt and credit end when nothing of the tenant waits or runs.
//
// Inside a tenant and class: in order of arrival, those that had to start again first.
//
// Owned by the engine's loop.
class Scheduler {
 public:
  static constexpr std::int64_t kQuantumTokens = 128;  // of weight 1, a round
  static constexpr std::uint32_t kHigherInRow = 16;

  explicit Scheduler(const SchedulerOptions& options);

  // Behind the others of its tenant. False: the queue of its class is full.
  bool add(Job job);
  // The request has ended, or was withdrawn; unknown ids are ignored.
  void remove(RequestId id);

  struct Action {
    enum class Kind : std::uint8_t { kNone, kAdmit, kPreempt };
    Kind kind = Kind::kNone;
    RequestId id = 0;
  };
  // Whether there is memory for a request. `beside_own`: others of its tenant run already, so it
  // must leave what is set aside for tenants of which nothing runs.
  using Fits = std::function<bool(RequestId id, bool beside_own)>;
  // What to do next; to be asked again after it was done with admitted() or preempted().
  // If what is to be admitted does not fit, nothing behind it goes before it.
  Action next(const Fits& fits);
  // `prompt_tokens`: that it is going to compute.
  void admitted(RequestId id, std::uint64_t prompt_tokens);
  // Back to the front of its tenant's queue.
  void preempted(RequestId id);
  // Tokens of its answer were computed.
  void served(RequestId id, std::uint64_t tokens);

  // The running requests whose prompts are being computed, in the order in which they are to get
  // their share of a step: by class, then a turn for each tenant, those with most credit first,
  // then by arrival.
  std::vector<RequestId> order(std::span<const RequestId> prompts) const;
  // Those whose deadline is not after `now_ns`, waiting or running.
  std::vector<RequestId> expired(std::uint64_t now_ns) const;

  std::size_t waiting() const;
  std::size_t waiting(Priority priority) const { return classes_[index(priority)].waiting; }
  std::size_t running() const { return running_.size(); }

 private:
  // A tenant's part in one class.
  struct Share {
    std::deque<RequestId> queue;
    std::uint32_t weight = 1;
    std::int64_t credit = 0;  // tokens; may be negative
    std::uint32_t running = 0;
  };
  struct Class {
    std::map<std::string, Share, std::less<>> shares;
    std::string turn;  // the tenant whose turn it is, or the first one after it
    std::size_t waiting = 0;
  };
  struct Entry {
    Job job;
    bool runs = false;
    bool keeps_place = false;     // admitted so that its class is not starved
    std::uint64_t admission = 0;  // its number
  };

  static std::size_t index(Priority p) { return static_cast<std::size_t>(p); }
  Class& class_of(const Entry& e) { return classes_[index(e.job.scheduling.priority)]; }
  Share& share_of(const Entry& e) {
    return class_of(e).shares.find(e.job.scheduling.tenant)->second;
  }
  bool runs_something(const std::string& tenant) const;
  std::size_t first_class() const;
  std::optional<RequestId> pick(Class& c);
  std::optional<RequestId> victim(std::size_t above) const;
  Action make_way(std::size_t for_class) const;
  void leave_place(const Entry& e);
  void drop_share(Class& c, const std::string& tenant);

  const SchedulerOptions options_;
  std::array<Class, kPriorities> classes_;
  std::unordered_map<RequestId, Entry> entries_;
  std::vector<RequestId> running_;  // in order of admission
  std::set<std::pair<std::uint64_t, RequestId>> deadlines_;
  std::map<std::string, std::uint32_t> per_tenant_;  // running, over all classes
  std::uint64_t admissions_ = 0;
  std::uint32_t higher_in_row_ = 0;
};

}  // namespace holdfast::runtime
