// Health, readiness, version and metrics.
#include <algorithm>
#include <charconv>

#include "gateway_impl.h"

namespace holdfast::gateway {

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// The weight that an Accept header gives to exactly this type; 0 where it does not name it.
double weight_of(std::string_view accept, std::string_view type) {
  while (!accept.empty()) {
    const std::size_t comma = std::min(accept.find(','), accept.size());
    std::string_view range = accept.substr(0, comma);
    accept.remove_prefix(std::min(comma + 1, accept.size()));
    const std::size_t semicolon = std::min(range.find(';'), range.size());
    if (!http::equal_ignoring_case(trimmed(range.substr(0, semicolon)), type)) continue;
    const std::size_t q = range.find("q=");
    if (q == std::string_view::npos) return 1;
    double weight = 0;
    std::from_chars(range.data() + q + 2, range.data() + range.size(), weight);
    return weight;
  }
  return 0;
}

bool wants_openmetrics(std::string_view accept) {
  const double openmetrics = weight_of(accept, "application/openmetrics-text");
  return openmetrics > 0 && openmetrics >= weight_of(accept, "text/plain");
}

}  // namespace

void Gateway::Impl::collect_gauges() {
  backend::Stats stats = env.backend.stats();
  metrics.refresh(stats, static_cast<double>(unix_now()));
  env.metrics.show_scraped(std::move(stats.scraped));
  if (env.tracing == nullptr) return;
  const auto follow = [&](const char* outcome, std::uint64_t count) {
    observe::Counter& counter = metrics.trace_spans.with({outcome});
    counter.add(std::max(0.0, static_cast<double>(count) - counter.value()));
  };
  follow("sent", env.tracing->sent_spans());
  follow("dropped", env.tracing->dropped_spans());
  follow("failed", env.tracing->failed_spans());
}

// /health speaks of the models that are loaded at start; the others of the process alone.
void Gateway::Impl::health(const RequestPtr& request, const WriterPtr& writer) {
  if (request->route == "/healthz") {
    return send_json(*writer, json::Object{{"status", "ok"}, {"sealed", sealed}});
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
  if (verbose) {
    for (const std::string& layer : degraded) text += "[!]sandbox degraded: " + layer + "\n";
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

void Gateway::Impl::metrics_text(const RequestPtr& request, const WriterPtr& writer) {
  const bool openmetrics = wants_openmetrics(request->headers.get("accept"));
  const char* type = openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                 : "text/plain; version=0.0.4; charset=utf-8";
  writer->send({200,
                {{"Content-Type", type}, {"Vary", "Accept"}},
                openmetrics ? env.metrics.expose_openmetrics() : env.metrics.expose_text()});
}

}  // namespace holdfast::gateway
