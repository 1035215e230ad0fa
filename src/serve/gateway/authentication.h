// Who sent a request: by API key, by the credentials of a unix socket, or because it is this
// machine's own user.
#pragma once

#include <memory>
#include <string_view>
#include <variant>

#include "api_error.h"
#include "holdfast/gateway/gateway.h"
#include "holdfast/http/message.h"
#include "holdfast/identity/key_table.h"
#include "holdfast/identity/limiter.h"
#include "holdfast/identity/principal.h"
#include "holdfast/observe/log.h"
#include "holdfast/platform/clock.h"

namespace holdfast::gateway {

using PrincipalPtr = std::shared_ptr<const identity::Principal>;

// Owned by the gateway, used on the loop's thread. References outlive it; `keys` may be nullptr:
// there are none.
class Authenticator {
 public:
  Authenticator(AuthOptions options, identity::KeyTable* keys, const platform::Clock& clock,
                const observe::Logger& logger);

  // The caller; nullptr for a route of the open list. 401 with one body for every request without a
  // valid key, 429 once an address has shown too many wrong ones.
  std::variant<PrincipalPtr, ApiError> check(const http::Request& request);

  // Management is served on the unix socket and on a loopback listener, to administrators.
  std::optional<ApiError> check_management(const http::Request& request,
                                           const identity::Principal& caller) const;

 private:
  bool keys_required();
  std::variant<PrincipalPtr, ApiError> check_key(const http::Request& request,
                                                 std::string_view key);
  PrincipalPtr unix_principal(const http::Peer& peer) const;
  bool from_outside(const http::Peer& peer) const;

  const AuthOptions options_;
  identity::KeyTable* const keys_;
  const platform::Clock& clock_;
  const observe::Logger& logger_;
  identity::FailureLimiter failures_;
  const PrincipalPtr local_;
};

// The key that a request shows: nothing if none; empty if what it shows is none, or two different
// ones.
std::optional<std::string_view> shown_key(const http::Headers& headers);

// Neither authenticated nor limited: health, version, metrics unless they are closed.
bool is_open_route(std::string_view path, bool metrics_open);

}  // namespace holdfast::gateway
