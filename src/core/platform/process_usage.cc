#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <ctime>
#include <string>
#include <string_view>

#include "holdfast/platform/filesystem.h"
#include "holdfast/platform/process.h"
#include "kernel_file.h"

namespace holdfast::platform {
namespace {

std::uint64_t number_after(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return 0;
  text.remove_prefix(at + key.size());
  const std::size_t digit = text.find_first_of("0123456789");
  if (digit == std::string_view::npos) return 0;
  std::uint64_t v = 0;
  std::from_chars(text.data() + digit, text.data() + text.size(), v);
  return v;
}

// Field 22 of /proc/self/stat, in clock ticks since boot; the name in parentheses may hold spaces.
double start_seconds_since_boot() {
  const auto stat = read_kernel_file("/proc/self/stat");
  if (!stat) return 0;
  const std::size_t close = stat->rfind(')');
  std::string_view rest =
      std::string_view(*stat).substr(close == std::string::npos ? 0 : close + 1);
  for (int field = 2; field < 22; ++field) {
    const std::size_t space = rest.find(' ');
    if (space == std::string_view::npos) return 0;
    rest.remove_prefix(space + 1);
  }
  std::uint64_t ticks = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
  return static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double seconds(const timeval& t) {
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
}

}  // namespace

ProcessUsage read_own_usage() {
  ProcessUsage u;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    u.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    u.resident_peak_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  }
  if (const auto status = read_kernel_file("/proc/self/status")) {
    u.resident_bytes = number_after(*status, "VmRSS:") * 1024;
    u.virtual_bytes = number_after(*status, "VmSize:") * 1024;
    u.threads = number_after(*status, "Threads:");
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) u.max_fds = limit.rlim_cur;
  PosixFileSystem fs;
  // The listing itself holds one descriptor.
  if (const auto fds = fs.list("/proc/self/fd"); fds.ok() && !fds->empty()) {
    u.open_fds = fds->size() - 1;
  }
  if (const auto stat = read_kernel_file("/proc/stat")) {
    u.start_unix_seconds =
        static_cast<double>(number_after(*stat, "btime")) + start_seconds_since_boot();
  }
  return u;
}

std::chrono::nanoseconds own_cpu_time() {
  timespec t{};
  if (::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0) return {};
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

// The second number of statm, in pages: readable also where the child gave up being dumpable.
std::uint64_t resident_bytes_of(pid_t pid) {
  const auto statm = read_kernel_file("/proc/" + std::to_string(pid) + "/statm");
  if (!statm) return 0;
  return number_after(*statm, " ") * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace holdfast::platform
