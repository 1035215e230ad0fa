#include "egress_targets.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "holdfast/jail/egress.h"

namespace holdfast::jail {
namespace {

using platform::UniqueFd;

constexpr std::uint32_t kVsockPort = 11435;

std::uint16_t port_of(int fd) {
  SocketAddress bound;
  socklen_t length = sizeof bound.any;
  if (::getsockname(fd, &bound.any.sa, &length) != 0) return 0;
  return ntohs(bound.family() == AF_INET6 ? bound.any.v6.sin6_port : bound.any.v4.sin_port);
}

// An invalid descriptor where the machine cannot.
UniqueFd bind_new(int type, const SocketAddress& at) {
  UniqueFd fd(::socket(at.family(), type | SOCK_CLOEXEC, 0));
  if (fd.valid() && ::bind(fd.get(), at.get(), at.length) != 0) fd.reset();
  if (fd.valid() && type == SOCK_STREAM && ::listen(fd.get(), SOMAXCONN) != 0) fd.reset();
  return fd;
}

}  // namespace

SocketAddress address4(const char* text, std::uint16_t port) {
  SocketAddress out;
  out.any.v4.sin_family = AF_INET;
  out.any.v4.sin_port = htons(port);
  ::inet_pton(AF_INET, text, &out.any.v4.sin_addr);
  out.length = sizeof out.any.v4;
  return out;
}

SocketAddress address6(const char* text, std::uint16_t port) {
  SocketAddress out;
  out.any.v6.sin6_family = AF_INET6;
  out.any.v6.sin6_port = htons(port);
  ::inet_pton(AF_INET6, text, &out.any.v6.sin6_addr);
  out.length = sizeof out.any.v6;
  return out;
}

SocketAddress loopback4(std::uint16_t port) { return address4("127.0.0.1", port); }
SocketAddress loopback6(std::uint16_t port) { return address6("::1", port); }

SocketAddress abstract_unix(std::string_view name) {
  SocketAddress out;
  out.any.un.sun_family = AF_UNIX;
  const std::size_t bytes = std::min(name.size(), sizeof out.any.un.sun_path - 1);
  std::memcpy(out.any.un.sun_path + 1, name.data(), bytes);
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + bytes);
  return out;
}

SocketAddress vsock_loopback() {
  SocketAddress out;
  out.any.vm.svm_family = AF_VSOCK;
  out.any.vm.svm_cid = VMADDR_CID_LOCAL;
  out.any.vm.svm_port = kVsockPort;
  out.length = sizeof out.any.vm;
  return out;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, code] = std::from_chars(text.data(), end, value);
  if (code != std::errc() || at != end) return std::nullopt;
  return value;
}

Result<EgressTargets> EgressTargets::open() {
  EgressTargets out;
  out.addresses_.abstract_name = "holdfast-egress-" + std::to_string(::getpid());
  const auto add = [&out](int type, const SocketAddress& at, std::uint16_t* port) {
    UniqueFd fd = bind_new(type, at);
    if (!fd.valid()) return false;
    if (port != nullptr) *port = port_of(fd.get());
    out.sockets_.push_back(std::move(fd));
    return true;
  };
  if (!add(SOCK_STREAM, loopback4(0), &out.addresses_.tcp4) ||
      !add(SOCK_DGRAM, loopback4(0), &out.addresses_.udp4)) {
    return os_error(errno, "listen on 127.0.0.1");
  }
  add(SOCK_STREAM, loopback6(0), &out.addresses_.tcp6);
  add(SOCK_DGRAM, loopback6(0), &out.addresses_.udp6);
  add(SOCK_STREAM, abstract_unix(out.addresses_.abstract_name), nullptr);
  return out;
}

std::string EgressTargets::describe() const {
  const Addresses& a = addresses_;
  std::string out;
  for (const std::uint16_t port : {a.tcp4, a.tcp6, a.udp4, a.udp6})
    out += std::to_string(port) + ",";
  return out + a.abstract_name;
}

Result<EgressTargets::Addresses> EgressTargets::parse(std::string_view text) {
  Addresses out;
  for (std::uint16_t* port : {&out.tcp4, &out.tcp6, &out.udp4, &out.udp6}) {
    const std::size_t comma = text.find(',');
    const auto number =
        comma == std::string_view::npos ? std::nullopt : parse_number(text.substr(0, comma));
    if (!number || *number > 65535) return invalid_argument("not the targets of an attempt");
    *port = static_cast<std::uint16_t>(*number);
    text.remove_prefix(comma + 1);
  }
  out.abstract_name = text;
  return out;
}

Result<EgressTargets::Given> EgressTargets::make_given() const {
  Given given;
  given.tcp = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  given.connected = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  given.datagram = UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const SocketAddress to = loopback4(addresses_.tcp4);
  if (!given.tcp.valid() || !given.datagram.valid() ||
      ::connect(given.connected.get(), to.get(), to.length) != 0) {
    return os_error(errno, "make sockets");
  }
  return given;
}

}  // namespace holdfast::jail
