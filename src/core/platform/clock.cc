#include "holdfast/platform/clock.h"

#include <algorithm>
#include <climits>
#include <cstdio>
#include <ctime>
#include <thread>

namespace holdfast::platform {
namespace {

std::int64_t read_clock_ns(clockid_t id) {
  timespec ts{};
  ::clock_gettime(id, &ts);
  return std::int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

}  // namespace

std::int64_t SystemClock::monotonic_ns() const { return read_clock_ns(CLOCK_MONOTONIC); }

WallTime SystemClock::wall_time() const {
  return WallTime(std::chrono::nanoseconds(read_clock_ns(CLOCK_REALTIME)));
}

int SystemClock::utc_offset_seconds(std::int64_t unix_seconds) const {
  const auto when = static_cast<time_t>(unix_seconds);
  std::tm local{};
  if (::localtime_r(&when, &local) == nullptr) return 0;
  return static_cast<int>(local.tm_gmtoff);
}

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

ManualClock::ManualClock(std::int64_t unix_seconds) : wall_unix_ns_(unix_seconds * 1'000'000'000) {}

WallTime ManualClock::wall_time() const {
  return WallTime(std::chrono::nanoseconds(wall_unix_ns_.load()));
}

void ManualClock::advance(std::chrono::nanoseconds by) {
  monotonic_ns_ += by.count();
  wall_unix_ns_ += by.count();
}

void ManualClock::step_wall(std::chrono::nanoseconds by) { wall_unix_ns_ += by.count(); }

Deadline Deadline::after(std::chrono::nanoseconds from_now, const Clock& clock) {
  const std::int64_t now = clock.monotonic_ns();
  const std::int64_t room = std::numeric_limits<std::int64_t>::max() - now;
  return from_now.count() >= room ? never() : Deadline(now + from_now.count());
}

bool Deadline::passed(const Clock& clock) const {
  return !is_never() && clock.monotonic_ns() >= at_ns_;
}

int Deadline::poll_timeout_ms(const Clock& clock) const {
  if (is_never()) return -1;
  const std::int64_t left = at_ns_ - clock.monotonic_ns();
  if (left <= 0) return 0;
  // Rounded up: a wait that ends early would spin through the last millisecond.
  return static_cast<int>(std::min<std::int64_t>(left / 1'000'000 + 1, INT_MAX));
}

std::string format_rfc3339_ms(WallTime t) {
  const std::int64_t seconds = unix_seconds(t);
  const auto ms = static_cast<int>(
      std::chrono::floor<std::chrono::milliseconds>(t).time_since_epoch().count() - seconds * 1000);
  const auto when = static_cast<time_t>(seconds);
  std::tm utc{};
  ::gmtime_r(&when, &utc);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms);
  return text;
}

void pause_for(std::chrono::nanoseconds duration) { std::this_thread::sleep_for(duration); }

}  // namespace holdfast::platform
