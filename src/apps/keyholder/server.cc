#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "holdfast/keyholder/link.h"
#include "holdfast/keyholder/service.h"

namespace holdfast::keyholder {
namespace {

// The jail allows 32 descriptors: standard ones, control, listener, and one that comes with a
// request.
constexpr std::size_t kConnectionsMax = 20;
// A request is written at once by programs of the same user.
constexpr auto kRequestPatience = std::chrono::seconds(2);

// False: the connection is done with.
bool serve_one(Service& service, int socket) {
  const auto deadline = platform::Deadline::after(kRequestPatience);
  auto frame = receive_frame(socket, deadline);
  if (!frame.ok()) return false;
  const Bytes reply = encode_reply(service.handle(frame->bytes, frame->fd));
  return send_frame(socket, reply, -1, deadline).ok();
}

class Connections {
 public:
  Connections(int control, int listener) : listener_(listener) { sockets_.emplace_back(control); }

  std::vector<pollfd> wanted() const {
    std::vector<pollfd> out;
    for (const platform::UniqueFd& s : sockets_) out.push_back({s.get(), POLLIN, 0});
    if (listener_ >= 0 && sockets_.size() <= kConnectionsMax) out.push_back({listener_, POLLIN, 0});
    return out;
  }

  void accept_one() {
    platform::UniqueFd fd(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    if (fd.valid()) sockets_.push_back(std::move(fd));
  }

  // False: it was the control socket.
  bool drop(int fd) {
    if (sockets_.front().get() == fd) return false;
    std::erase_if(sockets_, [fd](const platform::UniqueFd& s) { return s.get() == fd; });
    return true;
  }

  int listener() const { return listener_; }

 private:
  std::vector<platform::UniqueFd> sockets_;  // the control socket first
  int listener_;
};

}  // namespace

Status serve_holder(keyring::Holder& holder, int control, int listener) {
  Service service(holder);
  Connections connections(control, listener);
  while (true) {
    std::vector<pollfd> polled = connections.wanted();
    if (::poll(polled.data(), polled.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return os_error(errno, "poll");
    }
    for (const pollfd& p : polled) {
      if (p.revents == 0) continue;
      if (p.fd == connections.listener()) {
        connections.accept_one();
      } else if (!serve_one(service, p.fd) && !connections.drop(p.fd)) {
        return ok_status();
      }
    }
  }
}

}  // namespace holdfast::keyholder
