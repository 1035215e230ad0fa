#include "../engine_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::backend {
namespace {

using testing::ElementsAre;
using testing::Pair;

std::vector<observe::ScrapedFamily> shown(std::string_view text,
                                          std::map<std::string, std::string, std::less<>> models) {
  return engine_metrics(*observe::parse_exposition(text), "gpu", models);
}

// What llama-server b6000 and later shows (tools/server/server.cpp).
TEST(EngineMetrics, LlamaServerInTheNamesThatDashboardsKnow) {
  const auto out = shown(R"(# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 18
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 8
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 1
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 2
# TYPE llamacpp:kv_cache_usage_ratio gauge
llamacpp:kv_cache_usage_ratio 0.5
# TYPE llamacpp:n_decode_total counter
llamacpp:n_decode_total 9
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 3
)",
                         {{"smol", "llama/smol"}});
  std::vector<std::string> names;
  for (const auto& family : out) names.push_back(family.name);
  EXPECT_THAT(names, ElementsAre("vllm:prompt_tokens_total", "vllm:generation_tokens_total",
                                 "vllm:num_requests_running", "vllm:num_requests_waiting",
                                 "vllm:kv_cache_usage_perc", "llamacpp:n_decode_total"));
  EXPECT_EQ(out[0].samples[0].value, 18);
  EXPECT_THAT(out[0].samples[0].labels,
              ElementsAre(Pair("backend", "gpu"), Pair("model", "llama/smol")));
}

TEST(EngineMetrics, ModelsHaveOurNames) {
  const auto out = shown(R"(vllm:a{model_name="big",engine="0"} 1
vllm:a{model_name="other"} 2
vllm:a{backend="x",model="small"} 3
)",
                         {{"big", "our/big"}, {"small", "our/small"}});
  const auto& samples = out.at(0).samples;
  EXPECT_THAT(samples[0].labels, ElementsAre(Pair("model_name", "big"), Pair("engine", "0"),
                                             Pair("backend", "gpu"), Pair("model", "our/big")));
  EXPECT_EQ(samples[1].labels.back().second, "");
  EXPECT_THAT(samples[2].labels, ElementsAre(Pair("backend", "gpu"), Pair("model", "our/small")));
}

}  // namespace
}  // namespace holdfast::backend
