#include "holdfast/router/breaker.h"

#include <algorithm>

#include "jitter.h"

namespace holdfast::router {

std::string_view breaker_state_name(BreakerState state) {
  switch (state) {
    case BreakerState::kClosed:
      return "closed";
    case BreakerState::kOpen:
      return "open";
    case BreakerState::kHalfOpen:
      return "half_open";
  }
  return "unknown";
}

bool Breaker::allows(std::chrono::nanoseconds now) const {
  return !open_ || (!probing_ && now >= probe_at_);
}

bool Breaker::begin(std::chrono::nanoseconds now) {
  if (!open_ || probing_ || now < probe_at_) return false;
  probing_ = true;
  return true;
}

void Breaker::succeeded() {
  failures_ = 0;
  openings_ = 0;
  open_ = false;
  probing_ = false;
}

void Breaker::failed(std::chrono::nanoseconds now) {
  if (open_ && !probing_) return;  // sent before it opened
  ++failures_;
  if (!probing_ && failures_ < options_.failures_max) return;
  probing_ = false;
  open_ = true;
  std::chrono::nanoseconds wait = options_.backoff;
  for (std::uint32_t i = 0; i < openings_ && wait < options_.backoff_max; ++i) wait *= 2;
  wait = std::min<std::chrono::nanoseconds>(wait, options_.backoff_max);
  ++openings_;
  probe_at_ = now + std::chrono::nanoseconds(static_cast<std::int64_t>(
                        static_cast<double>(wait.count()) * jitter(entropy_)));
}

BreakerState Breaker::state(std::chrono::nanoseconds now) const {
  if (!open_) return BreakerState::kClosed;
  return probing_ || now >= probe_at_ ? BreakerState::kHalfOpen : BreakerState::kOpen;
}

std::chrono::nanoseconds Breaker::retry_after(std::chrono::nanoseconds now) const {
  return open_ && now < probe_at_ ? probe_at_ - now : std::chrono::nanoseconds(0);
}

}  // namespace holdfast::router
