// Names and placement of threads; starting them without an exception when the system refuses.
#pragma once

#include <functional>
#include <string_view>
#include <thread>
#include <vector>

#include "holdfast/base/result.h"

namespace holdfast::platform {

// At most 15 bytes are kept; a hint for debuggers that cannot fail usefully.
void set_current_thread_name(std::string_view name);
// kInvalidArgument for a processor outside the allowed ones.
Status pin_current_thread(int cpu);
// Lets the calling thread run in turns of at most 0.1 ms, and in return soon after it wakes, also
// where others compute on every processor: for threads that pass messages on. What it starts has
// turns as usual. A hint; kernels before Linux 6.12 ignore it.
void ask_for_short_turns();
// One allowed logical processor per physical core, node after node: where compute threads go.
std::vector<int> one_cpu_per_core();
// kExhausted where the limit of threads is reached.
Result<std::thread> start_thread(std::string_view name, std::function<void()> body);

}  // namespace holdfast::platform
