#include "connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <new>

#include "access.h"
#include "holdfast/base/check.h"
#include "server_impl.h"

namespace holdfast::http {
namespace {

using Clock = std::chrono::steady_clock;

constexpr HttpError kHeaderTimeout{408, "request_timeout", "The request was not received in time."};
constexpr HttpError kOverloaded{503, "overloaded",
                                "The server has too many connections or bodies in memory."};
constexpr HttpError kInternal{500, "internal_error", "The server failed to answer this request."};

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

std::string new_request_id(Server::Impl& server) {
  return server.hooks.new_request_id ? server.hooks.new_request_id()
                                     : "req_" + std::to_string(++server.ids);
}

void set_request_id(Server::Impl& server, Request& request) {
  const std::string_view given = request.headers.get("x-request-id");
  request.id = valid_request_id(given) ? std::string(given) : new_request_id(server);
}

std::string chunk(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string size;
  for (std::size_t n = bytes.size(); n > 0; n >>= 4) size.insert(size.begin(), kDigits[n & 15]);
  std::string out;
  out.reserve(size.size() + bytes.size() + 4);
  out += size;
  out += "\r\n";
  out += bytes;
  out += "\r\n";
  return out;
}

}  // namespace

Connection::Connection(std::shared_ptr<Server::Impl> server, StreamSocket socket, Peer peer,
                       std::string local_address)
    : server_(std::move(server)),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      local_address_(std::move(local_address)),
      timer_(server_->loop) {}

Connection::~Connection() = default;

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
  if (phase_ == Phase::kIdle) close(Disconnect::kShutdown);
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
  if (phase_ != Phase::kLingering && !refusing_) {
    input_.append(server_->scratch.data(), n);
    process_input();
  }
  wait_readable();
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
    if (parser_.has_value()) arm(server_->options.header_timeout);
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
  HttpError error = kInternal;
  try {
    server_->hooks.handle(request, exchange);
    return;
  } catch (const std::bad_alloc&) {
    error = kOverloaded;
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

// Writing.

Headers Connection::complete_headers(const Request& request, int status, Headers headers,
                                     bool close_after) {
  if (server_->hooks.decorate) server_->hooks.decorate(request, status, headers);
  add_cors_headers(server_->options.access, request, headers);
  if (close_after) headers.set("Connection", "close");
  return headers;
}

void Connection::send_message(const Request& request, Response response, bool close_after) {
  status_ = response.status;
  close_after_ = close_after_ || close_after;
  const bool no_body = response.status == 204 || response.status == 304;
  if (!no_body) response.headers.set("Content-Length", std::to_string(response.body.size()));
  const Headers headers =
      complete_headers(request, response.status, std::move(response.headers), close_after_);
  std::string message = format_head(response.status, headers);
  if (!no_body && !head_only_) {
    message += response.body;
    body_bytes_sent_ = response.body.size();
  }
  answered_ = true;
  queue(message);
}

void Connection::respond(Exchange& exchange, Response response) {
  send_message(exchange.request(), std::move(response), false);
}

void Connection::start_stream(Exchange& exchange, int status, Headers headers, std::string probe) {
  stream_ = true;
  status_ = status;
  probe_ = std::move(probe);
  chunked_ = exchange.request().version_minor == 1;
  if (chunked_) {
    headers.set("Transfer-Encoding", "chunked");
  } else {
    close_after_ = true;
  }
  queue(format_head(
      status, complete_headers(exchange.request(), status, std::move(headers), close_after_)));
}

void Connection::stream_write(std::string_view bytes) {
  if (phase_ != Phase::kResponding || bytes.empty() || head_only_) return;
  body_bytes_sent_ += bytes.size();
  queue(chunked_ ? chunk(bytes) : std::string(bytes));
  if (unsent_bytes() <= server_->options.unsent_bytes_max) return;
  server_->loop.post([self = shared_from_this()] {
    if (self->phase_ == Phase::kResponding) self->close(Disconnect::kStalled);
  });
}

void Connection::stream_finish(bool close_after) {
  if (phase_ != Phase::kResponding) return;
  close_after_ = close_after_ || close_after;
  answered_ = true;
  if (chunked_ && !head_only_) {
    queue("0\r\n\r\n");
  } else {
    write_more();
  }
}

void Connection::queue(std::string_view bytes) {
  if (phase_ == Phase::kClosed) return;
  if (unsent_bytes() == 0) last_progress_ = Clock::now();
  pending_ += bytes;
  write_more();
  if (unsent_bytes() > 0 && phase_ == Phase::kResponding && !timer_armed_) {
    arm(server_->options.stall_timeout);
  }
}

void Connection::write_more() {
  if (write_pending_ || phase_ == Phase::kClosed) return;
  if (written_ == writing_.size()) {
    writing_.clear();
    written_ = 0;
    writing_.swap(pending_);
  }
  if (writing_.empty()) {
    if (answered_) {
      // Not from inside the handler's call: the next request starts from the loop.
      server_->loop.post([self = shared_from_this()] { self->answer_complete(); });
    }
    return;
  }
  write_pending_ = true;
  socket_.async_write_some(asio::buffer(writing_.data() + written_, writing_.size() - written_),
                           [self = shared_from_this()](const asio_error& error, std::size_t n) {
                             self->on_written(error, n);
                           });
}

void Connection::on_written(const asio_error& error, std::size_t bytes) {
  write_pending_ = false;
  if (phase_ == Phase::kClosed) return;
  if (error) {
    close(Disconnect::kPeerGone);
    return;
  }
  const std::size_t half = server_->options.unsent_bytes_max / 2;
  const bool was_full = unsent_bytes() > half;
  written_ += bytes;
  last_progress_ = Clock::now();
  if (was_full && unsent_bytes() <= half) {
    if (const auto exchange = exchange_.lock()) exchange->drained();
  }
  write_more();
}

void Connection::answer_complete() {
  if (!answered_ || phase_ != Phase::kResponding || unsent_bytes() > 0) return;
  answered_ = false;
  if (request_ && server_->hooks.on_complete) {
    server_->hooks.on_complete(*request_, status_, body_bytes_sent_);
  }
  request_.reset();
  exchange_.reset();
  stream_ = false;
  server_->held_body_bytes -= std::exchange(held_body_bytes_, 0);
  // An idle connection holds no buffers.
  writing_ = std::string();
  written_ = 0;
  if (input_.empty()) input_ = std::string();
  if (!close_after_) {
    next_request();
  } else if (linger_after_ && !peer_eof_) {
    linger();
  } else {
    close(Disconnect::kPeerGone);
  }
}

void Connection::next_request() {
  phase_ = Phase::kIdle;
  phase_started_ = Clock::now();
  arm(input_.empty() ? server_->options.idle_timeout : server_->options.header_timeout);
  process_input();
  if (peer_eof_ && phase_ != Phase::kResponding) {
    close(Disconnect::kPeerGone);
    return;
  }
  wait_readable();
}

// Closing with unread input would send a reset, and the client could lose the answer that explains
// it.
void Connection::linger() {
  phase_ = Phase::kLingering;
  asio_error ignored;
  socket_.shutdown(StreamSocket::shutdown_send, ignored);
  input_.clear();
  arm(server_->options.linger_timeout);
  wait_readable();
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

void Connection::check_stall() {
  if (unsent_bytes() == 0) return;
  const auto elapsed = since(last_progress_);
  if (elapsed < server_->options.stall_timeout) {
    arm(server_->options.stall_timeout - elapsed);
    return;
  }
  asio_error ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  close(Disconnect::kStalled);
}

// Exchange.

Exchange::~Exchange() {
  if (!connection_) return;
  if (started_) {
    abort();
  } else {
    send(connection_->server().error_response(*request_, kInternal));
  }
}

void Exchange::send(Response response) {
  if (const auto connection = std::exchange(connection_, nullptr)) {
    connection->respond(*this, std::move(response));
  }
}

void Exchange::start_stream(int status, Headers headers, std::string probe) {
  if (!connection_) return;
  HF_CHECK(!started_);
  started_ = true;
  connection_->start_stream(*this, status, std::move(headers), std::move(probe));
}

void Exchange::write(std::string_view bytes) {
  if (connection_) connection_->stream_write(bytes);
}

void Exchange::finish() {
  if (const auto connection = std::exchange(connection_, nullptr)) connection->stream_finish(false);
}

void Exchange::finish_and_close() {
  if (const auto connection = std::exchange(connection_, nullptr)) connection->stream_finish(true);
}

void Exchange::abort() {
  if (const auto connection = std::exchange(connection_, nullptr)) connection->reset();
}

std::size_t Exchange::unsent_bytes() const { return connection_ ? connection_->unsent_bytes() : 0; }

bool Exchange::writable() const {
  return connection_ &&
         connection_->unsent_bytes() <= connection_->server().options.unsent_bytes_max / 2;
}

void Exchange::disconnected(Disconnect reason) {
  connection_.reset();
  on_drain_ = nullptr;
  const auto fn = std::exchange(on_disconnect_, nullptr);
  if (fn) fn(reason);
}

void Exchange::drained() {
  if (on_drain_) on_drain_();
}

}  // namespace holdfast::http
