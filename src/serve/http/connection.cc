#include "connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <new>
#include <system_error>

#include "access.h"
#include "holdfast/http/address.h"
#include "server_impl.h"

namespace holdfast::http {
namespace {

using Clock = std::chrono::steady_clock;

constexpr HttpError kHeaderTimeout{408, "request_timeout", "The request was not received in time."};
constexpr HttpError kOverloaded{503, "overloaded",
                                "The server has too many connections or bodies in memory."};

std::chrono::milliseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
}

bool valid_request_id(std::string_view id) {
  if (id.empty() || id.size() > 128) return false;
  for (const char c : id) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '_' || c == '-';
    if (!ok) return false;
  }
  return true;
}

// "127.0.0.1:40312" -> "127.0.0.1".

std::string new_request_id(Server::Impl& server) {
  return server.hooks.new_request_id ? server.hooks.new_request_id()
                                     : "req_" + std::to_string(++server.ids);
}

void set_request_id(Server::Impl& server, Request& request) {
  const std::string_view given = request.headers.get("x-request-id");
  request.id = valid_request_id(given) ? std::string(given) : new_request_id(server);
}

}  // namespace

Connection::Connection(std::shared_ptr<Server::Impl> server, StreamSocket socket, Peer peer,
                       std::string local_address, std::unique_ptr<tls::ServerSession> session)
    : server_(std::move(server)),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      local_address_(std::move(local_address)),
      timer_(server_->loop),
      tls_(std::move(session)),
      handshaking_(tls_ != nullptr) {
  if (handshaking_) server_->handshakes.begin(host_name(peer_.address));
}

Connection::~Connection() { handshake_over(); }

void Connection::handshake_over() {
  if (std::exchange(handshaking_, false)) server_->handshakes.end(host_name(peer_.address));
}

void Connection::start() {
  phase_started_ = Clock::now();
  arm(server_->options.header_timeout);
  wait_readable();
}

void Connection::refuse() {
  refusing_ = true;
  wait_readable();
  fail(kOverloaded);
}

void Connection::close(Disconnect reason) {
  if (phase_ == Phase::kClosed) return;
  const auto self = shared_from_this();
  phase_ = Phase::kClosed;
  timer_.cancel();
  handshake_over();
  asio_error ignored;
  socket_.close(ignored);
  server_->held_body_bytes -= std::exchange(held_body_bytes_, 0);
  if (request_ && server_->hooks.on_complete)
    server_->hooks.on_complete(*request_, 499, body_bytes_sent_);
  request_.reset();
  const auto exchange = exchange_.lock();
  server_->forget(*this);
  if (exchange && exchange->open()) exchange->disconnected(reason);
}

void Connection::reset() {
  asio_error ignored;
  // Zero linger: the peer sees a reset, which no client takes for the end of an answer.
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  close(Disconnect::kPeerGone);
}

void Connection::drain() {
  close_after_ = true;
  if (phase_ != Phase::kIdle) return;
  send_tls_end();
  close(Disconnect::kShutdown);
}

// Reading.

void Connection::wait_readable() {
  if (phase_ == Phase::kClosed || waiting_ || peer_eof_) return;
  if (phase_ == Phase::kResponding && input_.size() >= server_->options.pipelined_bytes_max) {
    watch_for_hangup();
    return;
  }
  waiting_ = true;
  socket_.async_wait(StreamSocket::wait_read, [self = shared_from_this()](const asio_error& error) {
    self->waiting_ = false;
    if (self->phase_ == Phase::kClosed) return;
    if (error) {
      self->close(Disconnect::kPeerGone);
    } else {
      self->on_readable();
    }
  });
}

void Connection::on_readable() {
  asio_error error;
  const std::size_t n = socket_.read_some(asio::buffer(server_->scratch), error);
  if (error == asio::error::would_block || error == asio::error::try_again) {
    wait_readable();
    return;
  }
  if (error == asio::error::eof) {
    on_eof();
    return;
  }
  if (error) {
    close(Disconnect::kPeerGone);
    return;
  }
  try {
    if (!take_bytes({server_->scratch.data(), n})) return;
  } catch (const std::bad_alloc&) {
    on_out_of_memory();
    return;
  }
  wait_readable();
}

// False when there is nothing more to read.
bool Connection::take_bytes(std::string_view bytes) {
  if (!tls_) {
    take_plain(bytes);
    return true;
  }
  std::string answer;
  const auto state = tls_->receive(bytes, input_, answer);
  if (!answer.empty()) {
    // Behind the records that are on their way, before those not made yet.
    if (written_ == writing_.size()) {
      writing_.clear();
      written_ = 0;
    }
    writing_ += answer;
    flush_soon();
  }
  if (state == tls::ServerSession::State::kFailed) {
    send_now();  // the alert that says why
    close(Disconnect::kPeerGone);
    return false;
  }
  if (tls_->established()) handshake_over();
  if (tls_->established() && !pending_.empty()) flush_soon();
  take_plain({});
  if (state != tls::ServerSession::State::kEnded) return true;
  if (phase_ != Phase::kClosed) on_eof();
  return false;
}

// What has been read is in `input_` or `bytes`.
void Connection::take_plain(std::string_view bytes) {
  if (phase_ == Phase::kLingering || refusing_) {
    input_.clear();
    return;
  }
  input_ += bytes;
  if (!input_.empty()) process_input();
}

// The buffers of this connection are what can be given back at once.
void Connection::on_out_of_memory() {
  input_ = std::string();
  const bool waiting = phase_ == Phase::kIdle || phase_ == Phase::kHead || phase_ == Phase::kBody;
  try {
    if (waiting) return fail(kOverloaded);
  } catch (const std::bad_alloc&) {
  }
  close(Disconnect::kPeerGone);
}

// The peer will send no more. It may still read: only a reset or a hang-up says that it is gone.
void Connection::on_eof() {
  peer_eof_ = true;
  if (phase_ != Phase::kResponding) {
    close(Disconnect::kPeerGone);
    return;
  }
  if (peer_hung_up()) {
    close(Disconnect::kPeerGone);
    return;
  }
  watch_for_hangup();
  probe_peer();
}

void Connection::watch_for_hangup() {
  if (watching_hangup_) return;
  watching_hangup_ = true;
  socket_.async_wait(StreamSocket::wait_error, [self = shared_from_this()](const asio_error&) {
    if (self->phase_ != Phase::kClosed) self->close(Disconnect::kPeerGone);
  });
}

bool Connection::peer_hung_up() {
  pollfd state{socket_.native_handle(), 0, 0};
  return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

// A closed TCP peer answers anything with a reset, a half-closed one takes it. Without this a
// client that left during prefill would be noticed only when there is something to send.
void Connection::probe_peer() {
  if (peer_.kind == Peer::Kind::kUnix || answered_) return;
  if (stream_) {
    stream_write(probe_);
  } else if (request_ && request_->version_minor == 1) {
    queue("HTTP/1.1 100 Continue\r\n\r\n");
  }
}

void Connection::process_input() {
  while (phase_ == Phase::kIdle || phase_ == Phase::kHead || phase_ == Phase::kBody) {
    if (!take_input()) return;
  }
}

// One step of parsing; false when nothing more can be done with what has arrived.
bool Connection::take_input() {
  if (phase_ == Phase::kIdle) {
    if (input_.empty()) return false;
    phase_ = Phase::kHead;
    // The first request has had its timer since the connection was accepted.
    if (!first_request_) arm(server_->options.header_timeout);
    first_request_ = false;
    parser_.emplace(server_->options.limits);
  }
  const std::size_t used = parser_->feed(input_);
  input_.erase(0, used);
  switch (parser_->state()) {
    case RequestParser::State::kFailed:
      fail(parser_->error());
      return false;
    case RequestParser::State::kHead:
      return used > 0;
    case RequestParser::State::kBody:
      if (phase_ == Phase::kHead) {
        on_head_complete();
        return phase_ == Phase::kBody;
      }
      hold_body_bytes(parser_->body_bytes());
      return used > 0;
    case RequestParser::State::kDone:
      if (phase_ == Phase::kHead) on_head_complete();
      hold_body_bytes(parser_->body_bytes());
      if (phase_ == Phase::kBody) dispatch();
      return false;
  }
  return false;
}

void Connection::on_head_complete() {
  Request& request = parser_->request();
  request.peer = peer_;
  request.received_at = Clock::now();
  set_request_id(*server_, request);
  ++server_->counters.requests;
  if (const auto error = check_access(server_->options.access, request, local_address_)) {
    fail(*error);
    return;
  }
  const std::string_view expect = request.headers.get("expect");
  if (!expect.empty() && !equal_ignoring_case(expect, "100-continue")) {
    fail({417, "invalid_request", "The expectation is not supported."});
    return;
  }
  if (parser_->state() == RequestParser::State::kBody && server_->hooks.refuse_head) {
    if (const auto error = server_->hooks.refuse_head(request)) {
      fail(*error);
      return;
    }
  }
  phase_ = Phase::kBody;
  phase_started_ = Clock::now();
  arm(std::min(server_->options.body_grace, server_->options.body_timeout));
  const bool waiting_for_body = parser_->state() == RequestParser::State::kBody && input_.empty();
  if (waiting_for_body && parser_->expects_continue()) queue("HTTP/1.1 100 Continue\r\n\r\n");
}

void Connection::hold_body_bytes(std::size_t bytes) {
  if (phase_ != Phase::kBody) return;
  server_->held_body_bytes += bytes - held_body_bytes_;
  held_body_bytes_ = bytes;
  if (server_->held_body_bytes > server_->options.body_bytes_total_max) fail(kOverloaded);
}

void Connection::dispatch() {
  request_ = std::make_shared<Request>(std::move(parser_->request()));
  close_after_ = close_after_ || server_->draining || !parser_->keep_alive();
  phase_ = Phase::kResponding;
  timer_.cancel();
  timer_armed_ = false;
  answered_ = stream_ = false;
  body_bytes_sent_ = 0;
  head_only_ = request_->method == "HEAD";
  Response preflight;
  if (answer_preflight(server_->options.access, *request_, preflight)) {
    send_message(*request_, std::move(preflight), close_after_);
    return;
  }
  call_handler(request_);
}

void Connection::call_handler(const std::shared_ptr<Request>& request) {
  const auto exchange = std::make_shared<Exchange>(shared_from_this(), request);
  exchange_ = exchange;
  HttpError error = kInternalError;
  try {
    server_->hooks.handle(request, exchange);
    return;
  } catch (const std::bad_alloc&) {
    error = kOverloaded;
  } catch (const std::system_error& e) {
    // No thread or descriptor to be had.
    const bool exhausted = e.code() == std::errc::resource_unavailable_try_again ||
                           e.code() == std::errc::too_many_files_open ||
                           e.code() == std::errc::too_many_files_open_in_system ||
                           e.code() == std::errc::not_enough_memory;
    if (exhausted) error = kOverloaded;
  } catch (const std::exception&) {
  }
  if (!exchange->open()) return;
  if (exchange->stream_started()) {
    exchange->abort();
  } else {
    exchange->send(server_->error_response(*request, error));
  }
}

// Answers an error of this layer and gives the connection up: where the message ends is not known
// any more.
void Connection::fail(const HttpError& error) {
  request_ = parser_ ? std::make_shared<Request>(std::move(parser_->request()))
                     : std::make_shared<Request>();
  if (request_->id.empty()) request_->id = new_request_id(*server_);
  if (request_->received_at == Clock::time_point()) request_->received_at = Clock::now();
  request_->peer = peer_;
  request_->body = std::string();
  server_->held_body_bytes -= std::exchange(held_body_bytes_, 0);
  phase_ = Phase::kResponding;
  timer_.cancel();
  timer_armed_ = false;
  linger_after_ = true;
  close_after_ = true;
  head_only_ = request_->method == "HEAD";
  send_message(*request_, server_->error_response(*request_, error), true);
}

// Time.

void Connection::arm(std::chrono::milliseconds after) {
  timer_armed_ = true;
  timer_.start(after, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->on_timer();
  });
}

void Connection::on_timer() {
  timer_armed_ = false;
  switch (phase_) {
    case Phase::kIdle:
      send_tls_end();
      close(Disconnect::kPeerGone);
      return;
    case Phase::kLingering:
      close(Disconnect::kPeerGone);
      return;
    case Phase::kHead:
      fail(kHeaderTimeout);
      return;
    case Phase::kBody:
      check_body_rate();
      return;
    case Phase::kResponding:
      check_stall();
      return;
    case Phase::kClosed:
      return;
  }
}

void Connection::check_body_rate() {
  const auto elapsed = since(phase_started_);
  const ServerOptions& o = server_->options;
  const auto expected =
      static_cast<std::uint64_t>(elapsed.count()) * o.body_bytes_per_second_min / 1000;
  if (elapsed >= o.body_timeout || parser_->body_bytes() < expected) {
    fail(kHeaderTimeout);
    return;
  }
  const auto left = o.body_timeout - elapsed;
  arm(std::max(std::chrono::milliseconds(1),
               std::min<std::chrono::milliseconds>(o.body_grace / 5, left)));
}

std::chrono::milliseconds Connection::stall_limit() const {
  return refusing_ ? server_->options.linger_timeout : server_->options.stall_timeout;
}

void Connection::check_stall() {
  if (unsent_bytes() == 0) return;
  const auto elapsed = since(last_progress_);
  if (elapsed < stall_limit()) {
    arm(stall_limit() - elapsed);
    return;
  }
  asio_error ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  close(Disconnect::kStalled);
}

}  // namespace holdfast::http
