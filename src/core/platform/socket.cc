#include "holdfast/platform/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace holdfast::platform {
namespace {

Status wait_for(int fd, short events, Deadline deadline) {
  while (true) {
    pollfd p{fd, events, 0};
    const int n = ::poll(&p, 1, deadline.poll_timeout_ms());
    if (n > 0) return {};
    if (n == 0 && deadline.passed())
      return Error(ErrorCode::kDeadline, "the other side did not answer in time");
    if (n < 0 && errno != EINTR) return os_error(errno, "poll");
  }
}

bool is_gone(int error) { return error == EPIPE || error == ECONNRESET || error == ENOTCONN; }

}  // namespace

Result<SocketPair> make_socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return os_error(errno, "socketpair");
  }
  return SocketPair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Status send_all(int fd, ByteView bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      HF_TRY(wait_for(fd, POLLOUT, deadline));
    } else if (is_gone(errno)) {
      return unavailable("the other side is gone");
    } else if (errno != EINTR) {
      return os_error(errno, "send");
    }
  }
  return {};
}

Result<std::size_t> receive_some(int fd, MutableBytes out, Deadline deadline) {
  while (true) {
    const ssize_t n = ::recv(fd, out.data(), out.size(), MSG_DONTWAIT);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EAGAIN) {
      HF_TRY(wait_for(fd, POLLIN, deadline));
    } else if (is_gone(errno)) {
      return std::size_t{0};
    } else if (errno != EINTR) {
      return os_error(errno, "receive");
    }
  }
}

Status receive_exact(int fd, MutableBytes out, Deadline deadline) {
  bool first = true;
  while (!out.empty()) {
    HF_TRY_ASSIGN(const std::size_t n, receive_some(fd, out, deadline));
    if (n == 0) {
      if (first) return unavailable("the other side is gone");
      return corrupt("the other side stopped in the middle of a message");
    }
    first = false;
    out = out.subspan(n);
  }
  return {};
}

Status set_non_blocking(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) != 0) {
    return os_error(errno, "fcntl");
  }
  return {};
}

Result<std::uint16_t> free_loopback_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (!fd.valid() || ::bind(fd.get(), generic, size) != 0 ||
      ::getsockname(fd.get(), generic, &size) != 0)
    return os_error(errno, "find a free port");
  return ntohs(address.sin_port);
}

}  // namespace holdfast::platform
