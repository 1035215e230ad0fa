// The metrics that the gateway fills. Names follow vLLM where it has one, so that dashboards and
// scalers work.
#pragma once

#include <string_view>

#include "holdfast/backend/backend.h"
#include "holdfast/observe/metrics.h"

namespace holdfast::gateway {

// Thread-safe, as the registry is.
struct GatewayMetrics {
  explicit GatewayMetrics(observe::Registry& registry);

  // One generation that ended, with what its client waited for.
  void finished(std::string_view model, const backend::Finished& finished, double first_token_s,
                double total_s, double max_tokens);
  // Mirrors of the backend's state; runs before each exposition.
  void refresh(const backend::Stats& stats);

  observe::Family<observe::Gauge>& running;
  observe::Family<observe::Gauge>& waiting;
  observe::Family<observe::Gauge>& kv_usage;
  observe::Family<observe::Counter>& prompt_tokens;
  observe::Family<observe::Counter>& generation_tokens;
  observe::Family<observe::Counter>& success;
  observe::Family<observe::Counter>& prefix_queries;
  observe::Family<observe::Counter>& prefix_hits;
  observe::Family<observe::Counter>& draft_tokens;
  observe::Family<observe::Counter>& draft_accepted;
  observe::Family<observe::Histogram>& first_token;
  observe::Family<observe::Histogram>& inter_token;
  observe::Family<observe::Histogram>& end_to_end;
  observe::Family<observe::Histogram>& queue_time;
  observe::Family<observe::Histogram>& prefill_time;
  observe::Family<observe::Histogram>& decode_time;
  observe::Family<observe::Histogram>& inference_time;
  observe::Family<observe::Histogram>& request_prompt_tokens;
  observe::Family<observe::Histogram>& request_generation_tokens;
  observe::Family<observe::Histogram>& request_max_tokens;
  observe::Family<observe::Gauge>& engine_up;
  observe::Family<observe::Gauge>& engine_restarts;
  observe::Family<observe::Gauge>& load_seconds;
  observe::Family<observe::Gauge>& memory_bytes;
  observe::Family<observe::Gauge>& build_info;
  observe::Family<observe::Counter>& errors;
  observe::Family<observe::Counter>& rejections;
  observe::Family<observe::Counter>& http_requests;
  observe::Family<observe::Histogram>& http_seconds;
};

}  // namespace holdfast::gateway
