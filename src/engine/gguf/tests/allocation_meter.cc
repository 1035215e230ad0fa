#include "allocation_meter.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace holdfast::gguf::testing {
std::size_t largest_allocation = 0;
}  // namespace holdfast::gguf::testing

// In a file of its own: inlined into callers, the pair would look mismatched to the compiler.
void* operator new(std::size_t bytes) {
  using holdfast::gguf::testing::largest_allocation;
  largest_allocation = std::max(largest_allocation, bytes);
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
