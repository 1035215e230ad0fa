#include "authentication.h"

#include <algorithm>

#include "holdfast/http/address.h"

namespace holdfast::gateway {
namespace {

constexpr std::string_view kLocalTenant = "local";

PrincipalPtr local_principal() {
  auto out = std::make_shared<identity::Principal>();
  out->tenant = kLocalTenant;
  out->role = identity::Role::kAdmin;
  return out;
}

}  // namespace

std::optional<std::string_view> shown_key(const http::Headers& headers) {
  const std::string* bearer = headers.find("authorization");
  const std::string* plain = headers.find("x-api-key");
  if (bearer == nullptr && plain == nullptr) return std::nullopt;
  if (headers.count("authorization") > 1 || headers.count("x-api-key") > 1)
    return std::string_view();
  std::string_view key;
  if (bearer != nullptr) {
    constexpr std::string_view kScheme = "bearer ";
    key = *bearer;
    if (!http::equal_ignoring_case(key.substr(0, kScheme.size()), kScheme))
      return std::string_view();
    key.remove_prefix(kScheme.size());
    // Both are the client's own: nothing can be learned by comparing them.
    if (plain != nullptr && *plain != key) return std::string_view();
    return key;
  }
  return std::string_view(*plain);
}

bool is_open_route(std::string_view path, bool metrics_open) {
  if (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  if (path == "/metrics") return metrics_open;
  constexpr std::string_view kOpen[] = {
      "/",         "/health",         "/healthz",         "/livez",   "/readyz",
      "/startupz", "/v2/health/live", "/v2/health/ready", "/version", "/api/version"};
  return std::find(std::begin(kOpen), std::end(kOpen), path) != std::end(kOpen);
}

Authenticator::Authenticator(AuthOptions options, identity::KeyTable* keys,
                             const platform::Clock& clock, const observe::Logger& logger)
    : options_(std::move(options)),
      keys_(keys),
      clock_(clock),
      logger_(logger),
      failures_(options_.fail_limit),
      local_(local_principal()) {}

bool Authenticator::keys_required() {
  if (options_.mode == AuthMode::kOff) return false;
  if (keys_ != nullptr) {
    if (const Status status = keys_->refresh(); !status.ok())
      logger_.error("keys.unreadable", {{"detail", status.error().to_string()}});
  }
  if (options_.mode == AuthMode::kRequired || options_.public_listener) return true;
  return keys_ != nullptr && keys_->any();
}

// The owner of the server and root are its local user. Whoever else the socket's mode lets in is a
// tenant by account.
PrincipalPtr Authenticator::unix_principal(const http::Peer& peer) const {
  if (peer.uid == options_.owner_uid || peer.uid == 0) return local_;
  auto out = std::make_shared<identity::Principal>();
  out->tenant = "uid-" + std::to_string(peer.uid);
  return out;
}

// Where proxies take the TLS off, only they and this machine speak plain HTTP to us.
bool Authenticator::from_outside(const http::Peer& peer) const {
  if (options_.proxies.empty() || peer.kind == http::Peer::Kind::kUnix) return false;
  const std::string_view host = http::without_mapping(http::host_name(peer.address));
  return !http::is_loopback(host) && std::find(options_.proxies.begin(), options_.proxies.end(),
                                               host) == options_.proxies.end();
}

std::variant<PrincipalPtr, ApiError> Authenticator::check(const http::Request& request) {
  if (from_outside(request.peer))
    return permission_denied("This server takes requests from its proxies only.");
  if (request.method == "OPTIONS" || is_open_route(request.path, !options_.metrics_auth))
    return PrincipalPtr();
  const bool on_socket = request.peer.kind == http::Peer::Kind::kUnix;
  if (!keys_required()) return local_;
  const auto key = shown_key(request.headers);
  if (key) return check_key(request, *key);
  if (on_socket) return unix_principal(request.peer);
  return unauthenticated(false);
}

std::variant<PrincipalPtr, ApiError> Authenticator::check_key(const http::Request& request,
                                                              std::string_view key) {
  identity::Verdict verdict;
  if (keys_ != nullptr) verdict = keys_->authenticate(key);
  if (verdict.state == identity::KeyState::kValid) {
    if (request.path == "/metrics" && verdict.principal->role != identity::Role::kAdmin)
      return permission_denied("This key may not read the metrics.");
    return std::move(verdict.principal);
  }
  if (verdict.state == identity::KeyState::kExpired) return unauthenticated(true);
  if (verdict.state == identity::KeyState::kUnknown) return sealed_error();
  // A good key is never slowed by the bad ones that come from the same address.
  if (const auto wait = failures_.fail(request.peer.address, clock_.monotonic_ns())) {
    return rate_limited("rate_limit_exceeded", "Too many wrong API keys from this address.",
                        static_cast<std::uint64_t>(*wait / 1'000'000 + 1));
  }
  return unauthenticated(false);
}

std::optional<ApiError> Authenticator::check_management(const http::Request& request,
                                                        const identity::Principal& caller) const {
  if (options_.public_listener && request.peer.kind == http::Peer::Kind::kTcp)
    return route_not_found();
  if (caller.role != identity::Role::kAdmin)
    return permission_denied("This key may not manage the server.");
  return std::nullopt;
}

}  // namespace holdfast::gateway
