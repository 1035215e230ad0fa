#include "holdfast/platform/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <thread>

namespace holdfast::platform {
namespace {

// Everything the child needs, made before fork: between fork and exec only async-signal-safe calls
// are allowed.
struct ChildPlan {
  const char* program = nullptr;
  std::vector<char*> argv;
  std::vector<char*> environment;
  std::vector<FdMapping> fds;  // parent_fd is rewritten to a copy above every target
  int fd_above_targets = 3;
  bool map_stdin = false;
  int parent_death_signal = 0;
  bool new_process_group = false;
  pid_t parent = 0;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

bool set_up_descriptors(ChildPlan& plan, int& report_fd) {
  // First copy everything above the highest target, so that no dup2 overwrites a source that is
  // still needed.
  report_fd = ::fcntl(report_fd, F_DUPFD_CLOEXEC, plan.fd_above_targets);
  if (report_fd < 0) return false;
  for (FdMapping& m : plan.fds) {
    m.parent_fd = ::fcntl(m.parent_fd, F_DUPFD_CLOEXEC, plan.fd_above_targets);
    if (m.parent_fd < 0) return false;
  }
  // A descriptor that some library opened without close-on-exec must not leak either.
  ::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
  if (!plan.map_stdin) {
    const int null_fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || ::dup2(null_fd, 0) < 0) return false;
  }
  for (const FdMapping& m : plan.fds) {
    if (::dup2(m.parent_fd, m.child_fd) < 0) return false;
  }
  return true;
}

[[noreturn]] void run_child(ChildPlan& plan, int report_fd) {
  bool ok = true;
  if (plan.new_process_group) ok = ::setpgid(0, 0) == 0;
  if (ok && plan.parent_death_signal != 0) {
    ok = ::prctl(PR_SET_PDEATHSIG, plan.parent_death_signal) == 0;
    // The parent may have died before prctl: then nobody is left to send the signal.
    if (::getppid() != plan.parent) ::_exit(127);
  }
  reset_signals_for_child();
  ok = ok && set_up_descriptors(plan, report_fd);
  if (ok) ::execve(plan.program, plan.argv.data(), plan.environment.data());
  const int error = errno;
  if (::write(report_fd, &error, sizeof error) < 0) ::_exit(126);
  ::_exit(127);
}

Status validate(const SpawnOptions& options) {
  if (options.argv.empty()) return internal_error("a child needs argv[0]");
  std::vector<int> targets;
  for (const FdMapping& m : options.fds) {
    if (m.parent_fd < 0 || m.child_fd < 0 || m.child_fd > 1000) {
      return internal_error("bad descriptor in a child's list");
    }
    if (std::ranges::find(targets, m.child_fd) != targets.end()) {
      return internal_error("a child's descriptor is given twice");
    }
    targets.push_back(m.child_fd);
  }
  return {};
}

ChildPlan make_plan(const SpawnOptions& options) {
  ChildPlan plan;
  plan.program = options.program.c_str();
  plan.argv = pointers(options.argv);
  plan.environment = pointers(options.environment);
  plan.fds = options.fds;
  for (const FdMapping& m : options.fds) {
    plan.fd_above_targets = std::max(plan.fd_above_targets, m.child_fd + 1);
    plan.map_stdin = plan.map_stdin || m.child_fd == 0;
  }
  plan.parent_death_signal = options.parent_death_signal;
  plan.new_process_group = options.new_process_group;
  plan.parent = ::getpid();
  return plan;
}

// The errno of a child that could not exec, or 0: the pipe closes on a successful exec.
int read_report(int fd) {
  int error = 0;
  ssize_t n = 0;
  do {
    n = ::read(fd, &error, sizeof error);
  } while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(sizeof error) ? error : 0;
}

ExitStatus to_exit_status(const siginfo_t& info) {
  return {info.si_code != CLD_EXITED, info.si_status};
}

}  // namespace

std::string ExitStatus::describe() const {
  if (!signalled) return "exited with status " + std::to_string(code);
  const char* name = ::sigabbrev_np(code);
  std::string out = "killed by signal " + std::to_string(code);
  if (name != nullptr) out += std::string(" (SIG") + name + ")";
  return out;
}

void reset_signals_for_child() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &action, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::size_t descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX) return INT_MAX;
  return static_cast<std::size_t>(limit.rlim_cur);
}

Status raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return os_error(errno, "read the descriptor limit");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return os_error(errno, "raise the descriptor limit");
  return ok_status();
}

Result<Process> Process::spawn(const SpawnOptions& options) {
  HF_TRY(validate(options));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return os_error(errno, "pipe");
  const UniqueFd report_read(ends[0]);
  UniqueFd report_write(ends[1]);
  ChildPlan plan = make_plan(options);
  // Signals stay blocked across fork: a handler of the parent must not run in the child.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  if (pid == 0) run_child(plan, report_write.get());
  const int fork_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return os_error(fork_error, "fork");
  // The child is not reaped yet, so the number cannot belong to another process.
  Process child(pid, UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0u))));
  report_write.reset();
  if (const int error = read_report(report_read.get()); error != 0) {
    return os_error(error, "start", options.program);
  }
  return child;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      status_(std::move(other.status_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    destroy();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    status_ = std::move(other.status_);
  }
  return *this;
}

Process::~Process() { destroy(); }

void Process::destroy() {
  if (pid_ < 0 || status_) return;
  ::kill(pid_, SIGKILL);
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) {
  }
}

Result<std::optional<ExitStatus>> Process::wait(Deadline deadline) {
  while (!status_) {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) != 0) {
      if (errno == EINTR) continue;
      return os_error(errno, "wait for child");
    }
    if (info.si_pid == pid_) {
      status_ = to_exit_status(info);
      break;
    }
    if (deadline.passed()) return std::optional<ExitStatus>();
    if (pidfd_.valid()) {
      pollfd p{pidfd_.get(), POLLIN, 0};
      if (::poll(&p, 1, deadline.poll_timeout_ms()) < 0 && errno != EINTR) {
        return os_error(errno, "wait for child");
      }
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  return status_;
}

Status Process::kill(int signal) {
  if (pid_ < 0 || status_) return {};
  if (::kill(pid_, signal) != 0 && errno != ESRCH) return os_error(errno, "signal child");
  return {};
}

// A group outlives its leader while it has members; until then its number is not given again.
Status Process::kill_group(int signal) {
  if (pid_ < 0) return {};
  if (::kill(-pid_, signal) != 0 && errno != ESRCH) return os_error(errno, "signal child");
  return {};
}

Result<ExitStatus> Process::terminate(std::chrono::milliseconds grace) {
  HF_TRY(kill(SIGTERM));
  HF_TRY_ASSIGN(std::optional<ExitStatus> status, wait(Deadline::after(grace)));
  if (!status) {
    HF_TRY(kill(SIGKILL));
    HF_TRY_ASSIGN(status, wait(Deadline::never()));
  }
  return *status;
}

Result<std::string> own_executable_path() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  if (n < 0 || n == static_cast<ssize_t>(sizeof path))
    return os_error(errno, "readlink", "/proc/self/exe");
  return std::string(path, static_cast<std::size_t>(n));
}

}  // namespace holdfast::platform
