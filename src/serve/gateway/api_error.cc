#include "api_error.h"

#include <algorithm>

namespace holdfast::gateway {
namespace {

constexpr std::uint64_t kRetryDefaultMs = 1000;
constexpr std::uint64_t kSealedRetryMs = 5000;
// A name that a client sent comes back in its error, up to this length.
constexpr std::size_t kEchoBytesMax = 256;

std::string_view type_of_status(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 408:
      return "timeout_error";
    case 409:
      return "conflict_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string_view anthropic_type(const ApiError& error) {
  switch (error.status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 408:
      return "timeout_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return error.status >= 500 ? "api_error" : "invalid_request_error";
  }
}

ApiError make(int status, std::string_view code, std::string message) {
  ApiError out;
  out.status = status;
  out.type = type_of_status(status);
  out.code = code;
  out.message = std::move(message);
  return out;
}

std::string cut(std::string_view text) {
  if (text.size() <= kEchoBytesMax) return std::string(text);
  return std::string(text.substr(0, kEchoBytesMax)) + "...";
}

json::Object openai_error(const ApiError& error) {
  json::Object inner{{"message", error.message},
                     {"type", error.type},
                     {"param", error.param.empty() ? json::Value() : json::Value(error.param)},
                     {"code", error.code}};
  if (error.loading) inner.set("loading", *error.loading);
  return json::Object{{"error", std::move(inner)}};
}

}  // namespace

Surface surface_of(std::string_view path) {
  if (path.substr(0, 5) == "/api/") return Surface::kOllama;
  for (const std::string_view prefix : {"/v1/messages", "/messages"}) {
    if (path.substr(0, prefix.size()) == prefix) return Surface::kAnthropic;
  }
  return Surface::kOpenAi;
}

ApiError invalid_value(std::string param, std::string message) {
  ApiError out = make(400, "invalid_value", std::move(message));
  out.param = std::move(param);
  return out;
}

ApiError missing_parameter(std::string param) {
  ApiError out = make(400, "missing_parameter", "Missing required parameter: '" + param + "'.");
  out.param = std::move(param);
  return out;
}

ApiError unsupported_parameter(std::string param, std::string message) {
  if (message.empty()) message = "The parameter '" + param + "' is not supported.";
  ApiError out = make(400, "unsupported_parameter", std::move(message));
  out.param = std::move(param);
  return out;
}

ApiError invalid_json(std::string_view why) {
  return make(400, "invalid_json", "The request body cannot be read: " + std::string(why) + ".");
}

ApiError route_not_found() { return make(404, "not_found", "There is no such endpoint."); }

ApiError method_not_allowed(std::string allow) {
  ApiError out = make(405, "method_not_allowed", "This endpoint does not take that method.");
  out.allow = std::move(allow);
  return out;
}

ApiError model_not_found(std::string_view model, std::string_view nearest) {
  std::string text = "The model '" + cut(model) +
                     "' does not exist or you do not have access to it (model_not_found).";
  if (!nearest.empty()) text += " Did you mean '" + std::string(nearest) + "'?";
  ApiError out = make(404, "model_not_found", std::move(text));
  out.type = "invalid_request_error";
  out.param = "model";
  return out;
}

// Clients match this sentence word by word.
ApiError context_length_exceeded(std::uint64_t limit, std::uint64_t actual, std::string param) {
  ApiError out = make(400, "context_length_exceeded",
                      "This model's maximum context length is " + std::to_string(limit) +
                          " tokens. However, your messages resulted in " + std::to_string(actual) +
                          " tokens.");
  out.param = std::move(param);
  return out;
}

ApiError model_loading(std::string_view state, std::uint64_t retry_after_ms, double progress) {
  ApiError out = make(503, "model_loading", "The model is being loaded. Try again shortly.");
  out.retry_after_ms = std::max(retry_after_ms, kRetryDefaultMs);
  out.loading =
      json::Object{{"state", state},
                   {"progress", progress},
                   {"eta_s", static_cast<std::int64_t>((out.retry_after_ms + 999) / 1000)}};
  return out;
}

ApiError overloaded(std::string_view code, std::string message, std::uint64_t retry_after_ms) {
  ApiError out = make(503, code, std::move(message));
  out.retry_after_ms = retry_after_ms;
  return out;
}

ApiError sealed_error() {
  return overloaded("sealed", "The server is sealed: an operator has to open its keyring.",
                    kSealedRetryMs);
}

ApiError rate_limited(std::string_view code, std::string message, std::uint64_t retry_after_ms) {
  ApiError out = make(429, code, std::move(message));
  out.retry_after_ms = retry_after_ms;
  return out;
}

ApiError unauthenticated(bool expired) {
  return expired ? make(401, "expired_api_key", "The API key has expired.")
                 : make(401, "invalid_api_key", "A valid API key is needed.");
}

ApiError permission_denied(std::string message) {
  return make(403, "policy_denied", std::move(message));
}

ApiError deadline_exceeded() {
  return make(504, "deadline_exceeded", "The request took longer than the time allowed.");
}

ApiError internal_api_error() {
  return make(500, "internal_error", "The server had an error while processing your request.");
}

ApiError from_code(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kInvalidArgument:
      return make(400, "invalid_value", error.client_message());
    case ErrorCode::kUnsupported:
      return make(400, "unsupported_parameter", error.client_message());
    case ErrorCode::kNotFound:
      return make(404, "not_found", error.client_message());
    case ErrorCode::kConflict:
      return make(409, "conflict", error.client_message());
    case ErrorCode::kCorrupt:
      return make(422, "model_corrupt", error.client_message());
    case ErrorCode::kDenied:
      return make(403, "policy_denied", error.client_message());
    case ErrorCode::kExhausted:
    case ErrorCode::kUnavailable:
    case ErrorCode::kCancelled:
      return overloaded("overloaded", "The server cannot take this request now.", kRetryDefaultMs);
    case ErrorCode::kDeadline:
      return deadline_exceeded();
    default:
      return internal_api_error();
  }
}

ApiError from_http(const http::HttpError& error) {
  ApiError out = make(error.status, error.code, std::string(error.message));
  if (error.status == 503) out.retry_after_ms = kRetryDefaultMs;
  return out;
}

ApiError from_failure(const backend::Failure& failure, std::string_view prompt_param) {
  using backend::FailureKind;
  const std::string& message = failure.error.client_message();
  const std::uint64_t retry = std::max<std::uint64_t>(failure.retry_after_ms, kRetryDefaultMs);
  ApiError out;
  switch (failure.kind) {
    case FailureKind::kModelNotFound:
      return model_not_found("", "");
    case FailureKind::kContextLength:
      return context_length_exceeded(failure.limit, failure.actual, std::string(prompt_param));
    case FailureKind::kModelLoading:
      return model_loading(failure.loading_state.empty() ? "warming" : failure.loading_state,
                           failure.retry_after_ms, failure.loading_progress);
    case FailureKind::kOverloaded:
      return overloaded("overloaded", "The server is at its capacity. Try again shortly.", retry);
    case FailureKind::kDraining:
      return overloaded("draining", "The server is shutting down.", retry);
    case FailureKind::kEngineCrashed:
      return make(500, "engine_crashed", "The engine of this model stopped unexpectedly.");
    case FailureKind::kModelDoesNotFit:
      return make(422, "model_does_not_fit", message);
    case FailureKind::kModelCorrupt:
      return make(422, "model_corrupt", message);
    case FailureKind::kTemplate:
      return invalid_value(std::string(prompt_param), message);
    case FailureKind::kUnknownToken:
      return invalid_value("logit_bias", message);
    case FailureKind::kDeadline:
      return deadline_exceeded();
    case FailureKind::kRateLimited:
      return rate_limited("rate_limit_exceeded", "An upstream of this server limits its rate.",
                          retry);
    case FailureKind::kUpstream:
      return make(502, "upstream_error", "An upstream of this server failed.");
    case FailureKind::kUpstreamTimeout:
      return make(504, "upstream_timeout", "An upstream of this server did not answer in time.");
    case FailureKind::kNoRoute:
      return overloaded("no_route", "No backend can serve this model now.", retry);
    case FailureKind::kOther:
      break;
  }
  return from_code(failure.error);
}

std::string error_body(const ApiError& error, Surface surface, std::string_view request_id) {
  switch (surface) {
    case Surface::kOllama:
      return json::write(json::Object{{"error", error.message}});
    case Surface::kAnthropic:
      return json::write(json::Object{
          {"type", "error"},
          {"error", json::Object{{"type", anthropic_type(error)}, {"message", error.message}}},
          {"request_id", request_id}});
    case Surface::kOpenAi:
      break;
  }
  return json::write(openai_error(error));
}

http::Response error_response(const ApiError& error, Surface surface, std::string_view request_id) {
  http::Response out;
  out.status = error.status;
  out.headers.set("Content-Type", "application/json");
  if (error.retry_after_ms > 0) {
    // SDKs obey at most a minute.
    const std::uint64_t ms_max = error.no_retry ? error.retry_after_ms : 60'000;
    const std::uint64_t ms = std::min<std::uint64_t>(error.retry_after_ms, ms_max);
    out.headers.set("Retry-After", std::to_string((ms + 999) / 1000));
    out.headers.set("retry-after-ms", std::to_string(ms));
  }
  if (error.no_retry) out.headers.set("x-should-retry", "false");
  if (error.status == 401) out.headers.set("WWW-Authenticate", "Bearer");
  if (!error.allow.empty()) out.headers.set("Allow", error.allow);
  if (surface == Surface::kAnthropic) out.headers.set("request-id", std::string(request_id));
  out.body = error_body(error, surface, request_id);
  return out;
}

}  // namespace holdfast::gateway
