// LoadEstimator: how long a model takes to load, and how far a load is. Values only; no clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace holdfast::backend {

// What callers are told of a load that is under way.
struct LoadView {
  std::string state;                  // "verifying", "warming"
  double progress = 0;                // 0..1, below 1 until the model is ready
  std::chrono::milliseconds left{0};  // estimate
};

// Thread-compatible.
class LoadEstimator {
 public:
  // A model of `bytes` was ready after `took`.
  void record(std::uint64_t bytes, std::chrono::milliseconds took);
  std::chrono::milliseconds estimate(std::uint64_t bytes) const;
  // `resident_bytes`: memory that the loading child has by now; 0: unknown, then time alone tells.
  LoadView view(std::uint64_t bytes, std::chrono::milliseconds elapsed,
                std::uint64_t resident_bytes) const;

 private:
  // Until the first load was seen: a pack in the page cache is read and verified faster on every
  // machine that was measured.
  double bytes_per_ms_ = 500'000;
};

}  // namespace holdfast::backend
