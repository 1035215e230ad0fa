// Clocks and deadlines. Durations and deadlines use the monotonic clock; wall time is for people
// and records only.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

namespace holdfast::platform {

using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

// Thread-safe.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  // Nanoseconds since an arbitrary start; never goes back.
  virtual std::int64_t monotonic_ns() const = 0;
  virtual WallTime wall_time() const = 0;
  // Seconds to add to UTC for local time at `unix_seconds`.
  virtual int utc_offset_seconds(std::int64_t unix_seconds) const = 0;
};

class SystemClock final : public Clock {
 public:
  std::int64_t monotonic_ns() const override;
  WallTime wall_time() const override;
  int utc_offset_seconds(std::int64_t unix_seconds) const override;
};

// The process-wide real clock, for composition roots and for waiting on the operating system.
const Clock& system_clock();

// For tests: time moves when told to.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(std::int64_t unix_seconds = 1'750'000'000);
  std::int64_t monotonic_ns() const override { return monotonic_ns_; }
  WallTime wall_time() const override;
  int utc_offset_seconds(std::int64_t) const override { return utc_offset_seconds_; }

  void advance(std::chrono::nanoseconds by);    // both clocks
  void step_wall(std::chrono::nanoseconds by);  // wall clock only: an NTP step or an operator
  void set_utc_offset_seconds(int seconds) { utc_offset_seconds_ = seconds; }

 private:
  std::atomic<std::int64_t> monotonic_ns_ = 1'000'000'000;
  std::atomic<std::int64_t> wall_unix_ns_;
  std::atomic<int> utc_offset_seconds_ = 0;
};

// Blocks the calling thread: for polling what cannot wake us, such as a lock of another process.
void pause_for(std::chrono::nanoseconds duration);

// A point of the monotonic clock after which waiting ends.
class Deadline {
 public:
  static Deadline never() { return Deadline(std::numeric_limits<std::int64_t>::max()); }
  static Deadline after(std::chrono::nanoseconds from_now, const Clock& clock = system_clock());

  bool is_never() const { return at_ns_ == std::numeric_limits<std::int64_t>::max(); }
  bool passed(const Clock& clock = system_clock()) const;
  // For poll(): -1 for never, else milliseconds rounded up, 0 once passed.
  int poll_timeout_ms(const Clock& clock = system_clock()) const;

 private:
  explicit Deadline(std::int64_t at_ns) : at_ns_(at_ns) {}
  std::int64_t at_ns_;
};

inline std::int64_t unix_seconds(WallTime t) {
  return std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count();
}
// "2026-03-01T12:00:00.123Z".
std::string format_rfc3339_ms(WallTime t);

}  // namespace holdfast::platform
