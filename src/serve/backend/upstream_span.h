// The span of kind CLIENT of one request to an upstream, and the headers that tell the upstream of
// it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "holdfast/backend/backend.h"
#include "holdfast/backend/upstream_answer.h"
#include "holdfast/backend/upstream_backend.h"
#include "transfer_loop.h"

namespace holdfast::backend {

// Thread-compatible: made by the caller of generate(), then of the thread of the transfer.
class UpstreamSpan {
 public:
  UpstreamSpan(const GenerateRequest& request, std::string their_model, UpstreamTracing tracing);

  // traceparent and tracestate; none where the request stands in no trace.
  std::vector<std::pair<std::string, std::string>> headers() const;

  // Once, when the transfer has ended; `error` is what error.type says, empty: none. A request that
  // was never sent has no span. `unix_path` is that of the upstream, if it has one.
  void end(const TransferHead& head, const std::string& unix_path, const UpstreamAnswer& answer,
           std::string error);

 private:
  const UpstreamTracing tracing_;
  const std::optional<TraceLink> link_;
  const std::string model_;
  const bool chat_;
  std::optional<observe::SpanId> span_id_;  // of a span of ours
};

// For error.type: the status where there is one, else the code that the API has for it.
std::string error_type(const TransferHead& head, const Failure& failure);

}  // namespace holdfast::backend
