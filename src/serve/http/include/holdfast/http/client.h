// Client: a small blocking HTTP/1.1 client for the command line and for tests. Plain TCP and unix
// sockets.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"
#include "holdfast/http/message.h"

namespace holdfast::http {

// "http://127.0.0.1:11435[/base]", "unix:/path/to.sock", or "host:port".
struct Endpoint {
  std::string unix_path;  // not empty: a unix socket
  std::string host;
  std::string port;
  std::string base_path;  // without trailing slash
};
Result<Endpoint> parse_endpoint(std::string_view text);

struct ClientOptions {
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds idle_timeout{600'000};  // without a byte from the server
  std::size_t body_bytes_max = 256u << 20;          // of a response that is collected
  // When it becomes true, a call under way returns kCancelled within 100 ms.
  const std::atomic<bool>* stop = nullptr;
};

struct ClientRequest {
  std::string method = "GET";
  std::string path = "/";  // already escaped
  Headers headers;
  std::string body;
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;  // empty where a callback took it
};

// One connection, reused while the server keeps it. Owned by one thread.
class Client {
 public:
  explicit Client(Endpoint endpoint, ClientOptions options = {});
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  // Body bytes as they arrive; return false to stop (the connection is closed and the call returns
  // what it has).
  using OnBody = std::function<bool(const ClientResponse& head, std::string_view bytes)>;

  // kUnavailable: nobody listens or the connection broke. kDeadline: no byte for idle_timeout.
  // kCancelled: stop.
  Result<ClientResponse> request(const ClientRequest& request, const OnBody& on_body = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast::http
