// The planner's own generator: the same numbers from a seed on every platform and standard library.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace holdfast::planner {

// splitmix64 (Steele, Lea, Flood 2014): one step; also used to derive seeds of streams.
constexpr std::uint64_t splitmix64(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64. Thread-compatible.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) {
    for (std::uint64_t& word : state_) word = splitmix64(seed);
  }

  constexpr std::uint64_t next() {
    const std::uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotate(state_[3], 45);
    return result;
  }

  // In (0, 1): the middle of one of 2^53 equal parts, so that its logarithm is finite.
  constexpr double uniform() { return (static_cast<double>(next() >> 11) + 0.5) * 0x1.0p-53; }

  // With mean 1.
  double exponential() { return -std::log(uniform()); }

 private:
  static constexpr std::uint64_t rotate(std::uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
  }

  std::array<std::uint64_t, 4> state_{};
};

}  // namespace holdfast::planner
