#include "gateway_metrics.h"

#include <algorithm>
#include <string>

namespace holdfast::gateway {
namespace {

// Above the longest context that anything served here has.
constexpr std::uint64_t kTokensBucketMax = 1'000'000;

// Brings a counter to what is counted elsewhere.
void follow(observe::Counter& counter, std::uint64_t count) {
  counter.add(std::max(0.0, static_cast<double>(count) - counter.value()));
}

}  // namespace

GatewayMetrics::GatewayMetrics(observe::Registry& r)
    : running(r.gauge("vllm:num_requests_running", "Sequences in the batch.", {"model_name"})),
      waiting(
          r.gauge("vllm:num_requests_waiting", "Sequences waiting for a place.", {"model_name"})),
      kv_usage(r.gauge("vllm:kv_cache_usage_perc", "Part of the key-value cache in use, 0 to 1.",
                       {"model_name"})),
      prompt_tokens(r.counter("vllm:prompt_tokens_total", "Prompt tokens.", {"model_name"})),
      generation_tokens(
          r.counter("vllm:generation_tokens_total", "Tokens generated.", {"model_name"})),
      success(r.counter("vllm:request_success_total", "Generations that ended.",
                        {"model_name", "finished_reason"})),
      prefix_queries(
          r.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up.", {"model_name"})),
      prefix_hits(
          r.counter("vllm:prefix_cache_hits_total", "Prompt tokens found.", {"model_name"})),
      draft_tokens(r.counter("vllm:spec_decode_num_draft_tokens_total",
                             "Tokens guessed ahead and checked.", {"model_name"})),
      draft_accepted(r.counter("vllm:spec_decode_num_accepted_tokens_total",
                               "Tokens guessed ahead that the model then chose.", {"model_name"})),
      first_token(r.histogram("vllm:time_to_first_token_seconds",
                              "From the request to the first token.",
                              observe::first_token_seconds_buckets(), {"model_name"})),
      inter_token(r.histogram("vllm:inter_token_latency_seconds", "Between two tokens.",
                              observe::inter_token_seconds_buckets(), {"model_name"})),
      end_to_end(r.histogram("vllm:e2e_request_latency_seconds",
                             "From the request to the last token.",
                             observe::request_seconds_buckets(), {"model_name"})),
      queue_time(r.histogram("vllm:request_queue_time_seconds", "Waiting for a place in the batch.",
                             observe::first_token_seconds_buckets(), {"model_name"})),
      prefill_time(r.histogram("vllm:request_prefill_time_seconds", "Reading the prompt.",
                               observe::first_token_seconds_buckets(), {"model_name"})),
      decode_time(r.histogram("vllm:request_decode_time_seconds", "Generating.",
                              observe::request_seconds_buckets(), {"model_name"})),
      inference_time(r.histogram("vllm:request_inference_time_seconds",
                                 "Reading the prompt and generating.",
                                 observe::request_seconds_buckets(), {"model_name"})),
      request_prompt_tokens(r.histogram("vllm:request_prompt_tokens", "Prompt tokens per request.",
                                        observe::request_tokens_buckets(kTokensBucketMax),
                                        {"model_name"})),
      request_generation_tokens(
          r.histogram("vllm:request_generation_tokens", "Generated tokens per request.",
                      observe::request_tokens_buckets(kTokensBucketMax), {"model_name"})),
      request_max_tokens(
          r.histogram("vllm:request_params_max_tokens", "max_tokens of requests that set it.",
                      observe::request_tokens_buckets(kTokensBucketMax), {"model_name"})),
      engine_up(
          r.gauge("holdfast_engine_up", "1 while the engine of a model answers.", {"engine"})),
      engine_restarts(
          r.gauge("holdfast_engine_restarts_total", "Engines started again after a crash.")),
      load_seconds(
          r.gauge("holdfast_model_load_seconds", "Time the last load took.", {"model_name"})),
      memory_bytes(r.gauge("holdfast_model_memory_bytes", "Memory of a loaded model.",
                           {"model_name", "kind"})),
      build_info(r.gauge("holdfast_build_info", "1; the labels say what runs.",
                         {"version", "commit", "isa"})),
      errors(r.counter("holdfast_errors_total", "Errors answered.", {"code"})),
      rejections(r.counter("holdfast_admission_rejections_total",
                           "Requests refused for lack of room.", {"reason"})),
      http_requests(
          r.counter("http_requests_total", "Requests answered.", {"handler", "method", "status"})),
      http_seconds(r.histogram("http_request_duration_seconds", "Time to the last byte.",
                               observe::http_seconds_buckets(), {"handler"})) {}

void GatewayMetrics::finished(std::string_view model, const backend::Finished& end,
                              double first_token_s, double total_s, double max_tokens) {
  const auto seconds = [](std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; };
  prompt_tokens.with({model}).add(end.usage.prompt_tokens);
  generation_tokens.with({model}).add(end.usage.completion_tokens);
  prefix_queries.with({model}).add(end.usage.prompt_tokens);
  prefix_hits.with({model}).add(end.usage.cached_tokens);
  // The name that vLLM has for it.
  const bool aborted = end.reason == backend::FinishReason::kCancelled;
  success.with({model, aborted ? "abort" : backend::finish_reason_name(end.reason)}).add();
  if (aborted) return;
  if (first_token_s >= 0) first_token.with({model}).observe(first_token_s);
  end_to_end.with({model}).observe(total_s);
  queue_time.with({model}).observe(seconds(end.timings.queue_ns));
  prefill_time.with({model}).observe(seconds(end.timings.prefill_ns));
  decode_time.with({model}).observe(seconds(end.timings.decode_ns));
  inference_time.with({model}).observe(seconds(end.timings.prefill_ns + end.timings.decode_ns));
  request_prompt_tokens.with({model}).observe(end.usage.prompt_tokens);
  request_generation_tokens.with({model}).observe(end.usage.completion_tokens);
  if (max_tokens > 0) request_max_tokens.with({model}).observe(max_tokens);
}

void GatewayMetrics::refresh(const backend::Stats& stats) {
  for (const backend::EngineFacts& engine : stats.engines) {
    running.with({engine.model}).set(engine.running);
    waiting.with({engine.model}).set(engine.waiting);
    kv_usage.with({engine.model}).set(engine.kv_usage);
    follow(draft_tokens.with({engine.model}), engine.draft_tokens);
    follow(draft_accepted.with({engine.model}), engine.draft_accepted);
    engine_up.with({engine.model}).set(engine.state == backend::ModelState::kReady ? 1 : 0);
    load_seconds.with({engine.model}).set(static_cast<double>(engine.load_ms) / 1000.0);
    memory_bytes.with({engine.model, "weights"}).set(static_cast<double>(engine.weights_bytes));
    memory_bytes.with({engine.model, "kv"}).set(static_cast<double>(engine.kv_bytes));
    memory_bytes.with({engine.model, "scratch"}).set(static_cast<double>(engine.scratch_bytes));
  }
  engine_restarts.with().set(static_cast<double>(stats.engine_restarts_total));
}

}  // namespace holdfast::gateway
