#include "holdfast/http/client.h"

#include <poll.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <optional>

#include "holdfast/http/parser.h"

namespace holdfast::http {
namespace {

namespace asio = boost::asio;
using asio_error = boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;
using Clock = std::chrono::steady_clock;

// How soon a stop flag is noticed.
constexpr int kPollSliceMs = 50;

Error unreachable(const asio_error& error) {
  return unavailable("the server cannot be reached", error.message())
      .with_hint("start it with: holdfast serve");
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view text) {
  Endpoint out;
  if (text.substr(0, 5) == "unix:") {
    out.unix_path = std::string(text.substr(5));
    if (out.unix_path.empty()) return invalid_argument("empty socket path");
    return out;
  }
  if (text.substr(0, 8) == "https://") return unsupported("https is not supported by this version");
  if (text.substr(0, 7) == "http://") text.remove_prefix(7);
  const std::size_t slash = std::min(text.find('/'), text.size());
  out.base_path = std::string(text.substr(slash));
  while (!out.base_path.empty() && out.base_path.back() == '/') out.base_path.pop_back();
  std::string_view authority = text.substr(0, slash);
  const std::size_t bracket = authority.rfind(']');
  const std::size_t colon = authority.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  out.port = has_port ? std::string(authority.substr(colon + 1)) : "11435";
  if (has_port) authority = authority.substr(0, colon);
  if (!authority.empty() && authority.front() == '[' && authority.back() == ']') {
    authority = authority.substr(1, authority.size() - 2);
  }
  out.host = std::string(authority);
  const bool digits = out.port.find_first_not_of("0123456789") == std::string::npos;
  if (out.host.empty() || out.port.empty() || out.port.size() > 5 || !digits) {
    return invalid_argument("not a server address: " + std::string(text))
        .with_hint("write http://HOST:PORT or unix:PATH");
  }
  return out;
}

struct Client::Impl {
  Impl(Endpoint e, ClientOptions o) : endpoint(std::move(e)), options(o) {}

  Endpoint endpoint;
  ClientOptions options;
  asio::io_context context;
  std::optional<Socket> socket;

  bool stopped() const { return options.stop != nullptr && options.stop->load(); }
  Status connect();
  Status wait(short events, std::chrono::milliseconds timeout);
  Status send_all(std::string_view bytes);
  Result<std::size_t> receive(char* to, std::size_t size);
  std::string format(const ClientRequest& request) const;
  Result<ClientResponse> exchange(const ClientRequest& request, const OnBody& on_body,
                                  bool& received);
};

// Waits in slices so that the stop flag is seen.
Status Client::Impl::wait(short events, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (true) {
    if (stopped()) return cancelled("stopped");
    pollfd state{socket->native_handle(), events, 0};
    const int ready = ::poll(&state, 1, kPollSliceMs);
    if (ready > 0) return ok_status();
    if (Clock::now() >= deadline)
      return Error(ErrorCode::kDeadline, "the server did not answer in time");
  }
}

Status Client::Impl::connect() {
  asio_error error;
  if (!endpoint.unix_path.empty()) {
    if (endpoint.unix_path.size() > 107) return invalid_argument("the socket path is too long");
    socket.emplace(context);
    socket->connect(asio::local::stream_protocol::endpoint(endpoint.unix_path), error);
  } else {
    asio::ip::tcp::resolver resolver(context);
    const auto found = resolver.resolve(endpoint.host, endpoint.port, error);
    if (error) return unreachable(error);
    error = asio::error::host_not_found;
    for (const auto& candidate : found) {
      socket.emplace(context);
      socket->connect(candidate.endpoint(), error);
      if (!error) break;
    }
    if (!error) socket->set_option(asio::ip::tcp::no_delay(true), error);
  }
  if (error) {
    socket.reset();
    return unreachable(error);
  }
  socket->non_blocking(true, error);
  return ok_status();
}

Status Client::Impl::send_all(std::string_view bytes) {
  while (!bytes.empty()) {
    asio_error error;
    const std::size_t n = socket->write_some(asio::buffer(bytes.data(), bytes.size()), error);
    bytes.remove_prefix(n);
    if (error == asio::error::would_block) {
      HF_TRY(wait(POLLOUT, options.idle_timeout));
    } else if (error) {
      return unreachable(error);
    }
  }
  return ok_status();
}

// 0: the server closed.
Result<std::size_t> Client::Impl::receive(char* to, std::size_t size) {
  while (true) {
    HF_TRY(wait(POLLIN, options.idle_timeout));
    asio_error error;
    const std::size_t n = socket->read_some(asio::buffer(to, size), error);
    if (!error) return n;
    if (error == asio::error::eof) return std::size_t{0};
    if (error != asio::error::would_block) {
      return unavailable("the connection to the server broke", error.message());
    }
  }
}

std::string Client::Impl::format(const ClientRequest& request) const {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  const std::string host =
      endpoint.unix_path.empty()
          ? (v6 ? "[" + endpoint.host + "]" : endpoint.host) + ":" + endpoint.port
          : "localhost";
  std::string out = request.method + " " + endpoint.base_path + request.path +
                    " HTTP/1.1\r\nHost: " + host + "\r\n";
  for (const auto& [name, value] : request.headers) out += name + ": " + value + "\r\n";
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    out += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
    if (request.headers.find("content-type") == nullptr)
      out += "Content-Type: application/json\r\n";
  }
  out += "\r\n";
  out += request.body;
  return out;
}

Result<ClientResponse> Client::Impl::exchange(const ClientRequest& request, const OnBody& on_body,
                                              bool& received) {
  received = false;
  // A server may answer and close before it has read the whole request (413): its answer counts,
  // not the failed write.
  const Status sent = send_all(format(request));
  ResponseParser parser(request.method == "HEAD");
  ClientResponse out;
  std::string input, body;
  char buffer[16 * 1024];
  while (parser.state() != ResponseParser::State::kDone) {
    auto n = receive(buffer, sizeof buffer);
    if (!n.ok() || (*n == 0 && input.empty() && parser.state() == ResponseParser::State::kHead)) {
      if (!sent.ok()) return sent.error();
      if (!n.ok()) return std::move(n).error();
      return unavailable("the server closed the connection");
    }
    received = true;
    input.append(buffer, *n);
    input.erase(0, parser.feed(input, body));
    if (*n == 0) parser.feed_end();
    if (parser.state() == ResponseParser::State::kFailed)
      return unavailable("the answer of the server is not complete");
    out.status = parser.status();
    out.headers = parser.headers();
    if (on_body && !body.empty()) {
      if (!on_body(out, body)) {
        socket.reset();
        return out;
      }
      body.clear();
    }
    if (body.size() > options.body_bytes_max)
      return exhausted("the answer of the server is too large");
  }
  out.body = std::move(body);
  if (!parser.keep_alive() || !input.empty()) socket.reset();
  return out;
}

Client::Client(Endpoint endpoint, ClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(endpoint), options)) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

Result<ClientResponse> Client::request(const ClientRequest& request, const OnBody& on_body) {
  const bool reused = impl_->socket.has_value();
  if (!reused) HF_TRY(impl_->connect());
  bool received = false;
  auto out = impl_->exchange(request, on_body, received);
  if (!out.ok() && reused && !received && out.error().code() == ErrorCode::kUnavailable) {
    // The server had closed the idle connection: nothing was processed, once more on a new one.
    HF_TRY(impl_->connect());
    out = impl_->exchange(request, on_body, received);
  }
  if (!out.ok()) impl_->socket.reset();
  return out;
}

}  // namespace holdfast::http
