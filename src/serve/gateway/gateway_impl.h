// State shared by the routes of one gateway.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "api_error.h"
#include "authentication.h"
#include "callers.h"
#include "gateway_metrics.h"
#include "holdfast/base/check.h"
#include "holdfast/gateway/gateway.h"
#include "holdfast/http/router.h"
#include "mailbox.h"
#include "request.h"
#include "worker.h"

namespace holdfast::gateway {

// Requests to the planner that wait for the one that runs.
inline constexpr std::size_t kPlansWaitingMax = 4;

class Generation;
using RequestPtr = std::shared_ptr<http::Request>;
using WriterPtr = std::shared_ptr<http::ResponseWriter>;

struct Gateway::Impl : std::enable_shared_from_this<Gateway::Impl> {
  Impl(Environment environment, GatewayOptions o);

  void add_routes();
  void handle(const RequestPtr& request, const WriterPtr& writer);
  void decorate(const http::Request& request, int status, http::Headers& headers) const;
  void on_complete(const http::Request& request, int status, std::uint64_t body_bytes);
  // Finds the caller and keeps it with the request; an error ends the request.
  std::optional<ApiError> authenticate(http::Request& request);
  // When the head is complete and a body follows: whoever may not ask does not get to send it.
  std::optional<http::HttpError> refuse_head(http::Request& request);
  void collect_gauges();

  // Answers.
  void send_error(const http::Request& request, http::ResponseWriter& writer,
                  const ApiError& error);
  void send_json(http::ResponseWriter& writer, const json::Value& body, int status = 200) const;

  // Models that a caller may use; for everybody else they do not exist. nullptr: the server itself.
  // `name` empty: the default, or the only one there is if `guess`.
  std::vector<backend::ModelFacts> models_of(const identity::Principal* caller) const;
  std::optional<backend::ModelFacts> find_model(const identity::Principal* caller,
                                                std::string_view name, bool guess = false) const;
  ApiError unknown_model(const identity::Principal* caller, std::string_view name) const;

  // Takes a place and tokens of the caller's limits, and marks the request as counted.
  Parsed<identity::Reservation> reserve(http::Request& request, const GenerationSpec& spec,
                                        const backend::ModelFacts& model);
  Parsed<backend::Caller> backend_caller(const http::Request& request,
                                         const GenerationSpec& spec) const;
  identity::Moment now() const;

  // "chatcmpl-" + 32 characters.
  std::string new_id(std::string_view prefix) const;
  std::string new_request_id() const;
  std::int64_t unix_now() const;
  std::string fingerprint(const backend::ModelFacts& model) const;

  // Routes; each in the file named after it.
  void list_models(const RequestPtr& request, const WriterPtr& writer);
  void get_model(const RequestPtr& request, const WriterPtr& writer);
  void generate(const RequestPtr& request, const WriterPtr& writer, Api api);
  void tokenize(const RequestPtr& request, const WriterPtr& writer);
  void detokenize(const RequestPtr& request, const WriterPtr& writer);
  void apply_template(const RequestPtr& request, const WriterPtr& writer);
  void health(const RequestPtr& request, const WriterPtr& writer);
  void ready(const RequestPtr& request, const WriterPtr& writer);
  void model_ready(const RequestPtr& request, const WriterPtr& writer);
  void version(const RequestPtr& request, const WriterPtr& writer);
  void metrics_text(const RequestPtr& request, const WriterPtr& writer);
  void manage_models(const RequestPtr& request, const WriterPtr& writer);
  void manage_model(const RequestPtr& request, const WriterPtr& writer);
  void manage_load(const RequestPtr& request, const WriterPtr& writer);
  void manage_unload(const RequestPtr& request, const WriterPtr& writer);
  void refuse_pull(const RequestPtr& request, const WriterPtr& writer);
  void manage_engines(const RequestPtr& request, const WriterPtr& writer);
  void show_config(const RequestPtr& request, const WriterPtr& writer);
  void reload_config(const RequestPtr& request, const WriterPtr& writer);
  void manage_routes(const RequestPtr& request, const WriterPtr& writer);
  void plan(const RequestPtr& request, const WriterPtr& writer);
  void fit(const RequestPtr& request, const WriterPtr& writer);
  void ask_planner(const RequestPtr& request, const WriterPtr& writer, const PlanCall& call);

  Environment env;
  GatewayOptions options;
  http::Router router;
  GatewayMetrics metrics;
  ReadinessCheck readiness;
  std::vector<std::string> degraded;  // layers of the sandbox
  ConfigAccess config;
  PlanAccess planner;
  Worker worker{kPlansWaitingMax};
  std::set<std::shared_ptr<Generation>> active;
  Authenticator authenticator;
  identity::Limiter limiter;
  // Drawn at start: cache domains mean nothing to another process. Empty: nothing is reused.
  Bytes cache_key;
  std::shared_ptr<Mailbox> mailbox;
  std::string frame;  // being written: one buffer for all streams
  bool draining = false;
  bool sealed = false;
};

// The caller of a route that is not open.
inline const identity::Principal* caller_of(const http::Request& request) {
  const RequestContext* context = context_of(request);
  HF_CHECK(context != nullptr && context->caller != nullptr);
  return context->caller.get();
}

// {"object":"list","data":[...],"has_more":false,"next":null}.
json::Object list_of(json::Array data);

// Brings an answer of the backend to the loop's thread, unless the client has gone meanwhile.
template <typename T>
backend::Done<T> on_loop_result(const std::shared_ptr<Gateway::Impl>& gateway,
                                const WriterPtr& writer,
                                std::function<void(std::variant<T, backend::Failure>)> fn) {
  // The writer may only be dropped on the loop's thread; the callback that holds it may die
  // anywhere.
  struct Held {
    http::EventLoop& loop;
    std::shared_ptr<Gateway::Impl> gateway;
    WriterPtr writer;
    ~Held() {
      loop.post([w = std::move(writer), g = std::move(gateway)] {});
    }
  };
  auto held = std::make_shared<Held>(gateway->env.loop, gateway, writer);
  return [held, fn = std::move(fn)](std::variant<T, backend::Failure> result) {
    held->loop.post([held, fn, result = std::move(result)]() mutable {
      if (held->writer->open()) fn(std::move(result));
    });
  };
}

// The same; a failure is answered as an error.
template <typename T>
backend::Done<T> on_loop(const std::shared_ptr<Gateway::Impl>& gateway, const RequestPtr& request,
                         const WriterPtr& writer, std::string prompt_param,
                         std::function<void(T)> fn) {
  return on_loop_result<T>(
      gateway, writer,
      [gateway, request, weak = std::weak_ptr(writer), param = std::move(prompt_param),
       fn = std::move(fn)](std::variant<T, backend::Failure> result) {
        const WriterPtr open = weak.lock();
        if (auto* failure = std::get_if<backend::Failure>(&result)) {
          if (open) gateway->send_error(*request, *open, from_failure(*failure, param));
        } else {
          fn(std::move(std::get<T>(result)));
        }
      });
}

}  // namespace holdfast::gateway
