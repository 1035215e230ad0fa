// ProcessSupervisor: one child program, started on demand, watched, confined and ended with us.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "holdfast/backend/upstream_backend.h"
#include "holdfast/observe/exposition.h"
#include "holdfast/platform/process.h"

namespace holdfast::backend {

// All calls of the process and all callbacks on a thread of its own, which is confined itself: the
// child inherits that. Thread-safe.
class ProcessSupervisor {
 public:
  struct Callbacks {
    std::function<void(const std::string& root)> ready;  // it answers: "http://127.0.0.1:41234"
    std::function<void()> gone;                          // it does not any more
    std::function<void()> failed;                        // it could not be started
  };
  ProcessSupervisor(std::string name, ProcessOptions options, const observe::Logger& logger,
                    Callbacks callbacks);
  ~ProcessSupervisor();  // ends the child with its process group

  // Starts it unless it runs or its back-off holds; in the back-off, failed() is called.
  void want();
  // Ends it; want() starts it again.
  void stop();
  ModelState state() const { return state_; }
  std::int64_t pid() const { return pid_; }
  std::uint32_t restarts() const { return restarts_; }
  // What it showed at /metrics after its last good health check; empty where it has none.
  std::vector<observe::ScrapedFamily> metrics() const;

 private:
  enum class Wish : std::uint8_t { kNone, kStart, kStop };
  class Log;

  void run();
  bool start_child();
  void end_child();
  bool answers_health();
  void read_metrics();
  void show_metrics(std::vector<observe::ScrapedFamily> families);
  void watch_child();
  void settle_failure(const std::string& why);

  const std::string name_;
  const ProcessOptions options_;
  const observe::Logger& logger_;
  const Callbacks callbacks_;

  std::atomic<ModelState> state_{ModelState::kCold};
  std::atomic<std::int64_t> pid_{0};
  std::atomic<std::uint32_t> restarts_{0};

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  Wish wish_ = Wish::kNone;
  bool stopping_ = false;
  std::vector<observe::ScrapedFamily> metrics_;

  // The thread's own.
  std::optional<platform::Process> child_;
  std::unique_ptr<Log> log_;
  std::string root_;
  std::uint32_t failures_ = 0;  // one after the other
  std::chrono::steady_clock::time_point blocked_until_{};
  std::chrono::steady_clock::time_point next_health_{};
  std::uint32_t health_misses_ = 0;
  bool metrics_refused_ = false;  // said once of each child
  std::optional<std::chrono::steady_clock::time_point> ready_since_;

  std::thread thread_;
};

}  // namespace holdfast::backend
