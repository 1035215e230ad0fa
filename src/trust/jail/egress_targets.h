// Socket addresses of the attempts, and numbers in their descriptions.
#pragma once

#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::jail {

struct SocketAddress {
  union {
    sockaddr sa;
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr_un un;
    sockaddr_vm vm;
  } any{};
  socklen_t length = 0;
  const sockaddr* get() const { return &any.sa; }
  int family() const { return any.sa.sa_family; }
};

SocketAddress address4(const char* text, std::uint16_t port);
SocketAddress address6(const char* text, std::uint16_t port);
SocketAddress loopback4(std::uint16_t port);
SocketAddress loopback6(std::uint16_t port);
SocketAddress abstract_unix(std::string_view name);
SocketAddress vsock_loopback();

std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace holdfast::jail
