#include "holdfast/http/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>

#include "listener.h"
#include "server_impl.h"

namespace holdfast::http {
namespace {

// The kernel's share of a stream that its reader does not drain. Doubled by the kernel for its own
// book-keeping; without it loopback grows the buffer to megabytes and the cap on unsent bytes would
// mean nothing.
constexpr int kSendBufferBytes = 64 * 1024;

Peer unix_peer(StreamSocket& socket) {
  Peer peer;
  peer.kind = Peer::Kind::kUnix;
  peer.address = "unix";
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0) {
    peer.uid = credentials.uid;
    peer.gid = credentials.gid;
    peer.pid = credentials.pid;
  } else {
    peer.uid = peer.gid = ~0u;  // nobody
  }
  return peer;
}

asio::ip::tcp::endpoint tcp_endpoint(const asio::generic::stream_protocol::endpoint& from) {
  asio::ip::tcp::endpoint out;
  if (from.size() <= out.capacity()) {
    std::memcpy(out.data(), from.data(), from.size());
    out.resize(from.size());
  }
  return out;
}

std::string format_endpoint(const asio::ip::tcp::endpoint& at) {
  const std::string host = at.address().to_string();
  return (at.address().is_v6() ? "[" + host + "]:" : host + ":") + std::to_string(at.port());
}

}  // namespace

Server::Impl::Impl(EventLoop& l, ServerOptions o, ServerHooks h)
    : loop(l), options(std::move(o)), hooks(std::move(h)) {}

bool Server::Impl::may_accept() const {
  return !draining && connections.size() < options.connections_max + options.reserve_connections;
}

void HandshakeCounts::end(std::string_view host) {
  const auto at = counts_.find(host);
  if (at != counts_.end() && --at->second == 0) counts_.erase(at);
}

std::size_t HandshakeCounts::of(std::string_view host) const {
  const auto at = counts_.find(host);
  return at == counts_.end() ? 0 : at->second;
}

void Server::Impl::accepted(StreamSocket socket, Arrival arrival) {
  asio_error error;
  Peer peer;
  std::string local;
  std::unique_ptr<tls::ServerSession> session;
  if (arrival.unix_socket) {
    peer = unix_peer(socket);
  } else {
    const auto remote = socket.remote_endpoint(error);
    if (error) return;  // gone already
    peer.address = format_endpoint(tcp_endpoint(remote));
    if (arrival.tls) {
      const std::string_view host =
          std::string_view(peer.address).substr(0, peer.address.rfind(':'));
      if (handshakes.of(host) >= options.handshakes_per_address) {
        ++counters.connections_refused;
        return;  // an answer would need the handshake
      }
      auto made = tls::ServerSession::create(tls);
      if (!made.ok()) return;
      session = std::move(*made);
    }
    const auto here = socket.local_endpoint(error);
    if (error) return;
    auto address = tcp_endpoint(here).address();
    if (address.is_v6() && address.to_v6().is_v4_mapped()) {
      address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
    }
    local = address.to_string();
    socket.set_option(asio::ip::tcp::no_delay(true), error);
  }
  socket.set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), error);
  socket.non_blocking(true, error);
  ++counters.connections_accepted;
  const bool over = arrival.on_reserve || connections.size() >= options.connections_max;
  const auto connection = std::make_shared<Connection>(
      shared_from_this(), std::move(socket), std::move(peer), std::move(local), std::move(session));
  connections.insert(connection);
  counters.connections_open = connections.size();
  if (over) {
    ++counters.connections_refused;
    connection->refuse();
  } else {
    connection->start();
  }
}

void Server::Impl::forget(Connection& connection) {
  const auto self = connection.shared_from_this();
  connections.erase(self);
  counters.connections_open = connections.size();
  // Its descriptor is free by now.
  reserve.refill();
  for (const auto& listener : listeners) listener->resume();
}

void Server::Impl::flush_soon(std::shared_ptr<Connection> connection) {
  to_flush.push_back(std::move(connection));
  if (to_flush.size() > 1) return;
  loop.post([self = shared_from_this()] {
    // Those that come meanwhile have a turn of their own.
    const auto now = std::exchange(self->to_flush, {});
    for (const auto& c : now) c->flush();
  });
}

Response Server::Impl::error_response(const Request& request, const HttpError& error) const {
  if (hooks.render_error) return hooks.render_error(request, error);
  Response out;
  out.status = error.status;
  out.headers.set("Content-Type", "text/plain; charset=utf-8");
  out.body = std::string(error.message) + "\n";
  return out;
}

Server::Server(EventLoop& loop, ServerOptions options, ServerHooks hooks)
    : impl_(std::make_shared<Impl>(loop, std::move(options), std::move(hooks))) {}

Server::~Server() { close_all(); }

Result<std::string> Server::listen_tcp(std::string_view address) {
  std::string bound;
  HF_TRY_ASSIGN(auto listener, Listener::tcp(impl_, address, impl_->tls != nullptr, bound));
  impl_->listeners.push_back(listener);
  impl_->loop.post([listener] { listener->resume(); });
  return bound;
}

Status Server::listen_unix(const std::string& path) {
  HF_TRY_ASSIGN(auto listener, Listener::unix_socket(impl_, path));
  impl_->listeners.push_back(listener);
  impl_->loop.post([listener] { listener->resume(); });
  return ok_status();
}

void Server::set_tls(std::shared_ptr<const tls::ServerContext> context) {
  impl_->tls = std::move(context);
}

void Server::update(ServerOptions options) { impl_->options = std::move(options); }

void Server::drain() {
  impl_->draining = true;
  for (const auto& listener : impl_->listeners) listener->close();
  const std::vector<std::shared_ptr<Connection>> all(impl_->connections.begin(),
                                                     impl_->connections.end());
  for (const auto& connection : all) connection->drain();
}

std::size_t Server::answering() const {
  return static_cast<std::size_t>(
      std::count_if(impl_->connections.begin(), impl_->connections.end(),
                    [](const auto& connection) { return connection->answering(); }));
}

void Server::close_all() {
  impl_->draining = true;
  for (const auto& listener : impl_->listeners) listener->close();
  impl_->listeners.clear();
  const std::vector<std::shared_ptr<Connection>> all(impl_->connections.begin(),
                                                     impl_->connections.end());
  for (const auto& connection : all) connection->close(Disconnect::kShutdown);
  // The turn that would send what they still had may never come, and they hold this server.
  impl_->to_flush.clear();
}

ServerCounters Server::counters() const { return impl_->counters; }

}  // namespace holdfast::http
