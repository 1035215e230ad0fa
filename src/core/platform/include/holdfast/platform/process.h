// Child processes: started with an explicit list of descriptors and nothing else inherited; waited
// for with a deadline.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {

// Descriptors that this process may hold.
std::size_t descriptor_limit();
// As many as the administrator allows: the usual soft limit is for programs with select().
Status raise_descriptor_limit();

struct ExitStatus {
  bool signalled = false;
  int code = 0;  // exit code, or the signal's number
  bool success() const { return !signalled && code == 0; }
  std::string describe() const;  // "exited with status 3", "killed by signal 11 (SIGSEGV)"
};

struct FdMapping {
  int parent_fd = -1;
  int child_fd = -1;
};

struct SpawnOptions {
  std::string program;                   // a path; PATH is not searched
  std::vector<std::string> argv;         // argv[0] included
  std::vector<std::string> environment;  // "NAME=value"; empty means an empty environment
  // The child's descriptors besides 0, 1 and 2. Standard input is /dev/null unless 0 is mapped;
  // standard output and error are inherited unless mapped.
  std::vector<FdMapping> fds;
  // Sent to the child when the *thread* that spawned it ends; 0: none. Only for threads that live
  // as long as the child.
  int parent_death_signal = 0;
  bool new_process_group = true;  // the terminal's Ctrl-C then reaches the parent only
};

// One child. Killed (SIGKILL) and reaped on destruction if it still runs. Thread-compatible; kill()
// may run beside wait().
class Process {
 public:
  // kNotFound / kDenied where the program cannot be executed; kExhausted on process or memory
  // limits.
  static Result<Process> spawn(const SpawnOptions& options);

  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;
  ~Process();

  pid_t pid() const { return pid_; }
  // Becomes readable when the child ends; -1 on kernels before 5.3.
  int pidfd() const { return pidfd_.get(); }
  // The status once it has ended (again and again the same); nullopt at the deadline.
  Result<std::optional<ExitStatus>> wait(Deadline deadline);
  // No effect on a child that was reaped.
  Status kill(int signal);
  // The child and what it started in its group, also after the child itself has ended. Only for a
  // child with new_process_group.
  Status kill_group(int signal);
  // SIGTERM, then SIGKILL after `grace`; returns the status.
  Result<ExitStatus> terminate(std::chrono::milliseconds grace);

 private:
  Process(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  void destroy();
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::optional<ExitStatus> status_;
};

// The running executable's own path, to find its siblings. kIo without /proc.
Result<std::string> own_executable_path();

// What this process uses now; fields that /proc does not tell are 0.
struct ProcessUsage {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0;
  std::uint64_t resident_peak_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t open_fds = 0;
  std::uint64_t max_fds = 0;
  std::uint64_t threads = 0;
  double start_unix_seconds = 0;
};
ProcessUsage read_own_usage();
// Processor time that all threads of this process have used. No file is read: also inside a jail.
std::chrono::nanoseconds own_cpu_time();
// Resident memory of another process; 0 where /proc does not tell or there is none.
std::uint64_t resident_bytes_of(pid_t pid);

// Default or ignored handling of signals and the mask, as an exec'd child should find them.
// Async-signal-safe.
void reset_signals_for_child();

}  // namespace holdfast::platform
