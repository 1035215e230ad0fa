// Watches operator new in a test binary.
#pragma once

#include <cstddef>

namespace holdfast::gguf::testing {

// The largest single allocation since it was set to 0: what a claim made the parser reserve, even
// if it was given back at once.
extern std::size_t largest_allocation;
// Allocations since it was set to 0, and which of them throws std::bad_alloc (0: none).
extern std::size_t allocations;
extern std::size_t failing_allocation;

}  // namespace holdfast::gguf::testing
