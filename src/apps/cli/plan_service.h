// The planner behind the server's routes (docs/reference/http.md).
#pragma once

#include "context.h"
#include "holdfast/gateway/gateway.h"

namespace holdfast::cli {

// Answers with the models and planner files of this context, which is copied. Thread-safe.
gateway::PlanAccess planner_access(const Context& context);

// {model, context, parallel, device} of a body. kInvalidArgument names the member.
Result<json::Value> fit_of_request(const Context& context, const json::Value& body);
Result<json::Value> plan_of_request(const Context& context, json::Value body);

}  // namespace holdfast::cli
