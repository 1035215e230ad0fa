// A target with a planted defect: mutation of the seed "Hi there" must reach it, else the harness
// is asleep.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size >= 2 && data[0] == 'H' && data[1] > 0x7F) std::abort();
  return 0;
}
