// Whole answers of /v1/chat/completions and /v1/completions, and what the backend was asked for.
#include <cmath>

#include "gateway_fixture.h"

namespace holdfast::gateway::testing_support {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;

class GenerationTest : public GatewayTest {
 protected:
  static const json::Value& choice(const Answer& answer, std::size_t i) {
    return answer.json.find("choices")->as_array().at(i);
  }
  static std::string text(const Answer& answer, std::size_t i = 0) {
    const json::Value& c = choice(answer, i);
    const json::Value* message = c.find("message");
    return (message == nullptr ? c.find("text") : message->find("content"))->as_string();
  }
  static std::string reason(const Answer& answer, std::size_t i = 0) {
    return choice(answer, i).find("finish_reason")->as_string();
  }
};

const std::string kAnswer = "Hello, wörld 🌍!";

TEST_F(GenerationTest, ChatBodyIsComplete) {
  start();
  const Answer answer = chat("hi");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_THAT(answer.json.find("id")->as_string(), MatchesRegex("chatcmpl-[a-z2-7]{32}"));
  EXPECT_EQ(answer.json.find("object")->as_string(), "chat.completion");
  EXPECT_TRUE(answer.json.find("created")->is_int());
  EXPECT_EQ(answer.json.find("model")->as_string(), "tiny:latest");
  EXPECT_THAT(answer.json.find("system_fingerprint")->as_string(), MatchesRegex("fp_[0-9a-f]{16}"));
  EXPECT_EQ(text(answer), kAnswer);
  EXPECT_EQ(reason(answer), "stop");
  const json::Value* message = choice(answer, 0).find("message");
  EXPECT_EQ(message->find("role")->as_string(), "assistant");
  EXPECT_TRUE(message->find("refusal")->is_null());
  EXPECT_TRUE(choice(answer, 0).find("logprobs")->is_null());
  EXPECT_EQ(
      json::write(*answer.json.find("usage")),
      R"({"prompt_tokens":1,"completion_tokens":6,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":0},)"
      R"("completion_tokens_details":{"reasoning_tokens":0}})");
  // Ids differ, the fingerprint does not.
  const Answer other = chat("hi");
  EXPECT_NE(other.json.find("id")->as_string(), answer.json.find("id")->as_string());
  EXPECT_EQ(other.json.find("system_fingerprint")->as_string(),
            answer.json.find("system_fingerprint")->as_string());
}

TEST_F(GenerationTest, ModelIsGivenBackAsRequested) {
  options_.default_model = "tiny";
  start();
  const std::string messages = R"("messages":[{"role":"user","content":"hi"}])";
  EXPECT_EQ(ask("POST", "/chat/completions", R"({"model":"t",)" + messages + "}")
                .json.find("model")
                ->as_string(),
            "t");
  EXPECT_EQ(ask("POST", "/chat/completions", "{" + messages + "}").json.find("model")->as_string(),
            "tiny:latest");
  EXPECT_EQ(fake_.requests().front().model, "tiny:latest");
}

TEST_F(GenerationTest, RequestReachesTheBackend) {
  start();
  chat(
      "hi",
      R"(,"temperature":0.5,"top_p":0.9,"top_k":40,"min_p":0.1,"typical_p":0.8,"presence_penalty":1,)"
      R"("frequency_penalty":-1,"repetition_penalty":1.1,"repeat_last_n":32,"seed":11,"stop":["a","b"],)"
      R"("max_tokens":7,"max_completion_tokens":5,"logit_bias":{"5":-100},"ignore_eos":true,"logprobs":true,)"
      R"("top_logprobs":3,"keep_alive":"5m","tools":[{"type":"function","function":{"name":"f"}}],)"
      R"("reasoning_effort":"low")");
  ASSERT_EQ(fake_.requests().size(), 1u);
  const backend::GenerateRequest r = fake_.requests().front();
  EXPECT_EQ(r.sampling.temperature, 0.5);
  EXPECT_EQ(r.sampling.top_p, 0.9);
  EXPECT_EQ(r.sampling.top_k, 40);
  EXPECT_EQ(r.sampling.min_p, 0.1);
  EXPECT_EQ(r.sampling.typical_p, 0.8);
  EXPECT_EQ(r.sampling.presence_penalty, 1);
  EXPECT_EQ(r.sampling.frequency_penalty, -1);
  EXPECT_EQ(r.sampling.repeat_penalty, 1.1);
  EXPECT_EQ(r.sampling.repeat_last_n, 32);
  EXPECT_EQ(r.sampling.seed, 11);
  EXPECT_TRUE(r.sampling.ignore_eos);
  EXPECT_THAT(r.sampling.logit_bias, ElementsAre(std::pair<std::int32_t, float>(5, -100.0f)));
  EXPECT_THAT(r.stop, ElementsAre("a", "b"));
  EXPECT_EQ(r.max_tokens, 5u);
  EXPECT_TRUE(r.want_logprobs);
  EXPECT_EQ(r.top_logprobs, 3u);
  EXPECT_EQ(r.keep_alive, std::chrono::minutes(5));
  const auto& prompt = std::get<backend::ChatPrompt>(r.prompt);
  EXPECT_EQ(prompt.tools.as_array().size(), 1u);
  EXPECT_EQ(prompt.template_arguments.find("reasoning_effort")->as_string(), "low");
}

TEST_F(GenerationTest, ToolChoicesAndFormatsReachAModelThatCanBeHeldToThem) {
  start();
  const auto prompt_of = [&](const std::string& more) {
    const Answer answer =
        ask("POST", "/v1/chat/completions",
            R"({"model":"org/name:q4","messages":[{"role":"user","content":"hi"}],)" + more + "}");
    EXPECT_EQ(answer.status, 200) << more << answer.body;
    return std::get<backend::ChatPrompt>(fake_.requests().back().prompt);
  };
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  EXPECT_TRUE(prompt_of(R"("tool_choice":"auto")").tool_choice.is_null());
  EXPECT_TRUE(prompt_of(tools).tool_choice.is_null());
  EXPECT_FALSE(prompt_of(tools).parallel_tool_calls);
  EXPECT_EQ(prompt_of(tools + R"(,"parallel_tool_calls":true)").parallel_tool_calls, true);
  EXPECT_EQ(prompt_of(tools + R"(,"parallel_tool_calls":false)").parallel_tool_calls, false);
  for (const char* choice : {R"("none")", R"("auto")", R"("required")",
                             R"({"type":"function","function":{"name":"f"}})"}) {
    EXPECT_EQ(json::write(prompt_of(tools + R"(,"tool_choice":)" + choice).tool_choice), choice);
  }
  const auto older = prompt_of(R"("functions":[{"name":"f"}],"function_call":{"name":"f"})");
  EXPECT_EQ(json::write(older.tool_choice), R"({"type":"function","function":{"name":"f"}})");
  EXPECT_EQ(older.parallel_tool_calls, false);
  prompt_of(R"("response_format":{"type":"text"})");
  EXPECT_TRUE(fake_.requests().back().response_format.is_null());
  for (
      const char* format :
      {R"({"type":"json_object"})",
       R"({"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object"}}})"}) {
    prompt_of(R"("response_format":)" + std::string(format));
    EXPECT_EQ(json::write(fake_.requests().back().response_format), format);
  }
}

TEST_F(GenerationTest, HistoryOfToolCallsIsPassedOnAsTheApiHasIt) {
  start();
  const Answer answer = ask("POST", "/v1/chat/completions", R"({"model":"t","messages":[
      {"role":"user","content":"hi"},
      {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
        "function":{"name":"f","arguments":"{\"x\": 12345678901234567890}"}}]},
      {"role":"tool","tool_call_id":"1","content":"42"},
      {"role":"assistant","function_call":{"name":"g","arguments":{"y":2}}},
      {"role":"function","name":"g","content":"43"}]})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const auto sent = std::get<backend::ChatPrompt>(fake_.requests().back().prompt);
  const json::Array& messages = sent.messages.as_array();
  EXPECT_EQ(
      json::write(messages[1]),
      R"({"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f",)"
      R"("arguments":"{\"x\": 12345678901234567890}"}}],"content":""})");
  EXPECT_EQ(json::write(messages[2]), R"({"role":"tool","content":"42","tool_call_id":"1"})");
  EXPECT_EQ(json::write(messages[3]),
            R"({"role":"assistant","tool_calls":[{"type":"function","function":{"name":"g",)"
            R"("arguments":"{\"y\":2}"}}],"content":""})");
  EXPECT_EQ(json::write(messages[4]), R"({"role":"tool","content":"43","name":"g"})");
}

TEST_F(GenerationTest, ToolCallsStandInTheMessage) {
  start();
  const json::Value choice = chat("calls").json.find("choices")->as_array().at(0);
  EXPECT_EQ(choice.find("finish_reason")->as_string(), "tool_calls");
  const json::Value& message = *choice.find("message");
  EXPECT_TRUE(message.find("content")->is_null());
  const json::Array& calls = message.find("tool_calls")->as_array();
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(
      json::write(calls[0]),
      R"({"id":"a1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Köln\"}"}})");
  EXPECT_EQ(json::write(*calls[1].find("function")), R"({"name":"time","arguments":"{}"})");
  EXPECT_THAT(calls[1].find("id")->as_string(), testing::MatchesRegex("call_[a-z2-7]{32}"));
  EXPECT_THAT(get("/metrics").body,
              testing::HasSubstr(R"(vllm:request_success_total{model_name="tiny:latest",)"
                                 R"(finished_reason="stop"} 1)"));
  const std::string functions = R"(,"functions":[{"name":"weather"}])";
  const json::Value older = chat("calls", functions).json.find("choices")->as_array().at(0);
  EXPECT_EQ(older.find("finish_reason")->as_string(), "function_call");
  EXPECT_EQ(json::write(*older.find("message")->find("function_call")),
            R"({"name":"weather","arguments":"{\"city\":\"Köln\"}"})");
  EXPECT_EQ(older.find("message")->find("tool_calls"), nullptr);
}

TEST_F(GenerationTest, DefaultsAreThoseOfTheApi) {
  start();
  chat("hi");
  const backend::GenerateRequest r = fake_.requests().front();
  EXPECT_EQ(r.sampling.temperature, 1.0);
  EXPECT_EQ(r.sampling.top_p, 1.0);
  EXPECT_EQ(r.sampling.top_k, 0);
  EXPECT_EQ(r.sampling.repeat_penalty, 1.0);
  EXPECT_FALSE(r.sampling.seed.has_value());
  EXPECT_FALSE(r.max_tokens.has_value());
  EXPECT_FALSE(r.want_logprobs);
}

TEST_F(GenerationTest, LengthAndStop) {
  start();
  const Answer cut = chat("hi", R"(,"max_tokens":2)");
  EXPECT_EQ(text(cut), "Hello,");
  EXPECT_EQ(reason(cut), "length");
  // Begins in one token and ends in the next.
  const Answer stopped = chat("say abcdef", R"(,"stop":["zz","cde"])");
  EXPECT_EQ(text(stopped), "ab");
  EXPECT_EQ(reason(stopped), "stop");
}

TEST_F(GenerationTest, SeveralChoicesAndSeeds) {
  start();
  const Answer answer = chat("hi", R"(,"n":3,"seed":40)");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(text(answer, static_cast<std::size_t>(i)), kAnswer + " #" + std::to_string(40 + i));
    EXPECT_EQ(choice(answer, static_cast<std::size_t>(i)).find("index")->as_int(), i);
  }
  EXPECT_EQ(answer.json.find("usage")->find("prompt_tokens")->as_int(), 1);
  EXPECT_EQ(answer.json.find("usage")->find("completion_tokens")->as_int(), 21);
}

TEST_F(GenerationTest, ManyPromptsAreRunAFewAtATime) {
  start();
  std::string prompts = "[\"say 0\"";
  for (int i = 1; i < 40; ++i) prompts += ",\"say " + std::to_string(i) + "\"";
  const Answer answer = complete(prompts + "]", R"(,"n":2)");
  ASSERT_EQ(answer.status, 200) << answer.body;
  for (int i = 0; i < 80; ++i)
    EXPECT_EQ(text(answer, static_cast<std::size_t>(i)), std::to_string(i / 2));
  EXPECT_EQ(answer.json.find("usage")->find("prompt_tokens")->as_int(), 40 * 2);
  EXPECT_LE(fake_.most_running(), 8u);
}

TEST_F(GenerationTest, CompletionBodyAndPromptForms) {
  start();
  const Answer answer = complete("\"hi\"");
  EXPECT_THAT(answer.json.find("id")->as_string(), MatchesRegex("cmpl-[a-z2-7]{32}"));
  EXPECT_EQ(answer.json.find("object")->as_string(), "text_completion");
  EXPECT_EQ(text(answer), kAnswer);
  EXPECT_EQ(choice(answer, 0).find("message"), nullptr);
  complete("[1,2,3]");
  EXPECT_THAT(std::get<backend::TokenPrompt>(fake_.requests().back().prompt).tokens,
              ElementsAre(1, 2, 3));
  EXPECT_EQ(complete("[[1],[2,3]]").json.find("choices")->as_array().size(), 2u);
  EXPECT_EQ(complete("[\"a\",\"b\"]").json.find("choices")->as_array().size(), 2u);
}

TEST_F(GenerationTest, EchoPutsThePromptFirst) {
  start();
  EXPECT_EQ(text(complete("\"say x\"", R"(,"echo":true)")), "say xx");
  EXPECT_EQ(text(complete("[197,198]", R"(,"echo":true)")), "ab" + kAnswer);
  EXPECT_EQ(complete("[1000]", R"(,"echo":true)").error("param"), "prompt");
  const Answer scored = complete("\"say xy\"", R"(,"echo":true,"logprobs":1)");
  const json::Value* logprobs = choice(scored, 0).find("logprobs");
  EXPECT_EQ(json::write(*logprobs->find("tokens")), R"(["say xy","x","y"])");
  EXPECT_EQ(json::write(*logprobs->find("token_logprobs")), "[null,-0.25,-0.5]");
  EXPECT_EQ(json::write(*logprobs->find("text_offset")), "[0,6,7]");
  EXPECT_TRUE(logprobs->find("top_logprobs")->as_array()[0].is_null());
}

TEST_F(GenerationTest, BestOfGivesTheLikeliest) {
  start();
  const Answer answer = complete("\"hi\"", R"(,"n":1,"best_of":3,"seed":5)");
  EXPECT_EQ(answer.json.find("choices")->as_array().size(), 1u);
  EXPECT_EQ(text(answer), kAnswer + " #5");  // equal scores: the first
  EXPECT_TRUE(choice(answer, 0).find("logprobs")->is_null());
  EXPECT_EQ(answer.json.find("usage")->find("completion_tokens")->as_int(), 21);
}

TEST_F(GenerationTest, LogprobsOfBothRoutes) {
  start();
  const Answer answer = chat("hi", R"(,"logprobs":true,"top_logprobs":2)");
  const json::Array& content = choice(answer, 0).find("logprobs")->find("content")->as_array();
  ASSERT_EQ(content.size(), 6u);
  EXPECT_EQ(
      json::write(content[0]),
      R"({"token":"Hello","logprob":-0.25,"bytes":[72,101,108,108,111],"top_logprobs":[)"
      R"({"token":"alt0","logprob":-1,"bytes":[97,108,116,48]},{"token":"alt1","logprob":-2,"bytes":[97,108,116,49]}]})");
  EXPECT_EQ(json::write(*content[4].find("bytes")), "[140,141]");
  std::string joined;
  for (const json::Value& token : content) {
    for (const json::Value& byte : token.find("bytes")->as_array())
      joined += static_cast<char>(byte.as_int());
  }
  EXPECT_EQ(joined, kAnswer);
  const Answer completion = complete("\"hi\"", R"(,"logprobs":1)");
  const json::Value* logprobs = choice(completion, 0).find("logprobs");
  EXPECT_EQ(json::write(*logprobs->find("text_offset")), "[0,5,6,12,14,14]");
  EXPECT_EQ(json::write(logprobs->find("top_logprobs")->as_array()[0]),
            R"({"alt0":-1,"Hello":-0.25})");
  EXPECT_EQ(logprobs->find("tokens")->as_array()[4].as_string(), "bytes:\\x8c\\x8d");
}

TEST_F(GenerationTest, DetailOnRequest) {
  start();
  const Answer answer =
      ask("POST", "/v1/chat/completions", chat_body("hi"), {{"x-holdfast-detail", "1"}});
  ASSERT_NE(answer.json.find("holdfast"), nullptr);
  EXPECT_EQ(answer.json.find("holdfast")->find("decode_ms")->as_double(), 3);
  EXPECT_EQ(answer.json.find("holdfast")->find("seed")->as_int(), 7);
  EXPECT_EQ(chat("hi").json.find("holdfast"), nullptr);
}

TEST_F(GenerationTest, BrokenConnectionCancels) {
  start();
  for (const char* body : {"hang", "queue", "slow"}) {
    // The best of three: a busy machine delays any one of them.
    auto best = std::chrono::steady_clock::duration::max();
    for (int i = 0; i < 3 && best > std::chrono::milliseconds(100); ++i) {
      const std::size_t before = fake_.cancelled();
      http::ClientOptions options;
      options.idle_timeout = std::chrono::milliseconds(80);
      {
        http::Client client(http::parse_endpoint(address_).value(), options);
        EXPECT_FALSE(client.request({"POST", "/v1/chat/completions", {}, chat_body(body)}).ok());
      }
      const auto closed = std::chrono::steady_clock::now();
      ASSERT_TRUE(eventually([&] { return fake_.cancelled() == before + 1; })) << body;
      best = std::min(best, fake_.last_cancel() - closed);
      EXPECT_TRUE(eventually([&] { return fake_.running() == 0; })) << body;
    }
    EXPECT_LT(best, std::chrono::milliseconds(100)) << body;
  }
}

}  // namespace
}  // namespace holdfast::gateway::testing_support
