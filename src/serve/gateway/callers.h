// What a request is to the backend and to its limits, derived from its caller.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api_error.h"
#include "authentication.h"
#include "holdfast/backend/backend.h"
#include "holdfast/identity/limiter.h"
#include "request.h"

namespace holdfast::gateway {

// What the gateway keeps with a request: http::Request::context.
struct RequestContext {
  PrincipalPtr caller;              // nullptr: an open route
  std::optional<ApiError> refused;  // decided when the head was complete
  bool limited = false;             // the route counts: its answers tell what is left
};
// nullptr for a request that was not looked at.
const RequestContext* context_of(const http::Request& request);

// Where prompts of one caller may be reused: HMAC(key, "holdfast/cache-domain/v1" | 0 | tenant
// [| 0 | salt]) in hexadecimal. What the client says is hashed in after the tenant, so it can only
// make the domain narrower.
std::string cache_domain(ByteView key, std::string_view tenant, std::string_view client_salt);

// The tenant that shares are counted by. An administrator's key, such as that of an inference
// gateway, may split its tenant into flows "tenant/id"; each has a share of its own, so nobody else
// may make them.
Parsed<std::string> fairness_tenant(const identity::Principal& caller,
                                    const http::Headers& headers);

// Priority and the tier that the answer names: "default", "flex", "priority".
struct ServiceTier {
  backend::Priority priority = backend::Priority::kInteractive;
  std::string_view name = "default";
};
ServiceTier service_tier(const identity::Principal& caller, const GenerationSpec& spec);

// The names that a caller may use; nullptr is the server itself.
bool may_use(const identity::Principal* caller, const backend::ModelFacts& model);
// The model's id, the id without ":latest", or an alias.
bool same_model(const backend::ModelFacts& model, std::string_view name);

// Tokens that a request will need at least, and those it is likely to use. The prompt is guessed
// from its length: the engine counts later.
struct TokenEstimate {
  std::uint64_t needed = 0;
  std::uint64_t wanted = 0;
};
TokenEstimate estimate_tokens(const GenerationSpec& spec, std::uint64_t context_length);

identity::AccountLimits limits_of(const identity::Principal& caller, const CallerLimits& defaults);
ApiError limit_error(const identity::Refused& refused);
// x-ratelimit-{limit,remaining,reset}-{requests,tokens}, for the limits that there are.
void add_limit_headers(const identity::AccountLimits& limits, const identity::AccountState& state,
                       http::Headers& headers);
// "0s", "12ms", "1.5s", "6m0s", "1h0m0s", as Go writes durations.
std::string go_duration(std::int64_t ns);

}  // namespace holdfast::gateway
