// Spreading times that would otherwise coincide.
#pragma once

#include <cstdint>
#include <span>

#include "holdfast/platform/entropy.h"

namespace holdfast::router {

inline constexpr double kJitter = 0.2;

// Uniform in [1 - kJitter, 1 + kJitter]; 1 where there is no randomness to be had.
inline double jitter(platform::Entropy& entropy) {
  std::uint32_t random = 0;
  if (!entropy.fill(std::as_writable_bytes(std::span(&random, 1))).ok()) return 1;
  return 1 - kJitter + 2 * kJitter * (static_cast<double>(random) / 4294967295.0);
}

}  // namespace holdfast::router
