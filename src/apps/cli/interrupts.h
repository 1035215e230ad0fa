// Ctrl-C and SIGTERM of a command that answers: they stop the answer, not the program.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "holdfast/base/result.h"
#include "holdfast/platform/signals.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::cli {

// Owner: the command, made before it starts threads. A signal goes to the handler; where there is
// none, or at the second signal for one handler, the program ends with status 128 + signal, as it
// would by default. Thread-safe.
class Interrupts {
 public:
  using Handler = std::function<void(int signal)>;

  static Result<std::unique_ptr<Interrupts>> create();
  // One that takes SIGHUP too: each goes to `on_hangup`, on a thread of this object, and ends
  // nothing.
  static Result<std::unique_ptr<Interrupts>> create_with_hangup(std::function<void()> on_hangup);
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // The handler runs on a thread of this object. An empty one takes the handler away; after that it
  // does not run any more.
  void set_handler(Handler handler);
  // The last signal that a handler received; 0: none.
  int last() const { return last_; }

 private:
  Interrupts(platform::SignalQueue signals, platform::UniqueFd wake,
             std::function<void()> on_hangup);
  void watch();
  void deliver(int signal);

  platform::SignalQueue signals_;
  platform::UniqueFd wake_;  // readable: end the thread
  const std::function<void()> on_hangup_;
  std::mutex mutex_;
  Handler handler_;
  bool delivered_ = false;  // to the handler that is set
  std::atomic<int> last_{0};
  std::thread thread_;
};

}  // namespace holdfast::cli
