// EventLoop: one thread that runs sockets, timers and posted functions.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace holdfast::http {

// Made by main, outlives every server and timer on it. post() and stop() are thread-safe;
// everything else on it is owned by the thread that calls run().
class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs until stop(). An exception that escapes a function ends that function, not the loop.
  void run();
  void stop();
  // Thread-safe. Functions run in the order of posting.
  void post(std::function<void()> fn);

  struct Impl;  // defined beside the sources
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// One-shot timer, owned by the loop's thread. Destroying it cancels it.
class Timer {
 public:
  explicit Timer(EventLoop& loop);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Replaces an earlier start.
  void start(std::chrono::milliseconds after, std::function<void()> fn);
  void cancel();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace holdfast::http
