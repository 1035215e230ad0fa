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
  auto model = find_model(parsed.model);
  if (!model) return refuse(unknown_model(parsed.model));
  const std::string_view wait = request->headers.get("x-holdfast-wait-load");
  parsed.wait_for_load = wait.empty() ? options.wait_for_load : wait != "0";
  std::make_shared<Generation>(shared_from_this(), request, writer, std::move(parsed),
                               std::move(*model))
      ->start();
}

}  // namespace holdfast::gateway
