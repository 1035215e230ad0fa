// Server: HTTP/1.1 over TCP and unix sockets, with a limit on everything a client can make it hold.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/result.h"
#include "holdfast/http/event_loop.h"
#include "holdfast/http/message.h"
#include "holdfast/http/parser.h"
#include "holdfast/tls/server.h"

namespace holdfast::http {

enum class Disconnect : std::uint8_t {
  kPeerGone,  // closed or reset
  kStalled,   // did not read for stall_timeout, or the cap on unsent bytes was passed
  kShutdown,  // the server closes
};

// The answer to one request. Owned by the loop's thread, shared by whoever produces the answer;
// after a disconnect all calls do nothing. Dropping the last reference without an answer sends a
// 500.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;

  // A whole response. Adds Content-Length.
  virtual void send(Response response) = 0;

  // A stream: chunked, or ended by close for HTTP/1.0. `probe` is what may be sent, as content, to
  // learn whether a peer that closed its sending side still reads.
  virtual void start_stream(int status, Headers headers, std::string probe) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void finish() = 0;
  // After an error inside a stream: finish, then close the connection.
  virtual void finish_and_close() = 0;
  // Ends a stream so that the peer cannot take it for complete: reset, no final chunk.
  virtual void abort() = 0;

  // True until the answer is complete or the peer is gone.
  virtual bool open() const = 0;
  virtual bool stream_started() const = 0;
  // Bytes handed over and not yet taken by the kernel.
  virtual std::size_t unsent_bytes() const = 0;
  // False above half the cap: hold further output back until on_drain. write() above the cap
  // disconnects (kStalled).
  virtual bool writable() const = 0;

  // At most one of each; called on the loop's thread, on_disconnect at most once and never after
  // the answer is complete.
  virtual void on_disconnect(std::function<void(Disconnect)> fn) = 0;
  virtual void on_drain(std::function<void()> fn) = 0;
};

using Handler = std::function<void(std::shared_ptr<Request>, std::shared_ptr<ResponseWriter>)>;

struct AccessOptions {
  // Names under which the server may be addressed, besides the address a connection was made to
  // (and localhost on loopback). A page on another name that resolves here (DNS rebinding) gets
  // 421.
  std::vector<std::string> hosts;
  std::vector<std::string> cors_origins;  // exact "scheme://host[:port]"
  std::string cors_allow_headers;
  std::string cors_expose_headers;
};

struct ServerOptions {
  ParserLimits limits;
  AccessOptions access;
  std::size_t connections_max = 4096;
  std::size_t reserve_connections =
      64;  // beyond the maximum, answered 503 at once instead of left in the backlog
  std::size_t handshakes_per_address = 20;        // TLS, at the same time; more are closed
  std::size_t body_bytes_total_max = 512u << 20;  // all bodies being held
  std::size_t unsent_bytes_max = 256 * 1024;      // per stream
  std::size_t pipelined_bytes_max = 64 * 1024;    // read ahead while a request is being answered
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds body_timeout{30'000};
  std::chrono::milliseconds body_grace{5'000};  // after it, body_bytes_per_second_min holds
  std::size_t body_bytes_per_second_min = 1024;
  std::chrono::milliseconds idle_timeout{75'000};  // between requests of one connection
  std::chrono::milliseconds stall_timeout{30'000};
  std::chrono::milliseconds linger_timeout{
      2'000};  // reading on after an early error, so that the client sees it
};

// What the layer above supplies. All are called on the loop's thread.
struct ServerHooks {
  Handler handle;
  // Before a body is read (a request without one goes to `handle` at once): an error ends it there.
  // Absent: everybody may send a body.
  std::function<std::optional<HttpError>(Request&)> refuse_head = {};
  // Body of an error that this layer found; the request may be incomplete.
  std::function<Response(const Request&, const HttpError&)> render_error;
  // Adds the headers that every answer carries.
  std::function<void(const Request&, int status, Headers&)> decorate;
  std::function<std::string()> new_request_id;
  // After the last byte, or when the peer went away (status 499).
  std::function<void(const Request&, int status, std::uint64_t body_bytes_sent)> on_complete;
};

struct ServerCounters {
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_refused = 0;  // by the reserve
  std::size_t connections_open = 0;
  std::uint64_t requests = 0;
};

// Owned by main; used on the loop's thread only (or before it runs). Destroy it after close_all()
// on that thread, or once the loop has ended.
class Server {
 public:
  Server(EventLoop& loop, ServerOptions options, ServerHooks hooks);
  ~Server();

  // "127.0.0.1:11435", "[::1]:0". Returns the bound address. kConflict: the port is in use.
  // kInvalidArgument: not an address.
  // With TLS if set_tls() came before.
  Result<std::string> listen_tcp(std::string_view address);
  // Mode 0660. A socket file whose server is dead is replaced; kConflict if one answers, or it is
  // no socket.
  Status listen_unix(const std::string& path);

  // Certificate and key of connections that begin from now on; those that exist keep theirs.
  // Precondition: not null once a listener uses TLS.
  void set_tls(std::shared_ptr<const tls::ServerContext> context);
  // Limits and times for what begins from now on: requests, answers, waits. What is under way may
  // still end by the old ones.
  void update(ServerOptions options);

  // No new connections; idle ones close; answers under way say Connection: close.
  void drain();
  // Connections whose answer is being made, or has been and is not yet with the reader.
  std::size_t answering() const;
  // Ends everything now.
  void close_all();

  ServerCounters counters() const;

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace holdfast::http
