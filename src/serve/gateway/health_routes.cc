// Health, readiness, version and metrics.
#include "gateway_impl.h"

namespace holdfast::gateway {

void Gateway::Impl::collect_gauges() { metrics.refresh(env.backend.stats()); }

// /health speaks of the models that are loaded at start; the others of the process alone.
void Gateway::Impl::health(const RequestPtr& request, const WriterPtr& writer) {
  if (request->route == "/healthz") {
    return send_json(*writer, json::Object{{"status", "ok"}, {"sealed", false}});
  }
  bool loaded = true;
  if (request->route == "/health") {
    for (const std::string& name : options.preload) {
      const auto model = find_model(nullptr, name);
      loaded = loaded && model && model->state == backend::ModelState::kReady;
    }
  }
  if (loaded) return send_json(*writer, json::Object{{"status", "ok"}});
  ApiError error;
  error.status = 503;
  error.type = "unavailable_error";
  error.code = "model_loading";
  error.message = "Loading model";
  send_error(*request, *writer, error);
}

void Gateway::Impl::ready(const RequestPtr& request, const WriterPtr& writer) {
  std::vector<std::pair<std::string, bool>> checks = {{"not-draining", !draining}};
  if (readiness) {
    const auto more = readiness();
    checks.insert(checks.end(), more.begin(), more.end());
  }
  const bool verbose = request->has_query("verbose");
  bool all = true;
  std::string text;
  for (const auto& [name, good] : checks) {
    all = all && good;
    if (verbose || !good) text += (good ? "[+]" : "[-]") + name + (good ? " ok\n" : " failed\n");
  }
  if (text.empty() || verbose) text += all ? "ok\n" : "not ready\n";
  writer->send({all ? 200 : 503, {{"Content-Type", "text/plain; charset=utf-8"}}, text});
}

void Gateway::Impl::model_ready(const RequestPtr& request, const WriterPtr& writer) {
  const std::string& name = request->path_params.front();
  const identity::Principal* caller = caller_of(*request);
  const auto model = find_model(caller, name);
  if (!model) return send_error(*request, *writer, unknown_model(caller, name));
  const bool loaded = model->state == backend::ModelState::kReady;
  send_json(*writer, json::Object{{"name", name}, {"ready", loaded}}, loaded ? 200 : 503);
}

void Gateway::Impl::version(const RequestPtr&, const WriterPtr& writer) {
  send_json(
      *writer,
      json::Object{
          {"version", options.version},
          {"commit", options.commit},
          {"engine_isa", options.engine_isa},
          {"api", json::Object{{"openai", "v1"}, {"anthropic", nullptr}, {"ollama", nullptr}}}});
}

void Gateway::Impl::metrics_text(const RequestPtr&, const WriterPtr& writer) {
  writer->send({200,
                {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}},
                env.metrics.expose_text()});
}

}  // namespace holdfast::gateway
