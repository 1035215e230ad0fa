// Everything but generation: models, tokens, health, metrics, management, headers.
#include "gateway_fixture.h"

namespace holdfast::gateway::testing_support {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

class RoutesTest : public GatewayTest {};

TEST_F(RoutesTest, ModelsAndTheirIds) {
  start();
  const Answer list = get("/v1/models");
  ASSERT_EQ(list.status, 200);
  EXPECT_EQ(list.json.find("object")->as_string(), "list");
  const json::Array& data = list.json.find("data")->as_array();
  ASSERT_EQ(data.size(), 4u);
  EXPECT_EQ(data[0].find("id")->as_string(), "tiny:latest");
  EXPECT_EQ(data[1].find("id")->as_string(), "t");
  EXPECT_EQ(data[0].find("object")->as_string(), "model");
  EXPECT_EQ(data[0].find("context_length")->as_int(), 64);
  EXPECT_EQ(data[0].find("state")->as_string(), "ready");
  EXPECT_EQ(data[3].find("state")->as_string(), "cold");
  EXPECT_EQ(data[0].find("name"), nullptr);
  for (const char* path : {"/models", "//v1/models", "/v1/models/", "/v1//models"})
    EXPECT_EQ(get(path).body, list.body);
  for (const char* path :
       {"/v1/models/org/name:q4", "/v1/models/org%2Fname%3Aq4", "/models/org/name:q4"}) {
    const Answer one = get(path);
    EXPECT_EQ(one.status, 200) << path;
    EXPECT_EQ(one.json.find("id")->as_string(), "org/name:q4");
  }
  EXPECT_EQ(get("/v1/models/tiny").status, 200);
  EXPECT_EQ(get("/v1/models/t").json.find("id")->as_string(), "t");
}

TEST_F(RoutesTest, HeadersOfEveryAnswer) {
  start();
  for (const char* path : {"/v1/models", "/livez", "/nothing", "/metrics", "/readyz"}) {
    const Answer answer = get(path);
    EXPECT_THAT(std::string(answer.headers.get("x-request-id")), MatchesRegex("req_[0-9a-f]{32}"))
        << path;
    EXPECT_THAT(std::string(answer.headers.get("openai-processing-ms")), MatchesRegex("[0-9]+"));
    EXPECT_EQ(answer.headers.get("date"),
              "Sun, 06 Nov 1994 08:49:37 GMT");  // the example of RFC 9110
    EXPECT_EQ(answer.headers.get("openai-version"), "2020-10-01");
    EXPECT_EQ(answer.headers.get("x-content-type-options"), "nosniff");
  }
  EXPECT_EQ(get("/livez", {{"X-Request-Id", "mine-1"}}).headers.get("x-request-id"), "mine-1");
  const Answer preflight =
      ask("OPTIONS", "/v1/chat/completions", {},
          {{"Origin", "https://app.example"}, {"Access-Control-Request-Method", "POST"}});
  EXPECT_EQ(preflight.status, 204);
  EXPECT_THAT(std::string(preflight.headers.get("access-control-allow-headers")),
              HasSubstr("x-stainless-os"));
  EXPECT_EQ(preflight.headers.get("access-control-allow-origin"), "https://app.example");
}

TEST_F(RoutesTest, TokensBothWays) {
  start();
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"tiny","content":"ab"})").body,
            R"({"tokens":[197,198]})");
  EXPECT_EQ(ask("POST", "/v1/tokenize", R"({"model":"tiny","content":"ab"})").status, 404);
  EXPECT_EQ(ask("POST", "/tokenize",
                R"({"model":"tiny","content":"a","add_special":true,"with_pieces":true})")
                .body,
            R"({"tokens":[{"id":1,"piece":"<s>"},{"id":197,"piece":"a"}]})");
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"tiny","content":"ö","with_pieces":true})").body,
            R"({"tokens":[{"id":295,"piece":[195]},{"id":282,"piece":[182]}]})");
  EXPECT_EQ(ask("POST", "/detokenize", R"({"model":"tiny","tokens":[197,198.0]})").body,
            R"({"content":"ab"})");
  EXPECT_EQ(ask("POST", "/detokenize", R"({"model":"tiny","tokens":["a"]})").error("param"),
            "tokens");
  EXPECT_EQ(ask("POST", "/detokenize", R"({"model":"tiny","tokens":[1000]})").status, 400);
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"tiny"})").error("code"), "missing_parameter");
  EXPECT_EQ(ask("POST", "/tokenize", R"({"model":"tiny","content":5})").error("param"), "content");
  // Three models: which one is meant must be said.
  EXPECT_EQ(ask("POST", "/tokenize", R"({"content":"ab"})").error("param"), "model");
}

TEST_F(RoutesTest, ApplyTemplateNormalisesMessages) {
  options_.default_model = "tiny:latest";
  start();
  const Answer answer = ask("POST", "/apply-template", R"({"messages":[
      {"role":"developer","content":"be brief"},
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},
      {"role":"tool","tool_call_id":"1","content":"42"}],
      "chat_template_kwargs":{"enable_thinking":false}})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json.find("prompt")->as_string(),
            "<system>be brief<user>a\nb<assistant><tool>42{\"enable_thinking\":false}null");
}

TEST_F(RoutesTest, HealthAndReadiness) {
  options_.preload = {"tiny:latest"};
  start();
  EXPECT_EQ(get("/health").body, R"({"status":"ok"})");
  EXPECT_EQ(get("/healthz").body, R"({"status":"ok","sealed":false})");
  EXPECT_EQ(get("/livez").status, 200);
  EXPECT_EQ(get("/startupz").status, 200);
  EXPECT_EQ(get("/readyz").body, "ok\n");
  on_loop([&] {
    gateway_->set_readiness([] {
      return std::vector<std::pair<std::string, bool>>{{"store", true}, {"audit", false}};
    });
  });
  const Answer bad = get("/readyz?verbose");
  EXPECT_EQ(bad.status, 503);
  EXPECT_EQ(bad.body, "[+]not-draining ok\n[+]store ok\n[-]audit failed\nnot ready\n");
  EXPECT_EQ(get("/readyz").body, "[-]audit failed\n");
  on_loop([&] {
    gateway_->set_readiness({});
    gateway_->set_degraded({"landlock"});
  });
  const Answer degraded = get("/readyz?verbose");
  EXPECT_EQ(degraded.status, 200);
  EXPECT_EQ(degraded.body, "[+]not-draining ok\n[!]sandbox degraded: landlock\nok\n");
  EXPECT_EQ(get("/readyz").body, "ok\n");
  EXPECT_EQ(get("/v2/models/tiny/ready").status, 200);
  EXPECT_EQ(get("/v2/models/cold/ready").status, 503);
  EXPECT_EQ(get("/v2/models/none/ready").status, 404);
  EXPECT_EQ(get("/version").json.find("version")->as_string(), "0.0.0");
}

TEST_F(RoutesTest, HealthWaitsForModelsLoadedAtStart) {
  options_.preload = {"cold"};
  start();
  const Answer answer = get("/health");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(
      answer.body,
      R"({"error":{"message":"Loading model","type":"unavailable_error","param":null,"code":"model_loading"}})");
  EXPECT_EQ(ask("POST", "/holdfast/v1/models/cold:latest/load", R"({"keep_alive":"5m"})").status,
            200);
  EXPECT_EQ(get("/health").status, 200);
  EXPECT_EQ(ask("POST", "/holdfast/v1/models/cold:latest/unload").status, 200);
  EXPECT_EQ(get("/health").status, 503);
}

// Whoever asks: only the command has a way out.
TEST_F(RoutesTest, PullsAreRefused) {
  start();
  for (const char* path : {"/api/pull", "/holdfast/v1/pulls"}) {
    const auto refused = ask("POST", path, "{\"model\": \"x\"}");
    EXPECT_EQ(refused.status, 403);
    EXPECT_NE(refused.body.find("holdfast pull"), std::string::npos) << path;
  }
}

TEST_F(RoutesTest, ManagementLists) {
  start();
  const Answer models = get("/holdfast/v1/models");
  ASSERT_EQ(models.json.find("data")->as_array().size(), 3u);
  EXPECT_EQ(models.json.find("data")->as_array()[0].find("aliases")->as_array().size(), 1u);
  EXPECT_FALSE(models.json.find("has_more")->as_bool());
  EXPECT_EQ(get("/holdfast/v1/models/org/name:q4").json.find("architecture")->as_string(), "llama");
  const Answer engines = get("/holdfast/v1/engines");
  EXPECT_EQ(engines.json.find("data")->as_array()[0].find("pid")->as_int(), 4242);
  EXPECT_EQ(ask("POST", "/holdfast/v1/models/none/load").status, 404);
  EXPECT_EQ(ask("POST", "/holdfast/v1/models/tiny/load", R"({"keep_alive":[]})").status, 400);
  EXPECT_EQ(get("/holdfast/v1/models/tiny/load").status, 405);
}

TEST_F(RoutesTest, ColdModelIsRefusedWhenTheClientWillNotWait) {
  start();
  const std::string body = R"({"model":"cold","messages":[{"role":"user","content":"hi"}]})";
  const Answer refused = ask("POST", "/v1/chat/completions", body, {{"x-holdfast-wait-load", "0"}});
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.error("code"), "model_loading");
  const json::Value* loading = refused.json.find("error")->find("loading");
  ASSERT_NE(loading, nullptr);
  EXPECT_EQ(loading->find("state")->as_string(), "verifying");
  EXPECT_EQ(loading->find("progress")->as_double(), 0.25);
  EXPECT_EQ(loading->find("eta_s")->as_int(), 3);
  EXPECT_EQ(refused.headers.get("retry-after"), "3");
  EXPECT_EQ(ask("POST", "/v1/chat/completions", body, {{"x-holdfast-wait-load", "0"}}).status,
            200);  // it was loaded
}

TEST_F(RoutesTest, MetricsCountWhatHappened) {
  start();
  chat("hi");
  chat("hi", R"(,"max_tokens":2)");
  chat("hi", R"(,"n":99)");
  // A request is counted after its last byte, which its client may see first.
  Answer answer;
  ASSERT_TRUE(eventually([&] {
    const bool idle = fake_.running() == 0;
    answer = get("/metrics");
    return idle && answer.body.find("status=\"400\"} 1\n") != std::string::npos &&
           answer.body.find("status=\"200\"} 2\n") != std::string::npos;
  }));
  EXPECT_EQ(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  for (const char* line : {
           "vllm:prompt_tokens_total{model_name=\"tiny:latest\"} 2\n",
           "vllm:generation_tokens_total{model_name=\"tiny:latest\"} 8\n",
           "vllm:request_success_total{model_name=\"tiny:latest\",finished_reason=\"stop\"} 1\n",
           "vllm:request_success_total{model_name=\"tiny:latest\",finished_reason=\"length\"} 1\n",
           "vllm:time_to_first_token_seconds_count{model_name=\"tiny:latest\"} 2\n",
           "vllm:inter_token_latency_seconds_count{model_name=\"tiny:latest\"} 6\n",
           "vllm:e2e_request_latency_seconds_count{model_name=\"tiny:latest\"} 2\n",
           "vllm:request_params_max_tokens_count{model_name=\"tiny:latest\"} 1\n",
           "vllm:kv_cache_usage_perc{model_name=\"tiny:latest\"} 0.5\n",
           "vllm:num_requests_running{model_name=\"tiny:latest\"} 0\n",
           "vllm:spec_decode_num_draft_tokens_total{model_name=\"tiny:latest\"} 40\n",
           "vllm:spec_decode_num_accepted_tokens_total{model_name=\"tiny:latest\"} 30\n",
           "holdfast_engine_up{engine=\"tiny:latest\"} 1\n",
           "holdfast_engine_restarts_total 3\n",
           "holdfast_errors_total{code=\"invalid_value\"} 1\n",
           "http_requests_total{handler=\"/v1/chat/completions\",method=\"POST\",status=\"200\"} "
           "2\n",
           "http_requests_total{handler=\"/v1/chat/completions\",method=\"POST\",status=\"400\"} "
           "1\n",
       }) {
    EXPECT_THAT(answer.body, HasSubstr(line));
  }
}

TEST_F(RoutesTest, LogsHaveIdsAndNoText) {
  start();
  ask("POST", "/v1/chat/completions", chat_body("say SECRETANSWER"), {{"x-request-id", "find-me"}});
  complete("\"SECRETPROMPT\"");
  get("/v1/SECRETPATH?SECRETQUERY=1");
  ASSERT_TRUE(eventually([&] { return sink_.text().find("status=404") != std::string::npos; }));
  EXPECT_THAT(sink_.text(), HasSubstr("find-me"));
  EXPECT_THAT(sink_.text(), HasSubstr("/v1/chat/completions"));
  EXPECT_THAT(sink_.text(), Not(HasSubstr("SECRET")));
}

}  // namespace
}  // namespace holdfast::gateway::testing_support
