// State that a server and its connections share.
#pragma once

#include <array>
#include <memory>
#include <unordered_set>
#include <vector>

#include "connection.h"
#include "holdfast/http/server.h"

namespace holdfast::http {

class Listener;

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(EventLoop& l, ServerOptions o, ServerHooks h);

  void accepted(StreamSocket socket, bool unix_socket);
  // Whether another connection may be accepted now; a listener that was told no is resumed by
  // forget().
  bool may_accept() const;
  void forget(Connection& connection);
  Response error_response(const Request& request, const HttpError& error) const;

  EventLoop& loop;
  ServerOptions options;
  ServerHooks hooks;
  ServerCounters counters;
  std::unordered_set<std::shared_ptr<Connection>> connections;
  std::vector<std::shared_ptr<Listener>> listeners;
  std::size_t held_body_bytes = 0;
  std::uint64_t ids = 0;
  bool draining = false;
  std::array<char, 64 * 1024> scratch;  // input of the connection that is being read
};

}  // namespace holdfast::http
