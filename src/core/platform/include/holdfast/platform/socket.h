// Socket pairs between a parent and its child, and exact transfers with a deadline.
#pragma once

#include <cstdint>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {

struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};

// AF_UNIX, SOCK_STREAM, close-on-exec, blocking.
Result<SocketPair> make_socket_pair();

// Sends all bytes; SIGPIPE is not raised. kUnavailable when the other end is gone, kDeadline, kIo.
Status send_all(int fd, ByteView bytes, Deadline deadline);
// Fills `out`. kUnavailable when the other end closed before the first byte, kCorrupt in the
// middle, kDeadline, kIo.
Status receive_exact(int fd, MutableBytes out, Deadline deadline);
// At least one byte; 0 when the other end closed. kDeadline, kIo.
Result<std::size_t> receive_some(int fd, MutableBytes out, Deadline deadline);
Status set_non_blocking(int fd, bool on);

// A TCP port of 127.0.0.1 that nobody listens on now, for a child that is told where to listen.
Result<std::uint16_t> free_loopback_port();

}  // namespace holdfast::platform
