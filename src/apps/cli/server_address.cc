#include "server_address.h"

#include "holdfast/base/units.h"

namespace holdfast::cli {

namespace {

ErrorCode code_of_status(int status) {
  switch (status) {
    case 401:
      return ErrorCode::kUnauthenticated;
    case 403:
      return ErrorCode::kDenied;
    case 404:
      return ErrorCode::kNotFound;
    case 409:
      return ErrorCode::kConflict;
    case 422:
    case 429:
      return ErrorCode::kExhausted;
    case 502:
    case 503:
      return ErrorCode::kUnavailable;
    case 504:
      return ErrorCode::kDeadline;
    default:
      return status < 500 ? ErrorCode::kInvalidArgument : ErrorCode::kInternal;
  }
}

Error api_error(int status, const std::string& body) {
  std::string text = "the server answered " + std::to_string(status);
  if (const auto parsed = json::parse(body); parsed.ok()) {
    const json::Value* error = parsed->find("error");
    const json::Value* m = error == nullptr ? nullptr : error->find("message");
    if (m != nullptr && m->is_string()) text = m->as_string();
  }
  Error error(code_of_status(status), std::move(text));
  if (error.code() == ErrorCode::kUnauthenticated) {
    return std::move(error).with_hint(
        "put a key into HOLDFAST_API_KEY; `holdfast key create` makes one");
  }
  if (error.code() != ErrorCode::kNotFound) return error;
  return std::move(error).with_hint("`holdfast ls` lists the models");
}

}  // namespace

std::string socket_path(const Context& context) {
  const std::string& configured = context.settings.text(config::Setting::server_socket);
  if (!configured.empty()) return configured;
  const std::string runtime(config::lookup(context.environment, "XDG_RUNTIME_DIR"));
  return runtime.empty() ? context.data_dir + "/holdfast.sock"
                         : runtime + "/holdfast/holdfast.sock";
}

Result<http::Endpoint> server_endpoint(const Context& context) {
  std::string host = context.flags.host;
  if (host.empty()) host = config::lookup(context.environment, "HOLDFAST_HOST");
  return http::parse_endpoint(host.empty() ? "unix:" + socket_path(context) : host);
}

Result<json::Value> call_server(const Context& context, const std::string& method,
                                const std::string& path, const std::string& body) {
  HF_TRY_ASSIGN(http::Endpoint endpoint, server_endpoint(context));
  http::ClientOptions options;
  if (!context.flags.timeout.empty()) {
    HF_TRY_ASSIGN(options.idle_timeout, parse_duration(context.flags.timeout));
  }
  http::Client client(std::move(endpoint), options);
  http::ClientRequest request;
  request.method = method;
  request.path = path;
  request.body = body;
  const std::string_view key = config::lookup(context.environment, "HOLDFAST_API_KEY");
  if (!key.empty()) request.headers.add("Authorization", "Bearer " + std::string(key));
  if (!body.empty()) request.headers.add("Content-Type", "application/json");
  auto response = client.request(request);
  if (!response.ok()) {
    Error error = response.error();
    if (error.code() != ErrorCode::kUnavailable) return error;
    return std::move(error).with_hint("start a server with `holdfast serve`");
  }
  if (response->status >= 400) return api_error(response->status, response->body);
  return json::parse(response->body);
}

}  // namespace holdfast::cli
