#include "gateway_metrics.h"

#include <algorithm>
#include <span>

namespace holdfast::gateway {
namespace {

// Above the longest context that anything served here has.
constexpr std::uint64_t kTokensBucketMax = 1'000'000;

constexpr std::string_view kVllm = "vllm:";

// Without the names of vLLM, the same metrics have our own prefix.
std::string published_name(std::string_view name, const MetricsOptions& options) {
  if (options.vllm_names || !name.starts_with(kVllm)) return std::string(name);
  return "holdfast_" + std::string(name.substr(kVllm.size()));
}

template <typename Metric>
observe::Family<Metric>& family(observe::Registry& registry, const MetricsOptions& options,
                                std::string_view name, std::string_view labels,
                                std::span<const double> buckets, std::string_view text) {
  const std::string published = published_name(name, options);
  const auto words = observe::LabelNames::words(labels);
  if constexpr (std::is_same_v<Metric, observe::Counter>) {
    return registry.counter(published, text, words);
  } else if constexpr (std::is_same_v<Metric, observe::Gauge>) {
    return registry.gauge(published, text, words);
  } else {
    return registry.histogram(published, text, buckets, words);
  }
}

// Brings a counter to what is counted elsewhere.
void follow(observe::Counter& counter, std::uint64_t count) {
  counter.add(std::max(0.0, static_cast<double>(count) - counter.value()));
}

double as_seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

}  // namespace

GatewayMetrics::GatewayMetrics(observe::Registry& r, const MetricsOptions& options)
    :
#define HF_METRIC(kind, member, name, labels, buckets, text) \
  member(family<observe::kind>(r, options, name, labels, buckets, text)),
#define HF_METRIC_ALIAS(second_name, name)
#include "metrics.def"
#undef HF_METRIC
#undef HF_METRIC_ALIAS
      model_names_max_(options.model_names_max) {
#define HF_METRIC(kind, member, name, labels, buckets, text)
#define HF_METRIC_ALIAS(second_name, name) \
  r.alias(published_name(second_name, options), published_name(name, options));
#include "metrics.def"
#undef HF_METRIC
#undef HF_METRIC_ALIAS
  if (options.vllm_names && options.vllm_old_names) {
    r.alias("vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc");
  }
}

std::string GatewayMetrics::model_label(std::string_view model) {
  const std::lock_guard lock(mutex_);
  if (!model_names_.contains(model)) {
    if (model_names_.size() >= model_names_max_) return "_other";
    model_names_.emplace(model);
  }
  return std::string(model);
}

void GatewayMetrics::finished(std::string_view name, const backend::Finished& end,
                              const ClientTimes& times, double max_tokens,
                              std::string_view trace_id, double unix_seconds) {
  const std::string model = model_label(name);
  prompt_tokens.with({model}).add(end.usage.prompt_tokens);
  generation_tokens.with({model}).add(end.usage.completion_tokens);
  // The names that vLLM has: an answer that calls tools stopped by itself.
  const bool aborted = end.reason == backend::FinishReason::kCancelled;
  const bool calls = end.reason == backend::FinishReason::kToolCalls;
  const auto reason = calls ? backend::FinishReason::kStop : end.reason;
  success.with({model, aborted ? "abort" : backend::finish_reason_name(reason)}).add();
  if (aborted) return;
  observe::Exemplar exemplar;
  const bool traced = trace_id.size() == exemplar.trace_id.size();
  std::ranges::copy(trace_id.substr(0, exemplar.trace_id.size()), exemplar.trace_id.begin());
  exemplar.unix_seconds = unix_seconds;
  const auto record = [&](observe::Family<observe::Histogram>& histograms, double value) {
    exemplar.value = value;
    if (traced) {
      histograms.with({model}).observe(exemplar);
    } else {
      histograms.with({model}).observe(value);
    }
  };
  if (times.first_token_s >= 0) record(first_token, times.first_token_s);
  record(end_to_end, times.total_s);
  record(queue_time, as_seconds(end.timings.queue_ns));
  record(prefill_time, as_seconds(end.timings.prefill_ns));
  record(decode_time, as_seconds(end.timings.decode_ns));
  record(inference_time, as_seconds(end.timings.prefill_ns + end.timings.decode_ns));
  record(request_prompt_tokens, end.usage.prompt_tokens);
  record(request_generation_tokens, end.usage.completion_tokens);
  if (max_tokens > 0) record(request_max_tokens, max_tokens);
}

void GatewayMetrics::rejected(std::string_view reason) {
  for (const std::string_view known : {"queue_wait", "standing_queue", "tenant_share", "memory"}) {
    if (reason == known) return rejections.with({known}).add();
  }
  rejections.with({"queue_full"}).add();
}

void GatewayMetrics::refresh(const backend::Stats& stats, double unix_seconds) {
  std::set<std::string> now;
  for (const backend::EngineFacts& engine : stats.engines) {
    refresh_engine(engine);
    now.insert(engine.model);
  }
  std::set<std::string> before;
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(shown_engines_, now);
  }
  for (const std::string& model : before) {
    if (!now.contains(model)) forget(model);
  }
  follow(engine_restarts.with(), stats.engine_restarts_total);
  lora_requests.with({"0", "", ""}).set(unix_seconds);
}

void GatewayMetrics::refresh_engine(const backend::EngineFacts& engine) {
  const std::string model = model_label(engine.model);
  running.with({model}).set(engine.running);
  waiting.with({model}).set(engine.waiting);
  kv_usage.with({model}).set(engine.kv_usage);
  if (engine.kv_blocks > 0) {
    cache_config
        .with({model, std::to_string(engine.kv_block_tokens), std::to_string(engine.kv_blocks)})
        .set(1);
  }
  follow(prefix_queries.with({model}), engine.prefix_queries);
  follow(prefix_hits.with({model}), engine.prefix_hits);
  follow(preemptions.with({model}), engine.preemptions);
  follow(pauses.with({model}), engine.pauses);
  follow(draft_tokens.with({model}), engine.draft_tokens);
  follow(draft_accepted.with({model}), engine.draft_accepted);
  refresh_passes(model, engine.steps);
  engine_up.with({model}).set(engine.state == backend::ModelState::kReady ? 1 : 0);
  if (engine.slots > 0) engine_slots.with({model}).set(engine.slots);
  load_seconds.with({model}).set(static_cast<double>(engine.load_ms) / 1000.0);
  memory_bytes.with({model, "weights"}).set(static_cast<double>(engine.weights_bytes));
  memory_bytes.with({model, "kv"}).set(static_cast<double>(engine.kv_bytes));
  memory_bytes.with({model, "scratch"}).set(static_cast<double>(engine.scratch_bytes));
}

// Tokens are counted when an answer ends, passes as they happen: passes wait here until there are
// tokens to share among them, so that sum and count stay right.
void GatewayMetrics::refresh_passes(const std::string& model, std::uint64_t steps) {
  const double tokens = prompt_tokens.with({model}).value() - prefix_hits.with({model}).value() +
                        generation_tokens.with({model}).value();
  observe::Histogram& histogram = iteration_tokens.with({model});
  const std::lock_guard lock(mutex_);
  Passes& last = passes_[model];
  if (steps < last.steps) last = {};  // another engine
  if (steps == last.steps || tokens <= last.tokens) return;
  const std::uint64_t passes = steps - last.steps;
  histogram.observe((tokens - last.tokens) / static_cast<double>(passes), passes);
  last = {steps, tokens};
}

// A model that was unloaded uses nothing; its counters stay.
void GatewayMetrics::forget(const std::string& name) {
  const std::string model = model_label(name);
  for (auto* gauge : {&running, &waiting, &kv_usage, &engine_up}) gauge->with({model}).set(0);
  for (const char* kind : {"weights", "kv", "scratch"}) memory_bytes.hide({model, kind});
}

}  // namespace holdfast::gateway
