#include "holdfast/platform/thread.h"

#include <pthread.h>
#include <sched.h>

#include <string>
#include <system_error>

namespace holdfast::platform {

void set_current_thread_name(std::string_view name) {
  ::pthread_setname_np(::pthread_self(), std::string(name.substr(0, 15)).c_str());
}

Status pin_current_thread(int cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return invalid_argument("no such processor");
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (const int error = ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set); error != 0) {
    return invalid_argument("processor " + std::to_string(cpu) + " is not available");
  }
  return {};
}

Result<std::thread> start_thread(std::string_view name, std::function<void()> body) {
  try {
    return std::thread([name = std::string(name), body = std::move(body)] {
      set_current_thread_name(name);
      body();
    });
  } catch (const std::system_error& e) {
    return exhausted("cannot start another thread", e.what());
  }
}

}  // namespace holdfast::platform
