// How much memory is left, and what that means for requests.
#pragma once

#include <cstdint>

namespace holdfast::router {

// Steps of pressure. Each includes what those before it do.
enum class MemoryLevel : std::uint8_t {
  kNormal = 0,
  kKeepNothing = 1,  // from 80 %: prompts are no longer kept for later ones
  kNoBatch = 2,      // from 90 %: requests of class batch are refused
  kNoNew = 3,        // from 95 %: all new requests are refused
  kShed = 4,         // from 99 %: the youngest running requests end, one at a time
};

MemoryLevel memory_level(double in_use);

// The part in use, 0..1, of the memory that the engines have not been promised: what they have
// planned for weights, KV cache and work was checked when they were loaded, and a machine that is
// filled by its models on purpose is not under pressure. All in bytes.
double memory_in_use(std::uint64_t limit, std::uint64_t available, std::uint64_t planned);

}  // namespace holdfast::router
