#include "plan_service.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "holdfast/planner/plan.h"
#include "plan_documents.h"
#include "plan_fit.h"
#include "version.h"

namespace holdfast::cli {

namespace {

constexpr std::array<std::string_view, 4> kFitMembers{"model", "context", "parallel", "device"};
constexpr std::int64_t kCountMax = std::int64_t{1} << 27;

Result<std::string> text_member(const json::Value& body, const char* key) {
  const json::Value* v = body.find(key);
  if (v == nullptr || v->is_null()) return std::string();
  if (!v->is_string() || v->as_string().size() > 1000)
    return invalid_argument(std::string(key) + ": must be a text");
  return v->as_string();
}

Result<std::uint32_t> count_member(const json::Value& body, const char* key,
                                   std::uint32_t otherwise) {
  const json::Value* v = body.find(key);
  if (v == nullptr || v->is_null()) return otherwise;
  if (!v->is_int() || v->as_int() < 1 || v->as_int() > kCountMax)
    return invalid_argument(std::string(key) + ": must be a whole number from 1 to " +
                            std::to_string(kCountMax));
  return static_cast<std::uint32_t>(v->as_int());
}

}  // namespace

Result<json::Value> plan_of_request(const Context& context, json::Value body) {
  HF_TRY_ASSIGN(const PlanSources sources, plan_sources_of_request(context, std::move(body)));
  HF_TRY_ASSIGN(const planner::Problem problem, planner::parse_problem(sources.inputs));
  planner::PlanOptions options;
  options.version = kVersion;
  HF_TRY_ASSIGN(const planner::Plan plan,
                planner::make_plan(problem, planner::Efficiencies::shipped(), options));
  return planner::plan_json(plan);
}

Result<json::Value> fit_of_request(const Context& context, const json::Value& body) {
  if (!body.is_object()) return invalid_argument("the body must be an object");
  for (const json::Member& m : body.as_object()) {
    if (std::find(kFitMembers.begin(), kFitMembers.end(), m.key) == kFitMembers.end())
      return invalid_argument(m.key.substr(0, 100) + ": unknown field");
  }
  FitQuestion question;
  question.files = false;
  HF_TRY_ASSIGN(question.model, text_member(body, "model"));
  HF_TRY_ASSIGN(question.device, text_member(body, "device"));
  HF_TRY_ASSIGN(question.context, count_member(body, "context", 0));
  HF_TRY_ASSIGN(question.parallel, count_member(body, "parallel", 1));
  HF_TRY_ASSIGN(json::Object answer, answer_fit(context, question));
  return json::Value(std::move(answer));
}

gateway::PlanAccess planner_access(const Context& context) {
  const auto own = std::make_shared<const Context>(context);
  return {[own](json::Value body) { return plan_of_request(*own, std::move(body)); },
          [own](json::Value body) { return fit_of_request(*own, body); }};
}

}  // namespace holdfast::cli
