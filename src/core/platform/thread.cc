#include "holdfast/platform/thread.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <system_error>

namespace holdfast::platform {
namespace {

// As in <linux/sched/types.h>, version 0; the C library declares neither it nor the calls.
struct SchedulingAttributes {
  std::uint32_t size = sizeof(SchedulingAttributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime_ns = 0;  // of the default policy: the length of a turn
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};

constexpr std::uint64_t kShortTurnNs = 100'000;  // the shortest that the kernel takes
// Threads and programs that this one starts have turns as usual (SCHED_FLAG_RESET_ON_FORK).
constexpr std::uint64_t kResetOnFork = 1;

}  // namespace

void set_current_thread_name(std::string_view name) {
  ::pthread_setname_np(::pthread_self(), std::string(name.substr(0, 15)).c_str());
}

void ask_for_short_turns() {
  SchedulingAttributes now;
  if (::syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) != 0 || now.policy != SCHED_OTHER)
    return;
  now.runtime_ns = kShortTurnNs;
  now.flags = kResetOnFork;
  ::syscall(SYS_sched_setattr, 0, &now, 0);
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
