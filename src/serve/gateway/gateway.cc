#include "holdfast/gateway/gateway.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "gateway_impl.h"
#include "generation.h"
#include "holdfast/base/bytes.h"
#include "holdfast/base/units.h"

namespace holdfast::gateway {
namespace {

constexpr std::string_view kAllowHeaders =
    "Authorization, Content-Type, x-api-key, anthropic-version, anthropic-beta, "
    "anthropic-dangerous-direct-browser-access, OpenAI-Organization, OpenAI-Project, OpenAI-Beta, "
    "Idempotency-Key, "
    "x-stainless-arch, x-stainless-async, x-stainless-lang, x-stainless-os, "
    "x-stainless-package-version, "
    "x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, "
    "x-stainless-timeout, "
    "x-stainless-helper-method, x-stainless-poll-helper, X-OpenWebUI-User-Name, "
    "X-OpenWebUI-User-Id, "
    "X-OpenWebUI-User-Email, X-OpenWebUI-User-Role, traceparent, tracestate, x-request-id, "
    "x-holdfast-detail, "
    "x-holdfast-deadline-ms, x-holdfast-wait-load, x-holdfast-label";
constexpr std::string_view kExposeHeaders =
    "x-request-id, request-id, openai-processing-ms, openai-version, x-ratelimit-limit-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, "
    "x-ratelimit-reset-requests, x-ratelimit-reset-tokens, x-holdfast-receipt, retry-after, "
    "retry-after-ms, "
    "x-should-retry";

constexpr std::size_t kIdBytes = 20;  // 32 characters of base32
constexpr std::size_t kNearestDistanceMax = 6;
constexpr std::size_t kCacheKeyBytes = 32;
// An operator is a person.
constexpr std::string_view kManagement = "/holdfast/";

bool is_json(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return http::equal_ignoring_case(type, "application/json");
}

// Nothing here takes any other kind of body.
std::optional<ApiError> check_media_type(const http::Request& request) {
  const std::string_view encoding = request.headers.get("content-encoding");
  const std::string* type = request.headers.find("content-type");
  const bool bad_type = type != nullptr && !request.body.empty() && !is_json(*type);
  if (!bad_type && (encoding.empty() || http::equal_ignoring_case(encoding, "identity")))
    return std::nullopt;
  ApiError error;
  error.status = 415;
  error.code = "unsupported_media_type";
  error.message = bad_type ? "The body must be sent as application/json."
                           : "A compressed request body is not supported.";
  return error;
}

// RFC 9110 section 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT".
std::string http_date(std::int64_t unix_seconds) {
  constexpr std::string_view kDays = "ThuFriSatSunMonTueWed";  // the epoch was a Thursday
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const auto two = [](std::int64_t n) {
    return std::string(n < 10 ? "0" : "") + std::to_string(n);
  };
  const std::int64_t days = unix_seconds / 86400;
  const std::int64_t rest = unix_seconds % 86400;
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
  std::string out(kDays.substr(static_cast<std::size_t>(days % 7) * 3, 3));
  out += ", " + two(static_cast<unsigned>(date.day())) + " ";
  out += kMonths.substr((static_cast<unsigned>(date.month()) - 1) * 3, 3);
  out += " " + std::to_string(static_cast<int>(date.year())) + " " + two(rest / 3600) + ":" +
         two(rest / 60 % 60) + ":" + two(rest % 60) + " GMT";
  return out;
}

std::string_view method_label(std::string_view method) {
  for (const std::string_view known :
       {"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"}) {
    if (method == known) return known;
  }
  return "other";
}

}  // namespace

Gateway::Impl::Impl(Environment environment, GatewayOptions o)
    : env(environment),
      options(std::move(o)),
      metrics(env.metrics, options.metrics),
      authenticator(options.auth, env.keys, env.clock, env.logger),
      cache_key(kCacheKeyBytes),
      mailbox(std::make_shared<Mailbox>(env.loop)) {
  if (const Status drawn = env.entropy.fill(cache_key); !drawn.ok()) {
    env.logger.error("gateway.no_cache_key", {{"detail", drawn.error().to_string()}});
    cache_key.clear();
  }
  metrics.build_info.with({options.version, options.commit, options.engine_isa}).set(1);
  metrics.simd_isa.with({options.engine_isa}).set(1);
  // Autoscalers look before the first request.
  for (const std::string& model : options.preload) {
    for (auto* gauge : {&metrics.running, &metrics.waiting, &metrics.kv_usage})
      gauge->with({metrics.model_label(model)}).set(0);
  }
  add_routes();
}

void Gateway::Impl::add_routes() {
  using Method = void (Impl::*)(const RequestPtr&, const WriterPtr&);
  const auto add = [this](std::string_view method, std::string_view pattern, Method call) {
    router.add(method, pattern, [this, call](RequestPtr request, WriterPtr writer) {
      (this->*call)(request, writer);
    });
  };
  add("GET", "/v1/models", &Impl::list_models);
  add("GET", "/v1/models/{id}", &Impl::get_model);
  router.add("POST", "/v1/chat/completions", [this](RequestPtr request, WriterPtr writer) {
    generate(request, writer, Api::kChat);
  });
  router.add("POST", "/v1/completions", [this](RequestPtr request, WriterPtr writer) {
    generate(request, writer, Api::kCompletions);
  });
  add("POST", "/tokenize", &Impl::tokenize);
  add("POST", "/detokenize", &Impl::detokenize);
  add("POST", "/apply-template", &Impl::apply_template);
  add("GET", "/health", &Impl::health);
  for (const char* path : {"/healthz", "/livez", "/startupz", "/v2/health/live"})
    add("GET", path, &Impl::health);
  for (const char* path : {"/readyz", "/v2/health/ready"}) add("GET", path, &Impl::ready);
  add("GET", "/v2/models/{id}/ready", &Impl::model_ready);
  add("GET", "/version", &Impl::version);
  if (options.metrics.enabled) add("GET", "/metrics", &Impl::metrics_text);
  add("GET", "/holdfast/v1/models", &Impl::manage_models);
  add("GET", "/holdfast/v1/models/{id}", &Impl::manage_model);
  add("POST", "/holdfast/v1/models/{id}/load", &Impl::manage_load);
  add("POST", "/holdfast/v1/models/{id}/unload", &Impl::manage_unload);
  // Only an administrator's command has a way out (docs/adr/0055-one-fetcher-per-origin.md).
  for (const char* path : {"/api/pull", "/holdfast/v1/pulls"})
    add("POST", path, &Impl::refuse_pull);
  add("GET", "/holdfast/v1/engines", &Impl::manage_engines);
  add("GET", "/holdfast/v1/routes", &Impl::manage_routes);
  add("POST", "/holdfast/v1/plan", &Impl::plan);
  add("POST", "/holdfast/v1/fit", &Impl::fit);
  add("GET", "/holdfast/v1/config", &Impl::show_config);
  add("POST", "/holdfast/v1/config/reload", &Impl::reload_config);
}

std::optional<ApiError> Gateway::Impl::authenticate(http::Request& request) {
  const auto context = std::make_shared<RequestContext>();
  request.context = context;
  // Before anything is looked up: the verifiers of keys are sealed too.
  if (sealed && request.path != "/livez" && request.path != "/healthz") {
    context->refused = sealed_error();
    return context->refused;
  }
  auto who = authenticator.check(request);
  if (auto* caller = std::get_if<PrincipalPtr>(&who)) {
    context->caller = std::move(*caller);
  } else {
    context->refused = std::move(std::get<ApiError>(who));
  }
  const bool management =
      std::string_view(request.path).substr(0, kManagement.size()) == kManagement;
  if (context->caller && management && !context->refused)
    context->refused = authenticator.check_management(request, *context->caller);
  return context->refused;
}

std::optional<http::HttpError> Gateway::Impl::refuse_head(http::Request& request) {
  const auto error = authenticate(request);
  if (!error) return std::nullopt;
  return http::HttpError{error->status, error->code, "The request is refused."};
}

void Gateway::Impl::handle(const RequestPtr& request, const WriterPtr& writer) {
  if (!request->context) {
    if (const auto error = authenticate(*request)) return send_error(*request, *writer, *error);
  }
  http::Router::Match match = router.find(request->method, request->path);
  // A client whose base URL ends in a slash asks for "/v1/models/".
  if (match.handler == nullptr && match.allow.empty() && request->path.size() > 1 &&
      request->path.back() == '/') {
    match = router.find(request->method,
                        std::string_view(request->path).substr(0, request->path.size() - 1));
  }
  request->route = match.route;
  if (match.handler == nullptr) {
    send_error(*request, *writer,
               match.allow.empty() ? route_not_found() : method_not_allowed(match.allow));
    return;
  }
  if (const auto error = check_media_type(*request)) {
    send_error(*request, *writer, *error);
    return;
  }
  request->path_params = std::move(match.params);
  (*match.handler)(request, writer);
}

void Gateway::Impl::decorate(const http::Request& request, int, http::Headers& headers) const {
  if (const RequestContext* context = context_of(request); context != nullptr && context->limited) {
    const identity::AccountLimits limits = limits_of(*context->caller, options.limits);
    add_limit_headers(limits, limiter.state(context->caller->key_id, limits, now()), headers);
  }
  headers.set("x-request-id", request.id);
  headers.set("openai-processing-ms", std::to_string(request.age() / std::chrono::milliseconds(1)));
  headers.set("Date", http_date(unix_now()));
  headers.set("openai-version", "2020-10-01");
  headers.set("X-Content-Type-Options", "nosniff");
}

void Gateway::Impl::on_complete(const http::Request& request, int status,
                                std::uint64_t body_bytes) {
  const std::string_view handler = request.route.empty() ? "none" : std::string_view(request.route);
  const std::chrono::duration<double> elapsed = request.age();
  metrics.http_requests.with({handler, method_label(request.method), std::to_string(status)}).add();
  metrics.http_seconds.with({handler}).observe(elapsed.count());
  const RequestContext* context = context_of(request);
  const bool known = context != nullptr && context->caller != nullptr;
  env.logger.info("http.request", {{"request_id", request.id},
                                   {"tenant", known ? context->caller->tenant : std::string()},
                                   {"key", known ? context->caller->key_id : std::string()},
                                   {"method", method_label(request.method)},
                                   {"route", handler},
                                   {"status", status},
                                   {"bytes", body_bytes},
                                   {"ms", elapsed.count() * 1000},
                                   {"peer", request.peer.address}});
}

void Gateway::Impl::send_error(const http::Request& request, http::ResponseWriter& writer,
                               const ApiError& error) {
  metrics.errors.with({error.code}).add();
  writer.send(error_response(error, surface_of(request.path), request.id));
}

void Gateway::Impl::send_json(http::ResponseWriter& writer, const json::Value& body,
                              int status) const {
  writer.send({status, {{"Content-Type", "application/json"}}, json::write(body)});
}

std::vector<backend::ModelFacts> Gateway::Impl::models_of(const identity::Principal* caller) const {
  std::vector<backend::ModelFacts> models = env.backend.models();
  std::erase_if(models, [&](const backend::ModelFacts& m) { return !may_use(caller, m); });
  return models;
}

std::optional<backend::ModelFacts> Gateway::Impl::find_model(const identity::Principal* caller,
                                                             std::string_view name,
                                                             bool guess) const {
  std::vector<backend::ModelFacts> models = models_of(caller);
  if (name.empty()) name = options.default_model;
  if (name.empty()) {
    if (!guess || models.size() != 1) return std::nullopt;
    return std::move(models.front());
  }
  const auto at = std::find_if(models.begin(), models.end(),
                               [&](const auto& m) { return same_model(m, name); });
  if (at == models.end()) return std::nullopt;
  return std::move(*at);
}

ApiError Gateway::Impl::unknown_model(const identity::Principal* caller,
                                      std::string_view name) const {
  if (name.empty()) return missing_parameter("model");
  std::string nearest;
  std::size_t best = kNearestDistanceMax;
  for (const backend::ModelFacts& model : models_of(caller)) {
    for (const std::string_view known :
         {std::string_view(model.id), std::string_view(model.id).substr(0, model.id.find(':'))}) {
      const std::size_t distance = edit_distance(name.substr(0, 256), known, best);
      if (distance < best) {
        best = distance;
        nearest = model.id;
      }
    }
  }
  return model_not_found(name, nearest);
}

std::string Gateway::Impl::new_id(std::string_view prefix) const {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
  std::array<std::byte, kIdBytes> random{};
  ignore_error(env.entropy.fill(random), "the id names an answer and grants nothing");
  std::string out(prefix);
  unsigned bits = 0;
  unsigned held = 0;
  for (const std::byte b : random) {
    held = (held << 8) | std::to_integer<unsigned>(b);
    for (bits += 8; bits >= 5; bits -= 5) out += kAlphabet[(held >> (bits - 5)) & 31];
    held &= 0xff;
  }
  return out;
}

std::string Gateway::Impl::new_request_id() const {
  std::array<std::byte, 16> random{};
  ignore_error(env.entropy.fill(random), "the id only joins log lines");
  return "req_" + to_hex(random);
}

identity::Moment Gateway::Impl::now() const { return {env.clock.monotonic_ns(), unix_now()}; }

std::int64_t Gateway::Impl::unix_now() const {
  return platform::unix_seconds(env.clock.wall_time());
}

// Changes when anything that shapes an answer does. A name, not a proof: FNV-1a is enough.
std::string Gateway::Impl::fingerprint(const backend::ModelFacts& model) const {
  std::uint64_t hash = 14695981039346656037ull;
  for (const std::string& part : {model.digest, std::to_string(model.context_length),
                                  options.version, options.commit, options.engine_isa}) {
    for (const char c : part + '\0')
      hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  }
  std::array<std::byte, 8> bytes{};
  store_be(bytes.data(), hash);
  return "fp_" + to_hex(bytes);
}

Gateway::Gateway(Environment environment, GatewayOptions options)
    : impl_(std::make_shared<Impl>(environment, std::move(options))) {
  environment.metrics.on_collect([weak = std::weak_ptr<Impl>(impl_)] {
    if (const auto impl = weak.lock()) impl->collect_gauges();
  });
}

Gateway::~Gateway() {
  impl_->worker.stop();
  impl_->mailbox->close();
}

void Gateway::declare_metrics(observe::Registry& registry, const MetricsOptions& options) {
  const GatewayMetrics declared(registry, options);
}

http::ServerHooks Gateway::hooks() {
  http::ServerHooks out;
  out.handle = [impl = impl_](RequestPtr request, WriterPtr writer) {
    impl->handle(request, writer);
  };
  out.render_error = [impl = impl_](const http::Request& request, const http::HttpError& error) {
    impl->metrics.errors.with({error.code}).add();
    const RequestContext* context = context_of(request);
    const bool ours = context != nullptr && context->refused.has_value();
    return error_response(ours ? *context->refused : from_http(error), surface_of(request.path),
                          request.id);
  };
  out.refuse_head = [impl = impl_](http::Request& request) { return impl->refuse_head(request); };
  out.decorate = [impl = impl_](const http::Request& request, int status, http::Headers& headers) {
    impl->decorate(request, status, headers);
  };
  out.new_request_id = [impl = impl_] { return impl->new_request_id(); };
  out.on_complete = [impl = impl_](const http::Request& request, int status, std::uint64_t bytes) {
    impl->on_complete(request, status, bytes);
  };
  return out;
}

http::AccessOptions Gateway::access_options(std::vector<std::string> hosts,
                                            std::vector<std::string> cors_origins) {
  http::AccessOptions out;
  out.hosts = std::move(hosts);
  out.cors_origins = std::move(cors_origins);
  out.cors_allow_headers = kAllowHeaders;
  out.cors_expose_headers = kExposeHeaders;
  return out;
}

void Gateway::set_config(ConfigAccess access) { impl_->config = std::move(access); }
void Gateway::set_planner(PlanAccess access) { impl_->planner = std::move(access); }
void Gateway::update(GatewayOptions options) { impl_->options = std::move(options); }
void Gateway::set_readiness(ReadinessCheck check) { impl_->readiness = std::move(check); }
void Gateway::set_degraded(std::vector<std::string> layers) { impl_->degraded = std::move(layers); }
void Gateway::set_sealed(bool sealed) { impl_->sealed = sealed; }

void Gateway::begin_drain() { impl_->draining = true; }
std::size_t Gateway::active_generations() const { return impl_->active.size(); }

void Gateway::end_generations() {
  const auto all = impl_->active;
  for (const auto& generation : all) {
    generation->fail(overloaded("draining", "The server is shutting down.", 1000));
  }
}

}  // namespace holdfast::gateway
