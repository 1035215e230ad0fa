// One client connection: reads requests, hands them to the handler one after the other, writes the
// answers.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "holdfast/http/parser.h"
#include "holdfast/http/server.h"
#include "holdfast/tls/server.h"
#include "loop_impl.h"

namespace holdfast::http {

inline constexpr HttpError kInternalError{500, "internal_error",
                                          "The server failed to answer this request."};

class Exchange;
using StreamSocket = asio::generic::stream_protocol::socket;

// Owned by the server's set while open; everything runs on the loop's thread.
//
// The socket is only waited for, then read into a buffer that all connections share, so an idle
// connection holds no buffer. It is the one place that touches the socket; a TLS session sits
// between these calls and it, and holds no bytes either. Reading is in connection.cc, writing in
// connection_write.cc.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Server::Impl> server, StreamSocket socket, Peer peer,
             std::string local_address, std::unique_ptr<tls::ServerSession> session);
  ~Connection();

  void start();
  // Answers 503 without reading a request: beyond the connection limit.
  void refuse();
  void close(Disconnect reason);
  void drain();
  bool answering() const { return phase_ == Phase::kResponding; }
  // Sends what has been collected, then goes on with what waited for it. From the loop only.
  void flush();

  // For Exchange.
  void respond(Exchange& exchange, Response response);
  void start_stream(Exchange& exchange, int status, Headers headers, std::string probe);
  void stream_write(std::string_view bytes);
  void stream_finish(bool close_after);
  void reset();
  std::size_t unsent_bytes() const { return writing_.size() - written_ + pending_.size(); }
  bool writable();
  Server::Impl& server() { return *server_; }

 private:
  // kIdle: between requests. kResponding: a handler has it. kLingering: answered, the rest of the
  // input is dropped.
  enum class Phase : std::uint8_t { kIdle, kHead, kBody, kResponding, kLingering, kClosed };

  void wait_readable();
  void on_readable();
  bool take_bytes(std::string_view bytes);
  void take_plain(std::string_view bytes);
  void on_out_of_memory();
  void handshake_over();
  void on_eof();
  void watch_for_hangup();
  bool peer_hung_up();
  void probe_peer();
  void process_input();
  bool take_input();
  void on_head_complete();
  void hold_body_bytes(std::size_t bytes);
  void dispatch();
  void call_handler(const std::shared_ptr<Request>& request);
  void fail(const HttpError& error);
  void send_message(const Request& request, Response response, bool close_after);
  Headers complete_headers(const Request& request, int status, Headers headers, bool close_after);
  void queue(std::string_view bytes);
  void begin_output();
  void flush_soon();
  void send_now();
  bool take_pending();
  void wait_writable();
  void send_tls_end();
  void answer_complete();
  void next_request();
  void linger();
  void arm(std::chrono::milliseconds after);
  void on_timer();
  void check_body_rate();
  void check_stall();
  std::chrono::milliseconds stall_limit() const;

  std::shared_ptr<Server::Impl> server_;
  StreamSocket socket_;
  Peer peer_;
  std::string local_address_;
  Timer timer_;
  std::optional<RequestParser> parser_;
  std::string input_;
  std::unique_ptr<tls::ServerSession> tls_;  // null: plain
  // Bytes for the kernel, of which `written_` are gone, and those that come after them, not yet
  // encrypted.
  std::string writing_, pending_;
  std::size_t written_ = 0;
  std::weak_ptr<Exchange> exchange_;
  std::shared_ptr<Request> request_;  // being answered
  std::string probe_;
  std::chrono::steady_clock::time_point phase_started_{}, last_progress_{};
  std::size_t held_body_bytes_ = 0;
  std::uint64_t body_bytes_sent_ = 0;
  int status_ = 0;
  Phase phase_ = Phase::kIdle;
  bool waiting_ = false, waiting_writable_ = false, peer_eof_ = false, watching_hangup_ = false;
  bool flush_due_ = false, write_failed_ = false, held_back_ = false;
  bool handshaking_ = false, first_request_ = true;
  bool answered_ = false;  // the last byte of the answer is queued
  bool stream_ = false, chunked_ = false, head_only_ = false;
  bool close_after_ = false, linger_after_ = false, timer_armed_ = false, refusing_ = false;
};

// The ResponseWriter of one request.
class Exchange final : public ResponseWriter {
 public:
  Exchange(std::shared_ptr<Connection> connection, std::shared_ptr<Request> request)
      : connection_(std::move(connection)), request_(std::move(request)) {}
  ~Exchange() override;

  void send(Response response) override;
  void start_stream(int status, Headers headers, std::string probe) override;
  void write(std::string_view bytes) override;
  void finish() override;
  void finish_and_close() override;
  void abort() override;
  bool open() const override { return connection_ != nullptr; }
  bool stream_started() const override { return started_; }
  std::size_t unsent_bytes() const override;
  bool writable() const override;
  void on_disconnect(std::function<void(Disconnect)> fn) override {
    on_disconnect_ = std::move(fn);
  }
  void on_drain(std::function<void()> fn) override { on_drain_ = std::move(fn); }

  // For Connection.
  void disconnected(Disconnect reason);
  void drained();
  void release() { connection_.reset(); }
  const Request& request() const { return *request_; }

 private:
  std::shared_ptr<Connection> connection_;  // null once complete or disconnected
  std::shared_ptr<Request> request_;
  std::function<void(Disconnect)> on_disconnect_;
  std::function<void()> on_drain_;
  bool started_ = false;
};

}  // namespace holdfast::http
