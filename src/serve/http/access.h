// Host, Origin and CORS: which names a request may use and which web pages may send one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "holdfast/http/server.h"

namespace holdfast::http {

// `local_address` is the address the connection was made to, without port; empty for a unix socket,
// where a Host header proves nothing and is not looked at.
std::optional<HttpError> check_access(const AccessOptions& options, const Request& request,
                                      std::string_view local_address);

// True for a preflight; `out` is its answer.
bool answer_preflight(const AccessOptions& options, const Request& request, Response& out);

// CORS headers of an answer to an allowed origin.
void add_cors_headers(const AccessOptions& options, const Request& request, Headers& headers);

}  // namespace holdfast::http
