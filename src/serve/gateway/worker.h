// A thread for what takes too long for the loop: one job after the other, few of them waiting.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace holdfast::gateway {

// The thread starts with the first job. Owner: the gateway. post() is thread-safe; stop() comes
// before the destructor, from another thread than the worker's.
class Worker {
 public:
  explicit Worker(std::size_t waiting_max) : waiting_max_(waiting_max) {}
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // False, and the job is dropped, when as many wait already, no thread can be had, or it was
  // stopped.
  bool post(std::function<void()> job);
  // Ends the job that runs, drops those that wait.
  void stop();

 private:
  void run();

  const std::size_t waiting_max_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> waiting_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace holdfast::gateway
