// Signals as readable events instead of handlers.
#pragma once

#include <initializer_list>
#include <optional>

#include "holdfast/base/result.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {

// Blocks the given signals for this thread and every thread it starts later, and queues them on a
// descriptor. Create it in main() before other threads exist, and keep it until the end. Children
// start with an empty mask (process.h). Thread-safe.
class SignalQueue {
 public:
  // Usually {SIGINT, SIGTERM, SIGHUP}. kIo where the kernel refuses.
  static Result<SignalQueue> create(std::initializer_list<int> signals);

  // Non-blocking; readable when a signal waits.
  int fd() const { return fd_.get(); }
  // The number of the next signal; nullopt at the deadline.
  Result<std::optional<int>> next(Deadline deadline);

 private:
  explicit SignalQueue(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// A write to a closed pipe or socket is then an error value.
void ignore_sigpipe();

}  // namespace holdfast::platform
