// Errors as clients see them: status, type, code, param and a message from a fixed catalogue.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/backend/backend.h"
#include "holdfast/http/message.h"
#include "holdfast/json/json.h"

namespace holdfast::gateway {

struct ApiError {
  int status = 400;
  std::string_view type = "invalid_request_error";
  std::string_view code = "invalid_value";
  std::string message;
  std::string param;                    // empty: null
  std::uint64_t retry_after_ms = 0;     // 0: no header
  std::optional<json::Object> loading;  // of model_loading
  std::string allow;                    // of 405
  bool no_retry = false;                // asking again soon cannot help
};

// Which of the three APIs a path belongs to; each has its own shape of errors.
enum class Surface : std::uint8_t { kOpenAi, kAnthropic, kOllama };
Surface surface_of(std::string_view path);

ApiError invalid_value(std::string param, std::string message);
ApiError missing_parameter(std::string param);
ApiError unsupported_parameter(std::string param, std::string message = {});
ApiError invalid_json(std::string_view why);
ApiError route_not_found();
ApiError method_not_allowed(std::string allow);
// `nearest` may be empty.
ApiError model_not_found(std::string_view model, std::string_view nearest);
ApiError context_length_exceeded(std::uint64_t limit, std::uint64_t actual, std::string param);
// `progress` is 0..1.
ApiError model_loading(std::string_view state, std::uint64_t retry_after_ms, double progress = 0);
ApiError overloaded(std::string_view code, std::string message, std::uint64_t retry_after_ms);
ApiError sealed_error();
// The caller's own limit, where overloaded() is the server's.
ApiError rate_limited(std::string_view code, std::string message, std::uint64_t retry_after_ms);
// Says the same whatever was wrong, but for a key that was right until it expired.
ApiError unauthenticated(bool expired);
ApiError permission_denied(std::string message);
ApiError deadline_exceeded();
ApiError internal_api_error();

// By the code; details stay out of it.
ApiError from_code(const Error& error);
ApiError from_http(const http::HttpError& error);
// `prompt_param` is the field that carries the prompt on this route.
ApiError from_failure(const backend::Failure& failure, std::string_view prompt_param);

// {"error":{...}} of the OpenAI surface, also the data of an error event.
std::string error_body(const ApiError& error, Surface surface, std::string_view request_id);
http::Response error_response(const ApiError& error, Surface surface, std::string_view request_id);

}  // namespace holdfast::gateway
