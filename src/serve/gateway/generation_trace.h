// The spans of one generation: `chat MODEL` with the children queue, prefill and decode.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway_impl.h"

namespace holdfast::gateway {

// How a generation ended.
struct TraceEnd {
  const backend::Finished* first_run = nullptr;  // null: it did not finish
  backend::Usage usage;
  std::vector<std::string> finish_reasons;
  std::string error_code;  // empty: none
};

// Does nothing where tracing is off or the request is not sampled. Loop's thread.
class GenerationTrace {
 public:
  GenerationTrace(const Gateway::Impl& gateway, const http::Request& request,
                  const GenerationSpec& spec, const backend::ModelFacts& model,
                  std::string response_id);

  // The first run was given to the backend.
  void launched();
  // Once: the spans go to the exporter.
  void end(const TraceEnd& end);
  // What a backend passes on: of our span, or of the caller where there is none of ours.
  const std::optional<backend::TraceLink>& link() const { return link_; }
  // Lower-case hex; empty: not traced.
  const std::string& trace_id() const { return trace_id_; }

 private:
  std::int64_t unix_now_ns() const;
  void describe(const http::Request& request, const GenerationSpec& spec,
                const backend::ModelFacts& model, std::string response_id);
  observe::Span child(std::string name, std::int64_t start_ns, std::uint64_t length_ns) const;

  const Gateway::Impl& gateway_;
  observe::Span span_;
  std::string trace_id_;
  std::optional<backend::TraceLink> link_;
  std::int64_t launched_ns_ = 0;
};

}  // namespace holdfast::gateway
