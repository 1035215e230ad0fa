// Metrics of the gateway. Oracle: the table of names in the specification of vLLM's metrics, and
// sums by hand. The exposition as a whole is checked by promtool and prometheus_client in
// tests/metrics.
#include "gateway_fixture.h"

#include "../gateway_metrics.h"

namespace holdfast::gateway::testing_support {
namespace {

using testing::HasSubstr;
using testing::Not;

backend::Stats stats_of(backend::EngineFacts engine) { return {{std::move(engine)}, 0}; }

backend::EngineFacts engine(std::string model, std::uint64_t steps = 0) {
  backend::EngineFacts out;
  out.model = std::move(model);
  out.state = backend::ModelState::kReady;
  out.running = 2;
  out.waiting = 3;
  out.kv_usage = 0.5;
  out.weights_bytes = 10;
  out.steps = steps;
  return out;
}

backend::Finished finished(std::uint32_t prompt, std::uint32_t completion) {
  backend::Finished out;
  out.usage.prompt_tokens = prompt;
  out.usage.completion_tokens = completion;
  return out;
}

TEST(GatewayMetricsTest, EveryNameOfTheTable) {
  observe::Registry registry;
  Gateway::declare_metrics(registry);
  std::map<std::string, observe::MetricDescription> all;
  for (auto& d : registry.describe()) all.emplace(d.name, d);
  for (const char* name :
       {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc",
        "vllm:lora_requests_info", "vllm:cache_config_info"}) {
    ASSERT_TRUE(all.contains(name)) << name;
    EXPECT_EQ(all[name].kind, "gauge") << name;
  }
  for (const char* name :
       {"vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total",
        "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total",
        "vllm:num_preemptions_total", "holdfast_engine_restarts_total"}) {
    ASSERT_TRUE(all.contains(name)) << name;
    EXPECT_EQ(all[name].kind, "counter") << name;
  }
  for (const char* name :
       {"vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds",
        "vllm:time_per_output_token_seconds", "vllm:e2e_request_latency_seconds",
        "vllm:request_queue_time_seconds", "vllm:request_prefill_time_seconds",
        "vllm:request_decode_time_seconds", "vllm:request_inference_time_seconds",
        "vllm:request_prompt_tokens", "vllm:request_generation_tokens",
        "vllm:request_params_max_tokens", "vllm:iteration_tokens_total"}) {
    ASSERT_TRUE(all.contains(name)) << name;
    EXPECT_EQ(all[name].kind, "histogram") << name;
    EXPECT_GT(all[name].upper_bounds.size(), 10u) << name;
  }
  EXPECT_FALSE(all.contains("vllm:gpu_cache_usage_perc"));
}

TEST(GatewayMetricsTest, NamesCanBeOurOwn) {
  observe::Registry registry;
  MetricsOptions options;
  options.vllm_names = false;
  options.vllm_old_names = true;
  GatewayMetrics metrics(registry, options);
  metrics.finished("m", finished(5, 7), {0.1, 1}, 0, "", 0);
  const std::string text = registry.expose_text();
  EXPECT_THAT(text, Not(HasSubstr("vllm:")));
  EXPECT_THAT(text, HasSubstr("holdfast_prompt_tokens_total{model_name=\"m\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE holdfast_time_per_output_token_seconds histogram\n"));
}

TEST(GatewayMetricsTest, OldNamesOnRequest) {
  observe::Registry registry;
  MetricsOptions options;
  options.vllm_old_names = true;
  GatewayMetrics metrics(registry, options);
  metrics.refresh(stats_of(engine("m")), 0);
  EXPECT_THAT(registry.expose_text(), HasSubstr("vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.5"));
}

TEST(GatewayMetricsTest, ModelsBeyondTheLimitShareOneName) {
  observe::Registry registry;
  MetricsOptions options;
  options.model_names_max = 2;
  GatewayMetrics metrics(registry, options);
  for (const char* model : {"a", "b", "c", "d", "a"}) {
    metrics.finished(model, finished(1, 1), {}, 0, "", 0);
  }
  const std::string text = registry.expose_text();
  EXPECT_THAT(text, HasSubstr("vllm:prompt_tokens_total{model_name=\"a\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("vllm:prompt_tokens_total{model_name=\"b\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vllm:prompt_tokens_total{model_name=\"_other\"} 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("\"c\"")));
}

TEST(GatewayMetricsTest, AnUnloadedModelUsesNothing) {
  observe::Registry registry;
  GatewayMetrics metrics(registry, {});
  metrics.refresh(stats_of(engine("m")), 0);
  EXPECT_THAT(registry.expose_text(), HasSubstr("vllm:num_requests_waiting{model_name=\"m\"} 3\n"));
  metrics.refresh({}, 0);
  const std::string text = registry.expose_text();
  EXPECT_THAT(text, HasSubstr("vllm:num_requests_running{model_name=\"m\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("vllm:num_requests_waiting{model_name=\"m\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("vllm:kv_cache_usage_perc{model_name=\"m\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_engine_up{engine=\"m\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("holdfast_model_memory_bytes{")));
}

TEST(GatewayMetricsTest, PassesCarryTheirTokens) {
  observe::Registry registry;
  GatewayMetrics metrics(registry, {});
  metrics.refresh(stats_of(engine("m", 10)), 0);  // passes without an answer that ended
  EXPECT_THAT(registry.expose_text(),
              HasSubstr("vllm:iteration_tokens_total_count{model_name=\"m\"} 0\n"));
  metrics.finished("m", finished(20, 10), {}, 0, "", 0);
  metrics.refresh(stats_of(engine("m", 15)), 0);
  std::string text = registry.expose_text();
  EXPECT_THAT(text, HasSubstr("vllm:iteration_tokens_total_count{model_name=\"m\"} 15\n"));
  EXPECT_THAT(text, HasSubstr("vllm:iteration_tokens_total_sum{model_name=\"m\"} 30\n"));
  EXPECT_THAT(text, HasSubstr("vllm:iteration_tokens_total_bucket{model_name=\"m\",le=\"1\"} 0\n"));
  EXPECT_THAT(text,
              HasSubstr("vllm:iteration_tokens_total_bucket{model_name=\"m\",le=\"8\"} 15\n"));
}

class MetricsTest : public GatewayTest {};

TEST_F(MetricsTest, MirrorsOfTheEngine) {
  options_.engine_isa = "avx2";
  start();
  chat("say 1234567890123456");  // one pass for the prompt, one for each token
  const std::string text = get("/metrics").body;
  for (const char* line : {
           "vllm:cache_config_info{model_name=\"tiny:latest\",block_size=\"32\",num_gpu_blocks="
           "\"16\"} 1\n",
           "vllm:lora_requests_info{max_lora=\"0\",running_lora_adapters=\"\",waiting_lora_"
           "adapters=\"\"} 784111777\n",
           "vllm:prefix_cache_queries_total{model_name=\"tiny:latest\"} 17\n",
           "vllm:prefix_cache_hits_total{model_name=\"tiny:latest\"} 2\n",
           "vllm:num_preemptions_total{model_name=\"tiny:latest\"} 2\n",
           "holdfast_engine_slots{engine=\"tiny:latest\"} 8\n",
           "holdfast_simd_isa{isa=\"avx2\"} 1\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(MetricsTest, AcceptChoosesTheForm) {
  start();
  const auto type_for = [&](const char* accept) {
    return std::string(get("/metrics", {{"accept", accept}}).headers.get("content-type"))
        .substr(0, 16);
  };
  constexpr const char* kText = "text/plain; vers";
  constexpr const char* kOpen = "application/open";
  EXPECT_EQ(type_for("*/*"), kText);
  EXPECT_EQ(type_for("text/plain"), kText);
  EXPECT_EQ(type_for("application/openmetrics-text"), kOpen);
  // What Prometheus sends.
  EXPECT_EQ(type_for("application/openmetrics-text;version=1.0.0,application/"
                     "openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/"
                     "*;q=0.1"),
            kOpen);
  EXPECT_EQ(type_for("application/openmetrics-text;q=0.1, text/plain;q=0.5"), kText);
  EXPECT_EQ(type_for("application/openmetrics-text;q=0"), kText);
}

TEST_F(MetricsTest, PreloadedModelsAreThereBeforeTheFirstRequest) {
  options_.preload = {"cold:latest"};
  start();
  EXPECT_THAT(get("/metrics").body,
              HasSubstr("vllm:num_requests_waiting{model_name=\"cold:latest\"} 0\n"));
}

TEST_F(MetricsTest, CanBeOff) {
  options_.metrics.enabled = false;
  start();
  EXPECT_EQ(get("/metrics").status, 404);
}

}  // namespace
}  // namespace holdfast::gateway::testing_support
