// What is sent to an upstream, and what its refusals mean.
#pragma once

#include <string>
#include <variant>

#include "holdfast/backend/backend.h"
#include "holdfast/backend/upstream_answer.h"
#include "transfer_loop.h"

namespace holdfast::backend {

// The body and path of a generation, or why this API cannot say it.
std::variant<TransferRequest, Failure> upstream_request(const GenerateRequest& request,
                                                        const std::string& their_model);
// What may stand in its answer.
AnswerLimits answer_limits(const GenerateRequest& request);

// From an answer with another status than 200; `body` is its beginning.
Failure failure_of_status(const TransferHead& head, std::string_view body);
// From how a transfer ended. kComplete and kAborted are not failures of their own: HF_CHECK.
Failure failure_of_end(TransferEnd how);
// From what UpstreamAnswer says.
Failure failure_of_answer(const Error& error);

}  // namespace holdfast::backend
