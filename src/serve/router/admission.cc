#include "holdfast/router/admission.h"

#include <algorithm>
#include <cmath>

#include "jitter.h"

namespace holdfast::router {
namespace {

// Before anything has ended. Long enough that a cold model gathers no crowd that it cannot serve.
constexpr double kServiceGuessS = 1.0;
// Waiting places that keep the slots busy; a queue of more only adds to the wait.
constexpr double kUsefulPlaces = 8;
// Slots that work in step are free all at once: who is let in with as many waiting as there are
// slots would wait for two answers.
constexpr double kTargetServices = 0.75;
constexpr double kTargetMinS = 0.25;
constexpr double kTargetMaxS = 10;
constexpr double kCrowdTargets = 3;
// A single slot too takes a handful of people who press a button together.
constexpr std::uint32_t kCrowdPlacesMin = 10;
// In an interval; of an overload there are more, of chance below the capacity there are not.
constexpr double kCalmRefusals = 2;
// In this part of a service time ten times the load brings as many as there are slots.
constexpr double kMomentServices = 0.1;
constexpr double kMomentMinS = 0.05;
constexpr double kMomentMaxS = 0.25;
constexpr double kIntervalMinS = 1;
// Completions that the averages remember, in rounds of all slots.
constexpr double kRoundsRemembered = 4;
constexpr double kRetryMinS = 1;
constexpr double kRetryMaxS = 60;

double seconds(Instant t) { return std::chrono::duration<double>(t).count(); }

std::size_t index_of(backend::Priority priority) { return static_cast<std::size_t>(priority); }

}  // namespace

std::string_view refusal_reason_name(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kQueueFull:
      return "queue_full";
    case RefusalReason::kQueueWait:
      return "queue_wait";
    case RefusalReason::kStandingQueue:
      return "standing_queue";
    case RefusalReason::kTenantShare:
      return "tenant_share";
    case RefusalReason::kMemory:
      return "memory";
  }
  return "unknown";
}

// Higher classes hold the slots first, as in the scheduler.
std::array<std::uint32_t, AdmissionControl::kClasses> AdmissionControl::running(
    std::uint32_t slots) const {
  std::array<std::uint32_t, kClasses> out{};
  for (std::size_t c = 0; c < kClasses; ++c) {
    out[c] = std::min(classes_[c].under_way, slots);
    slots -= out[c];
  }
  return out;
}

void AdmissionControl::advance(Instant now, std::uint32_t slots) {
  if (seen_ && now > *seen_) {
    const double passed = seconds(now - *seen_);
    const auto held = running(slots);
    for (std::size_t c = 0; c < kClasses; ++c) classes_[c].busy_s += held[c] * passed;
    refused_ *= std::exp(-passed / interval_s());
  }
  if (!seen_ || now > *seen_) seen_ = now;
}

std::chrono::duration<double> AdmissionControl::mean_service() const {
  double busy = 0;
  double served = 0;
  for (const ClassLoad& c : classes_) {
    if (c.served == 0) continue;
    busy += c.busy_s;
    served += c.served;
  }
  return std::chrono::duration<double>(served > 0 ? busy / served : kServiceGuessS);
}

double AdmissionControl::service_s(std::size_t c) const {
  const ClassLoad& load = classes_[c];
  return load.served > 0 ? load.busy_s / load.served : mean_service().count();
}

std::chrono::duration<double> AdmissionControl::estimated_wait(std::uint32_t slots,
                                                               backend::Priority priority) const {
  const auto held = running(slots);
  double work_s = 0;
  for (std::size_t c = 0; c <= index_of(priority); ++c) {
    work_s += (classes_[c].under_way - held[c]) * service_s(c);
  }
  return std::chrono::duration<double>(work_s / slots);
}

std::chrono::duration<double> AdmissionControl::target(std::uint32_t slots) const {
  if (limits_.queue_target.count() > 0) return limits_.queue_target;
  const double wait_s =
      kTargetServices * mean_service().count() * std::min(1.0, kUsefulPlaces / slots);
  return std::chrono::duration<double>(std::clamp(wait_s, kTargetMinS, kTargetMaxS));
}

double AdmissionControl::interval_s() const {
  return std::max(kIntervalMinS, 2 * mean_service().count());
}

double AdmissionControl::moment_s() const {
  return std::clamp(kMomentServices * mean_service().count(), kMomentMinS, kMomentMaxS);
}

// Where answers take longer than the longest target, a crowd is counted in places, not in seconds.
bool AdmissionControl::fits_crowd(std::uint32_t slots, double wait_s) const {
  if (wait_s < kCrowdTargets * target(slots).count()) return true;
  const bool automatic = limits_.queue_target.count() == 0;
  const auto places =
      static_cast<std::uint32_t>(kCrowdTargets * std::min<double>(slots, kUsefulPlaces));
  return waiting(slots) < (automatic ? std::max(places, kCrowdPlacesMin) : kCrowdPlacesMin);
}

// Came together with those who took the last free slots, or, while hardly anybody is refused, makes
// the queue no longer than it was: people who ask again when they are answered. Few slots have
// short queues at any load; there a handful more may wait.
bool AdmissionControl::of_crowd(Instant now, std::uint32_t slots, double wait_s) const {
  if (!fits_crowd(slots, wait_s)) return false;
  if (!room_at_ || seconds(now - *room_at_) <= moment_s()) return true;
  return refused_ < kCalmRefusals &&
         waiting(slots) < std::max({longest_, longest_before_, kCrowdPlacesMin});
}

bool AdmissionControl::below_share(std::uint32_t slots, const Arrival& arrival) const {
  const auto known = tenants_.find(arrival.tenant);
  const double weight = std::max<std::uint32_t>(arrival.weight, 1);
  const double others =
      static_cast<double>(weights_) - (known == tenants_.end() ? 0 : known->second.weight);
  const double places = target(slots).count() * slots / mean_service().count();
  const double held = known == tenants_.end() ? 0 : known->second.waiting;
  // Alone, a tenant has no one to be fair to.
  return others > 0 && held < places * weight / (others + weight);
}

// How long the queue has been of late: in this interval and the one before it.
void AdmissionControl::watch_queue(Instant now, std::uint32_t slots) {
  if (under_way_ < slots) room_at_ = now;
  const double passed_s = seconds(now - window_start_);
  if (passed_s >= interval_s()) {
    longest_before_ = passed_s < 2 * interval_s() ? longest_ : waiting(slots);
    longest_ = waiting(slots);
    window_start_ = now;
  }
}

std::optional<RefusalReason> AdmissionControl::judge(Instant now, std::uint32_t slots,
                                                     const Arrival& arrival) {
  watch_queue(now, slots);
  if (arrival.follow_up || under_way_ < slots) return std::nullopt;
  if (waiting(slots) >= limits_.queue_max) return RefusalReason::kQueueFull;
  const double wait_s = estimated_wait(slots, arrival.priority).count();
  if (wait_s > std::chrono::duration<double>(limits_.queue_wait_max).count())
    return RefusalReason::kQueueWait;
  if (arrival.priority == backend::Priority::kBatch) return std::nullopt;
  if (wait_s <= target(slots).count() || of_crowd(now, slots, wait_s)) return std::nullopt;
  if (below_share(slots, arrival)) return std::nullopt;
  return tenants_.size() > 1 ? RefusalReason::kTenantShare : RefusalReason::kStandingQueue;
}

// When the queue will be below its limit, behind those who were told the same.
Refusal AdmissionControl::refuse(std::uint32_t slots, RefusalReason reason,
                                 backend::Priority priority) {
  refused_ += 1;
  const double service = mean_service().count();
  double limit_s = target(slots).count();
  if (priority == backend::Priority::kBatch)
    limit_s = std::chrono::duration<double>(limits_.queue_wait_max).count();
  if (reason == RefusalReason::kQueueFull)
    limit_s = std::min(limit_s, limits_.queue_max * service / slots);
  const double above_s = std::max(0.0, estimated_wait(slots, priority).count() - limit_s);
  const double wait_s =
      std::clamp(above_s + refused_ * service / slots, kRetryMinS, kRetryMaxS / (1 + kJitter));
  return {reason, std::chrono::milliseconds(std::llround(wait_s * 1000 * jitter(entropy_)))};
}

std::optional<Refusal> AdmissionControl::arrive(Instant now, std::uint32_t slots,
                                                const Arrival& arrival) {
  advance(now, slots);
  if (const auto reason = judge(now, slots, arrival))
    return refuse(slots, *reason, arrival.priority);
  ++under_way_;
  longest_ = std::max(longest_, waiting(slots));
  ++classes_[index_of(arrival.priority)].under_way;
  Tenant& tenant = tenants_[arrival.tenant];
  if (tenant.under_way == 0) {
    tenant.weight = std::max<std::uint32_t>(arrival.weight, 1);
    weights_ += tenant.weight;
  }
  ++tenant.under_way;
  ++tenant.waiting;
  return std::nullopt;
}

void AdmissionControl::started(const Arrival& arrival) {
  const auto tenant = tenants_.find(arrival.tenant);
  if (tenant != tenants_.end() && tenant->second.waiting > 0) --tenant->second.waiting;
}

void AdmissionControl::ended(Instant now, std::uint32_t slots, const Arrival& arrival,
                             bool was_started) {
  advance(now, slots);
  HF_CHECK(under_way_ > 0);
  --under_way_;
  ClassLoad& load = classes_[index_of(arrival.priority)];
  --load.under_way;
  const auto tenant = tenants_.find(arrival.tenant);
  HF_CHECK(tenant != tenants_.end());
  if (!was_started) --tenant->second.waiting;
  if (--tenant->second.under_way == 0) {
    weights_ -= tenant->second.weight;
    tenants_.erase(tenant);
  }
  // One that left the queue took no service.
  if (was_started) {
    const double keep = 1 - 1 / (kRoundsRemembered * std::max<std::uint32_t>(slots, 8));
    load.busy_s *= load.served > 0 ? keep : 1;
    load.served = load.served * keep + 1;
  }
}

}  // namespace holdfast::router
