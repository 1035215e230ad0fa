#include "holdfast/platform/signals.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace holdfast::platform {

Result<SignalQueue> SignalQueue::create(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return os_error(error, "sigmask");
  }
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return os_error(errno, "signalfd");
  return SignalQueue(std::move(fd));
}

Result<std::optional<int>> SignalQueue::next(Deadline deadline) {
  while (true) {
    signalfd_siginfo info{};
    const ssize_t n = ::read(fd_.get(), &info, sizeof info);
    if (n == static_cast<ssize_t>(sizeof info)) {
      return std::optional<int>(static_cast<int>(info.ssi_signo));
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) return os_error(errno, "read signal");
    if (deadline.passed()) return std::optional<int>();
    pollfd p{fd_.get(), POLLIN, 0};
    if (::poll(&p, 1, deadline.poll_timeout_ms()) < 0 && errno != EINTR) {
      return os_error(errno, "poll");
    }
  }
}

void ignore_sigpipe() { ::signal(SIGPIPE, SIG_IGN); }

}  // namespace holdfast::platform
