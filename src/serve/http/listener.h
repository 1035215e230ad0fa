// A listening TCP or unix socket.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <memory>
#include <string>

#include "server_impl.h"

namespace holdfast::http {

// Owned by the server; runs on the loop's thread.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  virtual ~Listener() = default;
  virtual void resume() = 0;  // accept again, if it was paused
  virtual void close() = 0;

  // Errors as Server::listen_tcp and Server::listen_unix. `bound` receives the address with its
  // port.
  static Result<std::shared_ptr<Listener>> tcp(std::shared_ptr<Server::Impl> server,
                                               std::string_view address, bool tls,
                                               std::string& bound);
  static Result<std::shared_ptr<Listener>> unix_socket(std::shared_ptr<Server::Impl> server,
                                                       const std::string& path);
};

}  // namespace holdfast::http
