#include "holdfast/backend/backend.h"

namespace holdfast::backend {

std::string_view model_state_name(ModelState state) {
  switch (state) {
    case ModelState::kCold:
      return "cold";
    case ModelState::kLoading:
      return "loading";
    case ModelState::kReady:
      return "ready";
    case ModelState::kFailed:
      return "failed";
  }
  return "unknown";
}

std::string_view priority_name(Priority priority) {
  switch (priority) {
    case Priority::kRealtime:
      return "realtime";
    case Priority::kInteractive:
      return "interactive";
    case Priority::kBatch:
      return "batch";
  }
  return "unknown";
}

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kContentFilter:
      return "content_filter";
    case FinishReason::kToolCalls:
      return "tool_calls";
  }
  return "unknown";
}

bool is_constrained(const GenerateRequest& request) {
  if (!request.response_format.is_null()) return true;
  const auto* chat = std::get_if<ChatPrompt>(&request.prompt);
  if (chat == nullptr || chat->tools.is_null()) return false;
  return chat->tool_choice.is_object() || chat->tool_choice == json::Value("required") ||
         (chat->parallel_tool_calls == false && chat->tool_choice != json::Value("none"));
}

}  // namespace holdfast::backend
