// State that a server and its connections share.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "connection.h"
#include "descriptor_reserve.h"
#include "holdfast/http/server.h"

namespace holdfast::http {

class Listener;

// TLS handshakes under way, by the address of the peer. Thread-compatible.
class HandshakeCounts {
 public:
  void begin(std::string_view host) { ++counts_[std::string(host)]; }
  void end(std::string_view host);
  std::size_t of(std::string_view host) const;

 private:
  std::map<std::string, std::size_t, std::less<>> counts_;
};

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(EventLoop& l, ServerOptions o, ServerHooks h);

  // How a connection came: over a unix socket, to a listener with TLS, or on a descriptor of the
  // reserve, which is to be refused.
  struct Arrival {
    bool unix_socket = false, tls = false, on_reserve = false;
  };
  void accepted(StreamSocket socket, Arrival arrival);
  // Whether another connection may be accepted now; a listener that was told no is resumed by
  // forget().
  bool may_accept() const;
  void forget(Connection& connection);
  // At the end of the loop's turn.
  void flush_soon(std::shared_ptr<Connection> connection);
  Response error_response(const Request& request, const HttpError& error) const;

  EventLoop& loop;
  ServerOptions options;
  ServerHooks hooks;
  ServerCounters counters;
  std::unordered_set<std::shared_ptr<Connection>> connections;
  std::vector<std::shared_ptr<Listener>> listeners;
  std::vector<std::shared_ptr<Connection>> to_flush;
  std::shared_ptr<const tls::ServerContext> tls;  // of connections that begin now
  HandshakeCounts handshakes;
  DescriptorReserve reserve;
  std::size_t held_body_bytes = 0;
  std::uint64_t ids = 0;
  bool draining = false;
  std::array<char, 64 * 1024> scratch;  // input of the connection that is being read
};

}  // namespace holdfast::http
