// The parts of an engine's memory, in bytes.
#pragma once

#include <cstdint>

namespace holdfast::footprint {

// What admission counts. Pages of the cache and work space are reserved whole and touched as they
// are used: what is resident is less, see resident.h.
struct MemoryPlan {
  std::uint64_t weights_bytes = 0;  // sum over the tensors
  std::uint64_t kv_bytes = 0;       // keys and values: pages * bytes of a page
  std::uint64_t scratch_bytes = 0;  // activations, logits, tables
  // The program, what it keeps of the pack beside weights, its heap and threads. Not part of
  // total_bytes(): see docs/internals/memory.md.
  std::uint64_t process_bytes = 0;

  std::uint64_t total_bytes() const { return weights_bytes + kv_bytes + scratch_bytes; }
};

}  // namespace holdfast::footprint
