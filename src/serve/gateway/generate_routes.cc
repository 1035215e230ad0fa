// /v1/chat/completions and /v1/completions: from the body to a running generation.
#include "gateway_impl.h"
#include "generation.h"

namespace holdfast::gateway {

void Gateway::Impl::generate(const RequestPtr& request, const WriterPtr& writer, Api api) {
  const auto refuse = [&](const ApiError& error) { send_error(*request, *writer, error); };
  if (draining) {
    metrics.rejections.with({"draining"}).add();
    return refuse(overloaded("draining", "The server is shutting down.", 1000));
  }
  auto body = parse_body(request->body, options.body_bytes_max);
  if (const auto* error = std::get_if<ApiError>(&body)) return refuse(*error);
  const RequestLimits limits{options.n_max};
  const json::Object& object = std::get<json::Object>(body);
  auto spec = api == Api::kChat ? parse_chat(object, limits) : parse_completion(object, limits);
  if (const auto* error = std::get_if<ApiError>(&spec)) return refuse(*error);
  GenerationSpec& parsed = std::get<GenerationSpec>(spec);
  const identity::Principal* caller = caller_of(*request);
  auto model = find_model(caller, parsed.model);
  if (!model) return refuse(unknown_model(caller, parsed.model));
  if (!model->constrained) {
    if (const auto error = needs_constraint(parsed)) return refuse(*error);
  } else if (auto* chat = std::get_if<backend::ChatPrompt>(&parsed.prompts.front());
             parsed.older_functions && chat != nullptr) {
    chat->parallel_tool_calls = false;  // the older form of the answer has room for one
  }
  auto for_whom = backend_caller(*request, parsed);
  if (const auto* error = std::get_if<ApiError>(&for_whom)) return refuse(*error);
  const std::string_view wait = request->headers.get("x-holdfast-wait-load");
  parsed.wait_for_load = wait.empty() ? options.wait_for_load : wait != "0";
  auto reservation = reserve(*request, parsed, *model);
  if (const auto* error = std::get_if<ApiError>(&reservation)) return refuse(*error);
  std::make_shared<Generation>(shared_from_this(), request, writer, std::move(parsed),
                               std::move(*model), std::get<backend::Caller>(std::move(for_whom)),
                               std::get<identity::Reservation>(std::move(reservation)))
      ->start();
}

Parsed<backend::Caller> Gateway::Impl::backend_caller(const http::Request& request,
                                                      const GenerationSpec& spec) const {
  const identity::Principal* caller = caller_of(request);
  auto tenant = fairness_tenant(*caller, request.headers);
  if (auto* error = std::get_if<ApiError>(&tenant)) return std::move(*error);
  backend::Caller out;
  out.tenant = std::move(std::get<std::string>(tenant));
  out.weight = caller->weight;
  if (!cache_key.empty())
    out.cache_domain = cache_domain(cache_key, caller->tenant, spec.cache_salt);
  return out;
}

Parsed<identity::Reservation> Gateway::Impl::reserve(http::Request& request,
                                                     const GenerationSpec& spec,
                                                     const backend::ModelFacts& model) {
  const identity::Principal* caller = caller_of(request);
  if (caller->is_local()) return identity::Reservation();
  static_cast<RequestContext*>(request.context.get())->limited = true;
  const identity::AccountLimits limits = limits_of(*caller, options.limits);
  TokenEstimate tokens;
  if (limits.tokens_per_day > 0) tokens = estimate_tokens(spec, model.context_length);
  auto outcome = limiter.admit(caller->key_id, limits, tokens.needed, tokens.wanted, now());
  if (const auto* refused = std::get_if<identity::Refused>(&outcome)) {
    ApiError error = limit_error(*refused);
    metrics.rejections.with({error.code}).add();
    return error;
  }
  return std::move(std::get<identity::Reservation>(outcome));
}

}  // namespace holdfast::gateway
