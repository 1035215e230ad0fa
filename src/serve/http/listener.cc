#include "listener.h"

#include <charconv>
#include <filesystem>
#include <system_error>

namespace holdfast::http {
namespace {

namespace fs = std::filesystem;
using tcp_stream = asio::ip::tcp;
using unix_stream = asio::local::stream_protocol;

constexpr int kBacklog = 1024;
// Out of descriptors or memory: waiting lets connections end; retrying at once would spin.
constexpr std::chrono::milliseconds kAcceptRetry{100};
// A burst of new connections must not keep those that exist waiting.
constexpr int kAcceptsPerTurn = 32;

// No descriptor or no memory for another connection.
bool is_exhausted(const asio_error& error) {
  return error == asio::error::no_descriptors || error.value() == ENFILE ||
         error == asio::error::no_memory || error == asio::error::no_buffer_space;
}

template <typename Protocol>
class ListenerOf final : public Listener {
  using Acceptor = typename Protocol::acceptor;

 public:
  ListenerOf(std::shared_ptr<Server::Impl> server, Acceptor acceptor, std::string path, bool tls)
      : server_(std::move(server)),
        acceptor_(std::move(acceptor)),
        retry_(server_->loop),
        path_(std::move(path)),
        tls_(tls) {
    asio_error ignored;
    acceptor_.non_blocking(true, ignored);
  }
  ~ListenerOf() override { close(); }

  // Waits until somebody wants in before it accepts: without descriptors accept() fails at once,
  // also when nobody is there, and would be tried for ever.
  void resume() override {
    if (accepting_ || !acceptor_.is_open() || !server_->may_accept()) return;
    accepting_ = true;
    acceptor_.async_wait(Acceptor::wait_read,
                         [weak = this->weak_from_this()](const asio_error& error) {
                           const auto self = std::static_pointer_cast<ListenerOf>(weak.lock());
                           if (!self) return;
                           self->accepting_ = false;
                           if (!error) self->accept_waiting();
                         });
  }

  void close() override {
    asio_error ignored;
    acceptor_.close(ignored);
    retry_.cancel();
    if (!path_.empty()) {
      std::error_code gone;
      fs::remove(path_, gone);
      path_.clear();
    }
  }

 private:
  void accept_waiting() {
    for (int i = 0; i < kAcceptsPerTurn && acceptor_.is_open() && server_->may_accept(); ++i) {
      asio_error error;
      typename Protocol::socket socket(server_->loop.impl().context);
      acceptor_.accept(socket, error);
      const bool exhausted = is_exhausted(error);
      if (exhausted && server_->reserve.release()) acceptor_.accept(socket, error);
      if (error == asio::error::would_block || error == asio::error::try_again) {
        server_->reserve.refill();
        break;
      }
      if (is_exhausted(error)) {
        retry_.start(kAcceptRetry, [weak = this->weak_from_this()] {
          if (const auto self = weak.lock()) self->resume();
        });
        return;
      }
      if (error) continue;  // it gave up while it waited
      server_->accepted(StreamSocket(std::move(socket)),
                        {std::is_same_v<Protocol, unix_stream>, tls_, exhausted});
    }
    resume();
  }

  std::shared_ptr<Server::Impl> server_;
  Acceptor acceptor_;
  Timer retry_;
  std::string path_;
  const bool tls_;
  bool accepting_ = false;
};

Error listen_error(const asio_error& error, std::string_view where) {
  if (error == asio::error::address_in_use) {
    return conflict("the address is in use: " + std::string(where), error.message())
        .with_hint("another server may be running; choose another address with --listen");
  }
  return os_error(error.value(), "cannot listen", where);
}

struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};

Result<HostPort> split_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const Error bad =
      invalid_argument("not an address: " + std::string(text))
          .with_hint("write ADDRESS:PORT, for example 127.0.0.1:11435 or [::1]:11435");
  if (colon == std::string_view::npos) return bad;
  HostPort out;
  out.host = std::string(text.substr(0, colon));
  if (out.host == "localhost") out.host = "127.0.0.1";
  if (out.host.size() > 1 && out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  const std::string_view port = text.substr(colon + 1);
  const auto [end, code] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (code != std::errc() || end != port.data() + port.size()) return bad;
  return out;
}

// A file left by a server that died would make the path unusable for ever; one that answers is not
// ours to take.
Status clear_stale_socket(asio::io_context& context, const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (status.type() == fs::file_type::not_found) return ok_status();
  if (status.type() != fs::file_type::socket) {
    return conflict("the socket path exists and is not a socket", path);
  }
  unix_stream::socket probe(context);
  asio_error connect_error;
  probe.connect(unix_stream::endpoint(path), connect_error);
  if (connect_error != asio::error::connection_refused) {
    return conflict("another server is using the socket", path);
  }
  if (!fs::remove(path, error) && error)
    return os_error(error.value(), "cannot remove the old socket", path);
  return ok_status();
}

}  // namespace

Result<std::shared_ptr<Listener>> Listener::tcp(std::shared_ptr<Server::Impl> server,
                                                std::string_view address, bool tls,
                                                std::string& bound) {
  HF_TRY_ASSIGN(const HostPort where, split_address(address));
  asio_error error;
  const auto ip = asio::ip::make_address(where.host, error);
  if (error) {
    return invalid_argument("not an IP address: " + where.host)
        .with_hint("write ADDRESS:PORT, for example 127.0.0.1:11435 or [::1]:11435");
  }
  tcp_stream::acceptor acceptor(server->loop.impl().context);
  const tcp_stream::endpoint endpoint(ip, where.port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp_stream::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (error) return listen_error(error, address);
  const auto local = acceptor.local_endpoint(error);
  const std::string host = local.address().to_string();
  bound = (local.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(local.port());
  std::shared_ptr<Listener> out = std::make_shared<ListenerOf<tcp_stream>>(
      std::move(server), std::move(acceptor), std::string(), tls);
  return out;
}

Result<std::shared_ptr<Listener>> Listener::unix_socket(std::shared_ptr<Server::Impl> server,
                                                        const std::string& path) {
  // sun_path holds 108 bytes with the terminator.
  if (path.empty() || path.size() > 107) {
    return invalid_argument("the socket path must have 1 to 107 bytes", path);
  }
  HF_TRY(clear_stale_socket(server->loop.impl().context, path));
  unix_stream::acceptor acceptor(server->loop.impl().context);
  asio_error error;
  acceptor.open(unix_stream(), error);
  if (!error) acceptor.bind(unix_stream::endpoint(path), error);
  if (error) return listen_error(error, path);
  // Until listen() nobody can connect, so the mode is in force before the first client.
  std::error_code mode_error;
  fs::permissions(path, fs::perms(0660), mode_error);
  if (mode_error) return os_error(mode_error.value(), "cannot set the mode of the socket", path);
  acceptor.listen(kBacklog, error);
  if (error) return listen_error(error, path);
  std::shared_ptr<Listener> out = std::make_shared<ListenerOf<unix_stream>>(
      std::move(server), std::move(acceptor), path, false);
  return out;
}

}  // namespace holdfast::http
