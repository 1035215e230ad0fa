#include "holdfast/custody/holder_client.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "holdfast/jail/child.h"
#include "holdfast/keyholder/link.h"

namespace holdfast::custody {
namespace {

constexpr std::string_view kSocketName = "keyholder.sock";
// The holder computes for milliseconds; a rotation's batch for a second on a slow machine.
constexpr auto kReplyPatience = std::chrono::seconds(60);
// Its status comes from its memory, at worst behind such a batch of another process: who does not
// give it hangs, and is replaced.
constexpr auto kStatusPatience = std::chrono::seconds(5);
// Requests wait for it, and what it waits behind takes milliseconds.
constexpr auto kMacPatience = std::chrono::seconds(1);
constexpr int kBacklog = 16;

// A unix socket's address holds 107 bytes, and data directories may be deeper: the directory is
// named by its descriptor.
struct SocketAddress {
  platform::UniqueFd directory;
  sockaddr_un address{};
};

Result<SocketAddress> address_in(const std::string& data_dir) {
  SocketAddress out;
  HF_TRY_ASSIGN(out.directory, platform::open_place(data_dir));
  out.address.sun_family = AF_UNIX;
  const std::string path =
      "/proc/self/fd/" + std::to_string(out.directory.get()) + "/" + std::string(kSocketName);
  path.copy(out.address.sun_path, sizeof out.address.sun_path - 1);
  return out;
}

Result<platform::UniqueFd> make_socket() {
  platform::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return os_error(errno, "socket");
  return fd;
}

std::chrono::seconds patience_for(keyholder::Op op) {
  if (op == keyholder::Op::kStatus) return kStatusPatience;
  return op == keyholder::Op::kMac ? kMacPatience : kReplyPatience;
}

const sockaddr* generic(const SocketAddress& a) {
  return reinterpret_cast<const sockaddr*>(&a.address);
}

Error holder_died() {
  return unavailable("the key holder ended unexpectedly")
      .with_hint(
          "try again: it is started anew, and opens by itself where a slot needs no operator");
}

}  // namespace

HolderClient::~HolderClient() { disconnect(); }

void HolderClient::disconnect() {
  socket_.reset();
  process_.reset();
  door_.reset();
}

Result<platform::UniqueFd> HolderClient::connect_running() {
  HF_TRY_ASSIGN(const SocketAddress address, address_in(options_.data_dir));
  HF_TRY_ASSIGN(platform::UniqueFd fd, make_socket());
  if (::connect(fd.get(), generic(address), sizeof address.address) != 0)
    return os_error(errno, "connect to the key holder");
  // Files of this directory are ours alone, but who answers is checked all the same.
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      (peer.uid != ::geteuid() && peer.uid != 0)) {
    return Error(ErrorCode::kDenied, "another user answers in place of the key holder");
  }
  return fd;
}

Result<platform::UniqueFd> HolderClient::listen() {
  HF_TRY_ASSIGN(door_, files_.try_lock(platform::join_path(options_.data_dir, "keyholder.lock")));
  const std::string path = platform::join_path(options_.data_dir, kSocketName);
  ignore_error(files_.remove(path), "a holder that died leaves its name");
  HF_TRY_ASSIGN(const SocketAddress address, address_in(options_.data_dir));
  HF_TRY_ASSIGN(platform::UniqueFd fd, make_socket());
  // The mode is that of the descriptor at the time of binding.
  if (::fchmod(fd.get(), 0600) != 0 ||
      ::bind(fd.get(), generic(address), sizeof address.address) != 0 ||
      ::listen(fd.get(), kBacklog) != 0)
    return os_error(errno, "listen for the key holder");
  return fd;
}

Status HolderClient::start() {
  platform::UniqueFd listener;
  if (options_.share) {
    auto made = listen();
    // Where another server's holder is about to listen, ours stays private.
    if (made.ok()) listener = std::move(*made);
    if (!made.ok() && made.error().code() != ErrorCode::kUnavailable) return made.error();
  }
  jail::ChildOptions child;
  child.program = options_.program;
  child.arguments = {listener.valid() ? "serve" : "private"};
  if (listener.valid()) child.listed_fds = {listener.get()};
  auto started = jail::start_child(child);
  if (!started.ok()) return std::move(started).error().add_context("start the key holder");
  process_ = std::move(started->process);
  socket_ = std::move(started->control);
  HF_TRY_ASSIGN(const keyholder::Frame hello,
                keyholder::receive_frame(socket_.get(), platform::Deadline::after(kReplyPatience)));
  HF_TRY(keyholder::decode_reply(hello.bytes));
  return ok_status();
}

Status HolderClient::connect() {
  auto running = connect_running();
  if (running.ok()) {
    socket_ = std::move(*running);
    return ok_status();
  }
  if (running.error().code() == ErrorCode::kDenied) return running.error();
  if (options_.program.empty()) return unavailable("no key holder answers");
  Status started = start();
  if (!started.ok()) disconnect();
  return started;
}

Result<Bytes> HolderClient::exchange(ByteView request, int fd, platform::Deadline deadline) {
  HF_TRY(keyholder::send_frame(socket_.get(), request, fd, deadline));
  HF_TRY_ASSIGN(const keyholder::Frame reply, keyholder::receive_frame(socket_.get(), deadline));
  return Bytes(reply.bytes);
}

Result<Bytes> HolderClient::call(keyholder::Op op, ByteView body, int fd) {
  if (!socket_.valid()) HF_TRY(connect());
  ByteWriter request;
  request.be(static_cast<std::uint8_t>(op)).raw(body);
  if (request.size() > keyholder::kFrameBytesMax)
    return invalid_argument("a request to the key holder is too long");
  auto reply = exchange(request.view(), fd, platform::Deadline::after(patience_for(op)));
  if (!reply.ok()) {
    disconnect();
    return holder_died().add_context(reply.error().to_string());
  }
  return keyholder::decode_reply(*reply);
}

}  // namespace holdfast::custody
