// /v1/models and the management routes of models and engines.
#include "gateway_impl.h"

namespace holdfast::gateway {
namespace {

json::Array string_array(const std::vector<std::string>& items) {
  json::Array out;
  for (const std::string& item : items) out.emplace_back(item);
  return out;
}

json::Object model_object(const backend::ModelFacts& model, std::string_view id) {
  return {{"id", id},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "holdfast"},
          {"context_length", model.context_length},
          {"max_model_len", model.context_length},
          {"capabilities", string_array(model.capabilities)},
          {"quantization", model.quantization},
          {"parameters", model.parameters},
          {"digest", model.digest},
          {"license", model.license.empty() ? json::Value() : json::Value(model.license)},
          {"stage", "production"},
          {"state", backend::model_state_name(model.state)}};
}

// Null unless the model is being loaded.
json::Value loading_object(backend::ModelState state, std::string_view phase, double progress,
                           std::uint64_t left_ms) {
  if (state != backend::ModelState::kLoading) return {};
  return json::Object{{"state", phase},
                      {"progress", progress},
                      {"eta_s", static_cast<std::int64_t>((left_ms + 999) / 1000)}};
}

json::Object managed_model(const backend::ModelFacts& model) {
  json::Object out = model_object(model, model.id);
  out.set("aliases", string_array(model.aliases));
  out.set("architecture", model.architecture);
  out.set("size_bytes", model.size_bytes);
  out.set("has_chat_template", model.has_chat_template);
  out.set("pinned", model.pinned);
  out.set("loading", loading_object(model.state, model.loading_state, model.loading_progress,
                                    model.loading_left_ms));
  return out;
}

json::Object engine_object(const backend::EngineFacts& engine) {
  return {{"id", engine.model},
          {"model", engine.model},
          {"state", backend::model_state_name(engine.state)},
          {"pid", engine.pid},
          {"isa", engine.isa},
          {"threads", engine.threads},
          {"context_length", engine.context_length},
          {"weights_bytes", engine.weights_bytes},
          {"kv_bytes", engine.kv_bytes},
          {"scratch_bytes", engine.scratch_bytes},
          {"running", engine.running},
          {"waiting", engine.waiting},
          {"kv_usage", engine.kv_usage},
          {"speculation", json::Object{{"mode", engine.speculation},
                                       {"draft_tokens", engine.draft_tokens},
                                       {"accepted_tokens", engine.draft_accepted}}},
          {"slots", engine.slots},
          {"restarts", engine.restarts},
          {"pinned", engine.pinned},
          {"loading", loading_object(engine.state, engine.loading_state, engine.loading_progress,
                                     engine.loading_left_ms)},
          {"loaded_at", engine.loaded_at},
          {"expires_at", engine.expires_at == 0 ? json::Value() : json::Value(engine.expires_at)},
          {"load_ms", engine.load_ms}};
}

json::Object route_object(const backend::RouteFacts& route) {
  return {{"model", route.model},
          {"target", route.target},
          {"kind", route.kind},
          {"breaker", route.state},
          {"health", route.health.empty() ? json::Value() : json::Value(route.health)},
          {"slots", route.slots},
          {"under_way", route.under_way},
          {"requests", route.requests},
          {"errors", route.errors},
          {"retry_after_ms", route.retry_after_ms}};
}

}  // namespace

json::Object list_of(json::Array data) {
  return {{"object", "list"}, {"data", std::move(data)}, {"has_more", false}, {"next", nullptr}};
}

void Gateway::Impl::list_models(const RequestPtr& request, const WriterPtr& writer) {
  json::Array data;
  for (const backend::ModelFacts& model : models_of(caller_of(*request))) {
    data.emplace_back(model_object(model, model.id));
    for (const std::string& alias : model.aliases) data.emplace_back(model_object(model, alias));
  }
  send_json(*writer, json::Object{{"object", "list"}, {"data", std::move(data)}});
}

void Gateway::Impl::get_model(const RequestPtr& request, const WriterPtr& writer) {
  const std::string& name = request->path_params.front();
  const auto model = find_model(caller_of(*request), name);
  if (!model) return send_error(*request, *writer, unknown_model(caller_of(*request), name));
  send_json(*writer, model_object(*model, name));
}

void Gateway::Impl::manage_models(const RequestPtr& request, const WriterPtr& writer) {
  json::Array data;
  for (const backend::ModelFacts& model : models_of(caller_of(*request)))
    data.emplace_back(managed_model(model));
  send_json(*writer, list_of(std::move(data)));
}

void Gateway::Impl::manage_model(const RequestPtr& request, const WriterPtr& writer) {
  const std::string& name = request->path_params.front();
  const auto model = find_model(caller_of(*request), name);
  if (!model) return send_error(*request, *writer, unknown_model(caller_of(*request), name));
  send_json(*writer, managed_model(*model));
}

void Gateway::Impl::manage_engines(const RequestPtr&, const WriterPtr& writer) {
  json::Array data;
  for (const backend::EngineFacts& engine : env.backend.stats().engines)
    data.emplace_back(engine_object(engine));
  send_json(*writer, list_of(std::move(data)));
}

void Gateway::Impl::manage_routes(const RequestPtr&, const WriterPtr& writer) {
  json::Array data;
  for (const backend::RouteFacts& route : env.backend.routes())
    data.emplace_back(route_object(route));
  send_json(*writer, list_of(std::move(data)));
}

void Gateway::Impl::manage_load(const RequestPtr& request, const WriterPtr& writer) {
  auto body = parse_body(request->body, options.body_bytes_max, true);
  if (const auto* error = std::get_if<ApiError>(&body))
    return send_error(*request, *writer, *error);
  Fields fields(std::get<json::Object>(body));
  const auto keep_alive = parse_keep_alive(fields);
  if (fields.error()) return send_error(*request, *writer, *fields.error());
  const std::string& name = request->path_params.front();
  const auto model = find_model(caller_of(*request), name);
  if (!model) return send_error(*request, *writer, unknown_model(caller_of(*request), name));
  env.backend.load(model->id, keep_alive,
                   on_loop<backend::EngineFacts>(
                       shared_from_this(), request, writer, "model",
                       [this, weak = std::weak_ptr(writer)](const backend::EngineFacts& engine) {
                         if (const auto open = weak.lock()) send_json(*open, engine_object(engine));
                       }));
}

void Gateway::Impl::refuse_pull(const RequestPtr& request, const WriterPtr& writer) {
  send_error(*request, *writer,
             permission_denied("This server pulls no models: it has no way out. An administrator "
                               "does, with the command: holdfast pull SOURCE"));
}

void Gateway::Impl::manage_unload(const RequestPtr& request, const WriterPtr& writer) {
  const std::string& name = request->path_params.front();
  const auto model = find_model(caller_of(*request), name);
  if (!model) return send_error(*request, *writer, unknown_model(caller_of(*request), name));
  env.backend.unload(
      model->id,
      on_loop<std::monostate>(shared_from_this(), request, writer, "model",
                              [this, weak = std::weak_ptr(writer), id = model->id](std::monostate) {
                                if (const auto open = weak.lock()) {
                                  send_json(*open, json::Object{{"model", id}, {"state", "cold"}});
                                }
                              }));
}

}  // namespace holdfast::gateway
