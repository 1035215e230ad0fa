// The metrics that the gateway fills; metrics.def lists them.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "holdfast/backend/backend.h"
#include "holdfast/gateway/gateway.h"
#include "holdfast/observe/metrics.h"

namespace holdfast::gateway {

// What a client waited for, in seconds; below 0: it never came.
struct ClientTimes {
  double first_token_s = -1;
  double total_s = 0;
};

// Thread-safe, as the registry is, except where a function says so.
struct GatewayMetrics {
  GatewayMetrics(observe::Registry& registry, const MetricsOptions& options);

  // `model` itself, or "_other" for models beyond the limit of names.
  std::string model_label(std::string_view model);
  // One generation that ended. `trace_id` (hex) becomes the exemplar of its times; empty: none.
  void finished(std::string_view model, const backend::Finished& finished, const ClientTimes& times,
                double max_tokens, std::string_view trace_id, double unix_seconds);
  // Mirrors of the backend's state; runs before each exposition.
  void refresh(const backend::Stats& stats, double unix_seconds);
  // Refused for lack of room; the reason is one of the router's names, anything else a full queue.
  void rejected(std::string_view reason);

#define HF_METRIC(kind, member, name, labels, buckets, text) observe::Family<observe::kind>& member;
#define HF_METRIC_ALIAS(second_name, name)
#include "metrics.def"
#undef HF_METRIC
#undef HF_METRIC_ALIAS

 private:
  struct Passes {
    std::uint64_t steps = 0;
    double tokens = 0;
  };
  void refresh_engine(const backend::EngineFacts& engine);
  void refresh_passes(const std::string& model, std::uint64_t steps);
  void forget(const std::string& model);

  const std::size_t model_names_max_;
  std::mutex mutex_;  // of what follows
  std::set<std::string, std::less<>> model_names_;
  std::set<std::string> shown_engines_;
  std::map<std::string, Passes> passes_;  // when the histogram of passes was last filled
};

}  // namespace holdfast::gateway
