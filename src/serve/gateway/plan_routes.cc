// /holdfast/v1/plan and /holdfast/v1/fit: the planner, on a thread of its own.
#include <algorithm>
#include <chrono>

#include "gateway_impl.h"

namespace holdfast::gateway {
namespace {

constexpr std::chrono::seconds kPlannerRetry{5};

using Answer = std::variant<json::Value, ApiError>;

bool is_path(std::string_view text) {
  return !text.empty() && text.size() <= 100 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '[' ||
           c == ']';
  });
}

// The planner's errors begin with the path of the field: "workload.isl: must be ...".
ApiError planner_error(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
    case ErrorCode::kCorrupt:
    case ErrorCode::kExhausted:
    case ErrorCode::kNotFound: {
      std::string message = error.client_message();
      if (!error.hint().empty()) message += " (" + error.hint() + ")";
      const std::size_t colon = error.client_message().find(": ");
      const std::string path =
          error.client_message().substr(0, colon == std::string::npos ? 0 : colon);
      ApiError out =
          error.code() == ErrorCode::kNotFound ? from_code(error) : invalid_value("", "");
      out.param = is_path(path) ? path : "";
      out.message = std::move(message);
      return out;
    }
    default:
      return from_code(error);
  }
}

Answer call(const PlanCall& target, json::Value body) {
  auto made = target(std::move(body));
  if (made.ok()) return std::move(*made);
  return planner_error(made.error());
}

}  // namespace

void Gateway::Impl::ask_planner(const RequestPtr& request, const WriterPtr& writer,
                                const PlanCall& target) {
  if (!target) return send_error(*request, *writer, route_not_found());
  auto body = parse_body(request->body, options.body_bytes_max);
  if (const auto* error = std::get_if<ApiError>(&body))
    return send_error(*request, *writer, *error);
  struct Job {
    std::shared_ptr<Impl> gateway;
    RequestPtr request;
    WriterPtr writer;
    // All three belong to the loop's thread.
    ~Job() {
      http::EventLoop& loop = gateway->env.loop;
      loop.post([g = std::move(gateway), r = std::move(request), w = std::move(writer)] {});
    }
  };
  const auto job = std::make_shared<Job>(shared_from_this(), request, writer);
  const bool taken = worker.post([job, target, document = std::get<json::Object>(body)] {
    Answer answer = call(target, document);
    job->gateway->env.loop.post([job, answer = std::move(answer)] {
      if (!job->writer->open()) return;
      if (const auto* error = std::get_if<ApiError>(&answer)) {
        job->gateway->send_error(*job->request, *job->writer, *error);
      } else {
        job->gateway->send_json(*job->writer, std::get<json::Value>(answer));
      }
    });
  });
  if (taken) return;
  send_error(
      *request, *writer,
      overloaded("overloaded", "The planner is busy. Try again shortly.",
                 static_cast<std::uint64_t>(std::chrono::milliseconds(kPlannerRetry).count())));
}

void Gateway::Impl::plan(const RequestPtr& request, const WriterPtr& writer) {
  ask_planner(request, writer, planner.plan);
}

void Gateway::Impl::fit(const RequestPtr& request, const WriterPtr& writer) {
  ask_planner(request, writer, planner.fit);
}

}  // namespace holdfast::gateway
