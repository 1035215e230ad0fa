// Breaker: keeps requests away from a backend that fails, and finds out when it works again.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "holdfast/platform/entropy.h"

namespace holdfast::router {

enum class BreakerState : std::uint8_t { kClosed, kOpen, kHalfOpen };
// "closed", "open", "half_open".
std::string_view breaker_state_name(BreakerState state);

struct BreakerOptions {
  std::uint32_t failures_max = 5;  // one after the other, then it opens
  // First and longest time that it stays open; it doubles with each probe that fails.
  std::chrono::milliseconds backoff{1'000};
  std::chrono::milliseconds backoff_max{60'000};
};

// Closed: all requests pass. After failures_max failures in a row it opens: none pass. When its
// back-off (with jitter) is over, one request passes as a probe; its success closes the breaker,
// its failure opens it for twice as long. Thread-compatible; the source of randomness outlives it.
class Breaker {
 public:
  Breaker(BreakerOptions options, platform::Entropy& entropy)
      : options_(options), entropy_(entropy) {}

  // Whether a request may be sent now.
  bool allows(std::chrono::nanoseconds now) const;
  // A request is sent: when a probe was due, this is it. True if it is the probe.
  bool begin(std::chrono::nanoseconds now);
  void succeeded();
  void failed(std::chrono::nanoseconds now);
  // The probe ended without telling anything: it was cancelled.
  void unknown() { probing_ = false; }
  BreakerState state(std::chrono::nanoseconds now) const;
  // Until the next probe; 0 where a request may be sent.
  std::chrono::nanoseconds retry_after(std::chrono::nanoseconds now) const;

 private:
  const BreakerOptions options_;
  platform::Entropy& entropy_;
  std::uint32_t failures_ = 0;  // in a row
  std::uint32_t openings_ = 0;  // since it was last closed
  bool open_ = false;
  bool probing_ = false;
  std::chrono::nanoseconds probe_at_{0};
};

}  // namespace holdfast::router
