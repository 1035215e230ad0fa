#include "load_estimate.h"

#include <algorithm>

namespace holdfast::backend {

namespace {

// Starting the child, its jail and its vocabulary, whatever the size of the weights.
constexpr std::chrono::milliseconds kFixed{200};
// Of the newest load in the moving average: a cold page cache differs from a warm one by far.
constexpr double kNewest = 0.5;
// Shown until the child itself says that it is ready.
constexpr double kProgressMax = 0.99;
// All weights are there; what is left is building the model over them.
constexpr double kWarmingFrom = 0.9;
// Below this the speed so far says less than that of earlier loads.
constexpr double kSpeedKnownFrom = 0.05;

}  // namespace

void LoadEstimator::record(std::uint64_t bytes, std::chrono::milliseconds took) {
  if (bytes == 0) return;
  const auto moving = std::max(took - kFixed, std::chrono::milliseconds(1));
  const double rate = static_cast<double>(bytes) / static_cast<double>(moving.count());
  bytes_per_ms_ = (1 - kNewest) * bytes_per_ms_ + kNewest * rate;
}

std::chrono::milliseconds LoadEstimator::estimate(std::uint64_t bytes) const {
  return kFixed + std::chrono::milliseconds(
                      static_cast<std::int64_t>(static_cast<double>(bytes) / bytes_per_ms_));
}

LoadView LoadEstimator::view(std::uint64_t bytes, std::chrono::milliseconds elapsed,
                             std::uint64_t resident_bytes) const {
  LoadView view;
  const auto expected = estimate(bytes);
  const bool seen = resident_bytes > 0 && bytes > 0;
  const double share =
      seen ? static_cast<double>(resident_bytes) / static_cast<double>(bytes)
           : static_cast<double>(elapsed.count()) / static_cast<double>(expected.count());
  view.progress = std::clamp(share, 0.0, kProgressMax);
  view.state = view.progress < kWarmingFrom ? "verifying" : "warming";
  view.left = std::max(expected - elapsed, std::chrono::milliseconds(0));
  if (seen && view.progress >= kSpeedKnownFrom) {
    view.left = std::chrono::milliseconds(static_cast<std::int64_t>(
        static_cast<double>(elapsed.count()) * (1 - view.progress) / view.progress));
  }
  return view;
}

}  // namespace holdfast::backend
