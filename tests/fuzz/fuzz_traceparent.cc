// What is read from a traceparent header must be what the header says, and nothing else.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "holdfast/observe/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto context = holdfast::observe::parse_traceparent(text);
  if (!context) return 0;
  const std::string again = holdfast::observe::format_traceparent(*context);
  // Version and flags may differ; the ids and their places may not.
  if (text.size() < again.size() || text.substr(2, 51) != again.substr(2, 51)) abort();
  if (!holdfast::observe::parse_traceparent(again)) abort();
  return 0;
}
