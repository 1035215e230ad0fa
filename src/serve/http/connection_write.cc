// The sending half of Connection. What an answer says is collected in `pending_` and goes out once
// per turn of the loop, in one system call, encrypted where the connection is. Nothing here is
// called from inside flush() but what ends the connection or begins its next request.
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "access.h"
#include "connection.h"
#include "server_impl.h"

namespace holdfast::http {
namespace {

using Clock = std::chrono::steady_clock;

// RFC 6797: browsers that came once do not come without TLS for a year.
constexpr const char* kStrictTransport = "max-age=31536000";

// "1f4\r\n": the line before a chunk.
void append_chunk_size(std::string& out, std::size_t size) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<char, 2 * sizeof size + 2> text{};
  std::size_t at = text.size();
  text[--at] = '\n';
  text[--at] = '\r';
  for (; size > 0; size >>= 4) text[--at] = kDigits[size & 15];
  out.append(text.data() + at, text.size() - at);
}

}  // namespace

Headers Connection::complete_headers(const Request& request, int status, Headers headers,
                                     bool close_after) {
  if (server_->hooks.decorate) server_->hooks.decorate(request, status, headers);
  add_cors_headers(server_->options.access, request, headers);
  if (tls_) headers.set("Strict-Transport-Security", kStrictTransport);
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
  begin_output();
  if (chunked_) append_chunk_size(pending_, bytes.size());
  pending_ += bytes;
  if (chunked_) pending_ += "\r\n";
  // A reader that keeps up must not look slow because the turn is long.
  if (unsent_bytes() > server_->options.unsent_bytes_max / 2) send_now();
  if (unsent_bytes() <= server_->options.unsent_bytes_max) return;
  server_->loop.post([self = shared_from_this()] {
    if (self->phase_ == Phase::kResponding) self->close(Disconnect::kStalled);
  });
}

// Who was told no hears from us when there is room again.
bool Connection::writable() {
  const bool room = unsent_bytes() <= server_->options.unsent_bytes_max / 2;
  held_back_ = held_back_ || !room;
  return room;
}

void Connection::stream_finish(bool close_after) {
  if (phase_ != Phase::kResponding) return;
  close_after_ = close_after_ || close_after;
  // The head has not said so: what the peer sends meanwhile must not make the end a reset.
  linger_after_ = linger_after_ || close_after;
  answered_ = true;
  if (chunked_ && !head_only_) {
    queue("0\r\n\r\n");
  } else {
    flush_soon();
  }
}

void Connection::queue(std::string_view bytes) {
  if (phase_ == Phase::kClosed) return;
  begin_output();
  pending_ += bytes;
}

// Before bytes are added: they leave at the end of the turn.
void Connection::begin_output() {
  if (unsent_bytes() == 0) last_progress_ = Clock::now();
  flush_soon();
}

void Connection::flush_soon() {
  if (flush_due_ || phase_ == Phase::kClosed) return;
  flush_due_ = true;
  server_->flush_soon(shared_from_this());
}

// Hands the kernel what it takes, without telling anybody.
void Connection::send_now() {
  while (!write_failed_ && !waiting_writable_) {
    if (written_ == writing_.size() && !take_pending()) return;
    const ssize_t n = ::send(socket_.native_handle(), writing_.data() + written_,
                             writing_.size() - written_, MSG_NOSIGNAL);
    if (n > 0) {
      written_ += static_cast<std::size_t>(n);
      last_progress_ = Clock::now();
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      write_failed_ = true;
    }
  }
}

// Makes the next bytes for the kernel; false if there are none.
bool Connection::take_pending() {
  writing_.clear();
  written_ = 0;
  if (!tls_) {
    writing_.swap(pending_);
  } else if (tls_->established()) {
    tls_->send(pending_, writing_);
    pending_.clear();
  }
  return !writing_.empty();
}

void Connection::flush() {
  flush_due_ = false;
  if (phase_ == Phase::kClosed) return;
  const std::size_t half = server_->options.unsent_bytes_max / 2;
  const bool was_full = unsent_bytes() > half;
  send_now();
  if (write_failed_) {
    close(Disconnect::kPeerGone);
    return;
  }
  if (written_ < writing_.size()) wait_writable();
  if (unsent_bytes() > 0 && phase_ == Phase::kResponding && !timer_armed_) arm(stall_limit());
  if ((was_full || held_back_) && unsent_bytes() <= half) {
    held_back_ = false;
    if (const auto exchange = exchange_.lock()) exchange->drained();
  }
  if (answered_ && unsent_bytes() == 0) answer_complete();
}

void Connection::wait_writable() {
  if (waiting_writable_) return;
  waiting_writable_ = true;
  socket_.async_wait(StreamSocket::wait_write,
                     [self = shared_from_this()](const asio_error& error) {
                       self->waiting_writable_ = false;
                       if (self->phase_ == Phase::kClosed) return;
                       if (error) {
                         self->close(Disconnect::kPeerGone);
                       } else {
                         self->flush();
                       }
                     });
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
  pending_ = std::string();
  written_ = 0;
  parser_.reset();
  if (input_.empty()) input_ = std::string();
  if (!close_after_) {
    next_request();
  } else if (linger_after_ && !peer_eof_) {
    linger();
  } else {
    send_tls_end();
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

// As far as the kernel takes it now: the connection ends anyway.
void Connection::send_tls_end() {
  if (!tls_ || unsent_bytes() > 0) return;
  writing_.clear();
  written_ = 0;
  tls_->send_end(writing_);
  send_now();
}

// Closing with unread input would send a reset, and the client could lose the answer that explains
// it.
void Connection::linger() {
  phase_ = Phase::kLingering;
  asio_error ignored;
  send_tls_end();
  socket_.shutdown(StreamSocket::shutdown_send, ignored);
  input_.clear();
  arm(server_->options.linger_timeout);
  wait_readable();
}

}  // namespace holdfast::http
