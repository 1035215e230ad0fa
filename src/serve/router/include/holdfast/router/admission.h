// AdmissionControl: decides in constant time whether one more request may wait for a model.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/backend/backend.h"
#include "holdfast/platform/entropy.h"

namespace holdfast::router {

// A point of the monotonic clock, as the caller read it.
using Instant = std::chrono::nanoseconds;

struct AdmissionLimits {
  std::uint32_t queue_max = 256;                     // requests that wait, all classes together
  std::chrono::milliseconds queue_wait_max{60'000};  // estimated wait, all classes
  std::chrono::milliseconds queue_target{0};         // of a standing queue; 0: automatic
};

// What is asked of the queue. The tenant is the server's word, never the client's.
struct Arrival {
  std::string tenant;
  std::uint32_t weight = 1;
  backend::Priority priority = backend::Priority::kInteractive;
  bool follow_up = false;  // another answer of a request that was let in
};

enum class RefusalReason : std::uint8_t {
  kQueueFull,
  kQueueWait,
  kStandingQueue,
  kTenantShare,
  kMemory
};
// "queue_full", "queue_wait", "standing_queue", "tenant_share", "memory".
std::string_view refusal_reason_name(RefusalReason reason);

struct Refusal {
  RefusalReason reason = RefusalReason::kQueueFull;
  std::chrono::milliseconds retry_after{0};
};

// The queue in front of one model, as far as it can be told from what began and ended. The rule:
//
//  * While fewer requests are under way than the model has slots, everything is let in.
//  * Never more than queue_max wait, and none whose estimated wait is above queue_wait_max.
//  * Realtime and interactive requests are let in while the estimated wait is at most the target.
//  * Beyond it a crowd may queue, three for each slot (24 at most) or up to three times the target:
//    those who come within a moment of the last free slot, and later, while hardly anybody is
//    refused, those who make the queue no longer than it was in the last interval. So people who
//    press a button together, and then wait for each answer before they ask again, are all served;
//    arrivals that do not wait for answers are held to the target. (CoDel's distinction of good and
//    bad queues, Nichols and Jacobson 2012, at the door.)
//  * Beyond the target, a tenant with less than its weighted share of the waiting places is let in
//    all the same; so it is always the tenant that fills the queue who is refused.
//
// The estimate: busy slots, integrated over time, per completed request is the mean service time
// (Little's law); the requests of the same and higher classes that wait, times that, through the
// slots, is the wait. No thread of its own, no clock; thread-compatible, guarded by its owner.
class AdmissionControl {
 public:
  // The source of randomness outlives it; it spreads the times at which refused clients come back.
  AdmissionControl(AdmissionLimits limits, platform::Entropy& entropy)
      : limits_(limits), entropy_(entropy) {}

  // Nothing: it was let in and counts as under way until ended(). `slots` > 0: what runs together.
  std::optional<Refusal> arrive(Instant now, std::uint32_t slots, const Arrival& arrival);
  // The first token of an arrival that was let in is there.
  void started(const Arrival& arrival);
  // What holds from the next arrival on.
  void set_limits(AdmissionLimits limits) { limits_ = limits; }
  // Exactly once for each that was let in. `was_started`: started() was called for it.
  void ended(Instant now, std::uint32_t slots, const Arrival& arrival, bool was_started);

  std::uint32_t under_way() const { return under_way_; }
  std::uint32_t waiting(std::uint32_t slots) const {
    return under_way_ > slots ? under_way_ - slots : 0;
  }
  // Of one request in a slot; a guess before the first has ended.
  std::chrono::duration<double> mean_service() const;
  std::chrono::duration<double> estimated_wait(std::uint32_t slots,
                                               backend::Priority priority) const;
  std::chrono::duration<double> target(std::uint32_t slots) const;

 private:
  static constexpr std::size_t kClasses = 3;
  struct ClassLoad {
    std::uint32_t under_way = 0;
    double busy_s = 0;  // decayed integral of the slots that the class holds
    double served = 0;  // decayed count of requests that ended in it
  };
  struct Tenant {
    std::uint32_t under_way = 0;
    std::uint32_t waiting = 0;  // without a first token
    std::uint32_t weight = 1;
  };

  void advance(Instant now, std::uint32_t slots);
  void watch_queue(Instant now, std::uint32_t slots);
  std::optional<RefusalReason> judge(Instant now, std::uint32_t slots, const Arrival& arrival);
  bool below_share(std::uint32_t slots, const Arrival& arrival) const;
  bool fits_crowd(std::uint32_t slots, double wait_s) const;
  bool of_crowd(Instant now, std::uint32_t slots, double wait_s) const;
  std::array<std::uint32_t, kClasses> running(std::uint32_t slots) const;
  double service_s(std::size_t c) const;
  double interval_s() const;
  double moment_s() const;
  Refusal refuse(std::uint32_t slots, RefusalReason reason, backend::Priority priority);

  AdmissionLimits limits_;
  platform::Entropy& entropy_;
  std::array<ClassLoad, kClasses> classes_{};
  std::map<std::string, Tenant, std::less<>> tenants_;  // those with something under way
  std::uint64_t weights_ = 0;                           // of these
  std::uint32_t under_way_ = 0;
  std::optional<Instant> seen_;  // when the integrals were brought up to date

  double refused_ = 0;              // decayed over an interval: who comes back soon
  std::optional<Instant> room_at_;  // when a slot was last free
  Instant window_start_{};
  std::uint32_t longest_ = 0;         // queue, since the window began
  std::uint32_t longest_before_ = 0;  // in the window before
};

}  // namespace holdfast::router
