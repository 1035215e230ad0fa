// Where the local server listens, for `serve` and for the commands that talk to it.
#pragma once

#include <string>
#include <string_view>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/http/client.h"

namespace holdfast::cli {

// server.socket, else holdfast/holdfast.sock in the runtime directory, else holdfast.sock in the
// data directory.
std::string socket_path(const Context& context);

// --host, else HOLDFAST_HOST, else the socket.
Result<http::Endpoint> server_endpoint(const Context& context);

// One request to the server, with the key of HOLDFAST_API_KEY if there is one, and its JSON answer.
// An error status becomes the API's own message
// with the matching code; kUnavailable with a hint where nobody listens.
Result<json::Value> call_server(const Context& context, const std::string& method,
                                const std::string& path, const std::string& body = {});

}  // namespace holdfast::cli
