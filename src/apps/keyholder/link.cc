#include "holdfast/keyholder/link.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "holdfast/base/check.h"
#include "holdfast/platform/socket.h"

namespace holdfast::keyholder {
namespace {

constexpr std::size_t kTextBytesMax = 4096;

union ControlBuffer {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

Status wait_for(int fd, short events, platform::Deadline deadline) {
  while (true) {
    pollfd p{fd, events, 0};
    const int n = ::poll(&p, 1, deadline.poll_timeout_ms());
    if (n > 0) return ok_status();
    if (n == 0 && deadline.passed())
      return Error(ErrorCode::kDeadline, "the other side did not answer in time");
    if (n < 0 && errno != EINTR) return os_error(errno, "poll");
  }
}

Error is_gone() { return unavailable("the key holder is gone"); }

// The four bytes of a length, with the descriptor.
Status send_head(int socket, MutableBytes head, int pass_fd, platform::Deadline deadline) {
  // The holder passes none, and its jail has no sendmsg: that can name an address.
  if (pass_fd < 0) return platform::send_all(socket, head, deadline);
  iovec part{head.data(), head.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ControlBuffer control{};
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  cmsghdr* c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(c), &pass_fd, sizeof pass_fd);
  while (true) {
    const ssize_t n = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      const auto sent = static_cast<std::size_t>(n);
      return platform::send_all(socket, head.subspan(sent), deadline);
    }
    if (n < 0 && errno == EAGAIN) {
      HF_TRY(wait_for(socket, POLLOUT, deadline));
    } else if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
      return is_gone();
    } else if (n < 0 && errno != EINTR) {
      return os_error(errno, "sendmsg");
    }
  }
}

// Takes the descriptors out of a message; kCorrupt for more than one (all are closed then).
Status take_descriptor(const msghdr& message, platform::UniqueFd& out) {
  bool good = (message.msg_flags & MSG_CTRUNC) == 0;
  msghdr copy = message;
  for (cmsghdr* c = CMSG_FIRSTHDR(&copy); c != nullptr; c = CMSG_NXTHDR(&copy, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < n; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      platform::UniqueFd owned(fd);
      if (out.valid()) good = false;
      out = std::move(owned);
    }
  }
  if (good) return ok_status();
  out.reset();
  return corrupt("a frame came with several descriptors");
}

Status receive_head(int socket, MutableBytes head, platform::UniqueFd& fd,
                    platform::Deadline deadline) {
  while (true) {
    iovec part{head.data(), head.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ControlBuffer control{};
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    const ssize_t n = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n > 0) {
      HF_TRY(take_descriptor(message, fd));
      const auto got = static_cast<std::size_t>(n);
      return got == head.size() ? ok_status()
                                : platform::receive_exact(socket, head.subspan(got), deadline);
    }
    if (n == 0 || errno == ECONNRESET) return is_gone();
    if (errno == EAGAIN) {
      HF_TRY(wait_for(socket, POLLIN, deadline));
    } else if (errno != EINTR) {
      return os_error(errno, "recvmsg");
    }
  }
}

std::string_view bounded(std::string_view text) { return text.substr(0, kTextBytesMax); }

// Memory that a system call may fill, wiped at its end.
struct Piece {
  std::array<std::byte, 4096> bytes{};
  ~Piece() { platform::wipe(bytes); }
};

}  // namespace

Status send_frame(int socket, ByteView bytes, int pass_fd, platform::Deadline deadline) {
  HF_CHECK(!bytes.empty() && bytes.size() <= kFrameBytesMax);
  std::array<std::byte, 4> head{};
  store_be(head.data(), static_cast<std::uint32_t>(bytes.size()));
  HF_TRY(send_head(socket, head, pass_fd, deadline));
  return platform::send_all(socket, bytes, deadline);
}

Result<Frame> receive_frame(int socket, platform::Deadline deadline) {
  Frame frame;
  std::array<std::byte, 4> head{};
  HF_TRY(receive_head(socket, head, frame.fd, deadline));
  const auto bytes = load_be<std::uint32_t>(head.data());
  if (bytes == 0 || bytes > kFrameBytesMax) return corrupt("a frame has a wrong length");
  frame.bytes.resize(bytes);
  HF_TRY(platform::receive_exact(socket, frame.bytes, deadline));
  return frame;
}

Bytes encode_reply(const Result<Bytes>& result) {
  ByteWriter out;
  if (result.ok()) {
    HF_CHECK(result->size() < kFrameBytesMax);
    out.be<std::uint8_t>(0).raw(*result);
  } else {
    const Error& error = result.error();
    out.be(static_cast<std::uint8_t>(error.code())).lp(bounded(error.client_message()));
    out.lp(bounded(error.detail())).lp(bounded(error.hint()));
  }
  return std::move(out).take();
}

Result<Bytes> decode_reply(ByteView reply) {
  ByteReader in(reply);
  HF_TRY_ASSIGN(const std::uint8_t code, in.be<std::uint8_t>());
  if (code == 0) {
    HF_TRY_ASSIGN(const ByteView body, in.take(in.remaining()));
    return Bytes(body.begin(), body.end());
  }
  HF_TRY_ASSIGN(const ByteView message, in.take_lp());
  HF_TRY_ASSIGN(const ByteView detail, in.take_lp());
  HF_TRY_ASSIGN(const ByteView hint, in.take_lp());
  return Error(error_code_from_number(code), std::string(as_string_view(message)),
               std::string(as_string_view(detail)))
      .with_hint(std::string(as_string_view(hint)));
}

Status send_secret(int socket, ByteView secret, platform::Deadline deadline) {
  Piece piece;
  while (!secret.empty()) {
    const std::size_t n = std::min(secret.size(), piece.bytes.size());
    std::copy_n(secret.begin(), n, piece.bytes.begin());
    HF_TRY(platform::send_all(socket, ByteView(piece.bytes).first(n), deadline));
    secret = secret.subspan(n);
  }
  return ok_status();
}

Result<crypto::Secret> receive_secret(int socket, std::size_t bytes, platform::Deadline deadline) {
  HF_TRY_ASSIGN(crypto::Secret secret, crypto::Secret::of_size(bytes));
  Piece piece;
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t n = std::min(bytes - done, piece.bytes.size());
    HF_TRY(platform::receive_exact(socket, MutableBytes(piece.bytes).first(n), deadline));
    std::copy_n(piece.bytes.begin(), n, secret.bytes().begin() + static_cast<std::ptrdiff_t>(done));
    done += n;
  }
  return secret;
}

Result<crypto::Secret> read_secret(int fd, std::size_t bytes_max, platform::Deadline deadline) {
  HF_TRY_ASSIGN(crypto::Secret all, crypto::Secret::of_size(bytes_max + 1));
  Piece piece;
  std::size_t done = 0;
  while (done <= bytes_max) {
    HF_TRY(wait_for(fd, POLLIN, deadline));
    const std::size_t room = std::min(bytes_max + 1 - done, piece.bytes.size());
    const ssize_t n = ::read(fd, piece.bytes.data(), room);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error(errno, "read a secret");
    if (n == 0) break;
    std::copy_n(piece.bytes.begin(), n, all.bytes().begin() + static_cast<std::ptrdiff_t>(done));
    done += static_cast<std::size_t>(n);
  }
  if (done == 0) return invalid_argument("the secret is empty");
  if (done > bytes_max) return invalid_argument("the secret is too long");
  return crypto::Secret::copy_of(all.view().first(done));
}

}  // namespace holdfast::keyholder
