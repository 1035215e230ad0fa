#include "allocation_meter.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace holdfast::gguf::testing {
std::size_t largest_allocation = 0;
std::size_t allocations = 0;
std::size_t failing_allocation = 0;
}  // namespace holdfast::gguf::testing

// In a file of its own: inlined into callers, the pair would look mismatched to the compiler.
void* operator new(std::size_t bytes) {
  using namespace holdfast::gguf::testing;  // NOLINT: this function's whole subject
  largest_allocation = std::max(largest_allocation, bytes);
  if (++allocations == failing_allocation) throw std::bad_alloc();
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
