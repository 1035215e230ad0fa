// Looks after the key holder of a server.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "holdfast/custody/custody.h"
#include "holdfast/observe/log.h"

namespace holdfast::cli {

// On a thread of its own: who waits for a key holder that hangs must not be who answers requests.
// Starts it again when it died, and opens it where a slot does so by itself and no operator sealed
// it. Owner: serve.
class SealWatch {
 public:
  // `changed` is told whether models can be opened: once before this returns, then at each change
  // on the watch's thread. A data directory without a keyring counts as open. `logger` outlives it.
  SealWatch(std::shared_ptr<custody::Custody> custody, const observe::Logger& logger,
            std::function<void(bool open)> changed);
  ~SealWatch();
  SealWatch(const SealWatch&) = delete;
  SealWatch& operator=(const SealWatch&) = delete;

 private:
  void look();
  bool is_open() const;
  void run();

  const std::shared_ptr<custody::Custody> custody_;
  const observe::Logger& logger_;
  const std::function<void(bool)> changed_;
  bool open_ = true;  // as was told; the thread's once it runs
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace holdfast::cli
