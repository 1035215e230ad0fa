// Every error that a body or header can provoke: status, type, code, param.
#include "gateway_fixture.h"

namespace holdfast::gateway::testing_support {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Case {
  std::string more;  // members after model and messages
  std::string param;
  std::string code = "invalid_value";
};

class ErrorsTest : public GatewayTest {
 protected:
  void expect_error(const Answer& answer, int status, std::string_view code, std::string_view param,
                    const std::string& what = {}) {
    EXPECT_EQ(answer.status, status) << what << answer.body;
    EXPECT_EQ(answer.error("code"), code) << what << answer.body;
    const json::Value* error = answer.json.find("error");
    ASSERT_NE(error, nullptr) << what;
    EXPECT_EQ(error->as_object().size(), 4u) << what;
    EXPECT_EQ(error->find("param")->is_null() ? "" : error->find("param")->as_string(), param)
        << what;
    EXPECT_TRUE(error->find("type")->is_string());
    EXPECT_EQ(answer.headers.get("content-type"), "application/json");
    for (const char* forbidden : {"0x", "/home", ".cc", "boost", "4242", "rate limit"}) {
      EXPECT_THAT(answer.body, Not(HasSubstr(forbidden))) << what;
    }
  }
};

TEST_F(ErrorsTest, SharedFieldsHaveTypesAndRanges) {
  start();
  const std::vector<Case> cases = {
      {R"("temperature":2.01)", "temperature"},
      {R"("temperature":-0.1)", "temperature"},
      {R"("temperature":"1")", "temperature"},
      {R"("temperature":true)", "temperature"},
      {R"("top_p":0)", "top_p"},
      {R"("top_p":1.1)", "top_p"},
      {R"("presence_penalty":2.1)", "presence_penalty"},
      {R"("frequency_penalty":-2.1)", "frequency_penalty"},
      {R"("max_tokens":0)", "max_tokens"},
      {R"("max_tokens":-5)", "max_tokens"},
      {R"("max_tokens":"5")", "max_tokens"},
      {R"("max_tokens":5.1)", "max_tokens"},
      {R"("max_tokens":1e300)", "max_tokens"},
      {R"("max_completion_tokens":0)", "max_completion_tokens"},
      {R"("seed":1.5)", "seed"},
      {R"("n":0)", "n"},
      {R"("n":9)", "n"},
      {R"("stream":"yes")", "stream"},
      {R"("stream_options":{"include_usage":1})", "stream_options.include_usage"},
      {R"("stream_options":{"include_obfuscation":true})", "stream_options.include_obfuscation",
       "unsupported_parameter"},
      {R"("stop":"")", "stop"},
      {R"("stop":[""])", "stop"},
      {R"("stop":[1])", "stop"},
      {R"("stop":{})", "stop"},
      {R"("logit_bias":[])", "logit_bias"},
      {R"("logit_bias":{"x":1})", "logit_bias"},
      {R"("logit_bias":{"-1":1})", "logit_bias"},
      {R"("logit_bias":{"5":101})", "logit_bias"},
      {R"("logit_bias":{"5":"1"})", "logit_bias"},
      {R"("logit_bias":{"1000":1})", "logit_bias"},
      {R"("top_k":-2)", "top_k"},
      {R"("min_p":1.5)", "min_p"},
      {R"("typical_p":0)", "typical_p"},
      {R"("repeat_penalty":0)", "repeat_penalty"},
      {R"("repeat_last_n":-2)", "repeat_last_n"},
      {R"("mirostat":1)", "mirostat", "unsupported_parameter"},
      {R"("ignore_eos":1)", "ignore_eos"},
      {R"("user":5)", "user"},
      {R"("metadata":{"a":1})", "metadata"},
      {R"("keep_alive":"soon")", "keep_alive"},
      {R"("response_format":{"type":"json_object"})", "response_format", "unsupported_parameter"},
      {R"("response_format":{})", "response_format.type"},
      {R"("grammar":"x")", "grammar", "unsupported_parameter"},
      {R"("guided_json":{})", "guided_json", "unsupported_parameter"},
      {R"("lora":["a"])", "lora", "unsupported_parameter"},
      {R"("audio":{})", "audio", "unsupported_parameter"},
      {R"("modalities":["text","audio"])", "modalities", "unsupported_parameter"},
      {R"("web_search_options":{})", "web_search_options", "unsupported_parameter"},
      {R"("api_base":"http://x")", "api_base", "unsupported_parameter"},
      {R"("api_key":"x")", "api_key", "unsupported_parameter"},
      {R"("aws_region":"x")", "aws_region", "unsupported_parameter"},
      {R"("vertex_project":"x")", "vertex_project", "unsupported_parameter"},
      {R"("headers":{})", "headers", "unsupported_parameter"},
  };
  for (const Case& c : cases) {
    expect_error(chat("hi", "," + c.more), 400, c.code, c.param, c.more);
    expect_error(complete("\"hi\"", "," + c.more), 400, c.code, c.param, c.more);
  }
}

TEST_F(ErrorsTest, LimitsAtAreTaken) {
  start();
  std::string stops = "[", bias = "{", metadata = "{";
  for (int i = 0; i < 16; ++i) stops += (i ? ",\"" : "\"") + std::string(256, 'z') + "\"";
  for (int i = 0; i < 1000; ++i) bias += (i ? ",\"" : "\"") + std::to_string(i) + "\":100";
  for (int i = 0; i < 16; ++i) metadata += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":\"v\"";
  for (const std::string& good : {std::string(R"("temperature":0)"),
                                  std::string(R"("temperature":2)"),
                                  std::string(R"("top_p":1)"),
                                  std::string(R"("max_tokens":1)"),
                                  std::string(R"("max_tokens":5.0)"),
                                  std::string(R"("max_tokens":9223372036854775807)"),
                                  std::string(R"("seed":-9223372036854775808)"),
                                  std::string(R"("n":8)"),
                                  std::string(R"("n":null)"),
                                  std::string(R"("top_k":-1)"),
                                  std::string(R"("temperature":-0.0)"),
                                  "\"stop\":" + stops + "]",
                                  "\"logit_bias\":" + bias + "}",
                                  "\"metadata\":" + metadata + "}",
                                  std::string(R"("unknown_field":{"deep":[1]})"),
                                  std::string(R"("modalities":["text"])"),
                                  std::string(R"("response_format":{"type":"text"})"),
                                  std::string(R"("store":true,"verbosity":"low")"),
                                  std::string(R"("mirostat":0,"mirostat_tau":5.0)"),
                                  std::string(R"("keep_alive":"5m")"),
                                  std::string(R"("keep_alive":-1)"),
                                  std::string(R"("stop":null)")}) {
    EXPECT_EQ(chat("hi", "," + good).status, 200) << good;
  }
  stops = "[";
  for (int i = 0; i < 17; ++i) stops += (i ? ",\"a\"" : "\"a\"");
  expect_error(chat("hi", ",\"stop\":" + stops + "]"), 400, "invalid_value", "stop");
  expect_error(chat("hi", ",\"stop\":\"" + std::string(257, 'z') + "\""), 400, "invalid_value",
               "stop");
  std::string many = "{";
  for (int i = 0; i < 1025; ++i) many += (i ? ",\"" : "\"") + std::to_string(i) + "\":1";
  expect_error(chat("hi", ",\"logit_bias\":" + many + "}"), 400, "invalid_value", "logit_bias");
  expect_error(chat("hi", ",\"metadata\":" + metadata + ",\"k17\":\"v\"}"), 400, "invalid_value",
               "metadata");
}

TEST_F(ErrorsTest, ChatFields) {
  start();
  const auto send = [&](const std::string& members) {
    return ask("POST", "/v1/chat/completions", R"({"model":"tiny:latest",)" + members + "}");
  };
  const std::string good = R"("messages":[{"role":"user","content":"hi"}])";
  const std::string tool = R"(,"tools":[{"type":"function","function":{"name":"a"}}])";
  const std::vector<std::pair<std::string, Case>> cases = {
      {R"("x":1)", {"", "messages", "missing_parameter"}},
      {R"("messages":[])", {"", "messages"}},
      {R"("messages":"hi")", {"", "messages"}},
      {R"("messages":["hi"])", {"", "messages[0]"}},
      {R"("messages":[{"content":"hi"}])", {"", "messages[0].role", "missing_parameter"}},
      {R"("messages":[{"role":"king","content":"hi"}])", {"", "messages[0].role"}},
      {R"("messages":[{"role":"user"}])", {"", "messages[0].content", "missing_parameter"}},
      {R"("messages":[{"role":"user","content":5}])", {"", "messages[0].content"}},
      {R"("messages":[{"role":"user","content":[{"type":"text"}]}])",
       {"", "messages[0].content[0].text", "missing_parameter"}},
      {R"("messages":[{"role":"user","content":[{"type":"image_url","image_url":"data:x"}]}])",
       {"", "messages[0].content[0].type", "unsupported_content"}},
      {R"("messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}])",
       {"", "messages[0].content[0].image_url", "media_url_not_allowed"}},
      {R"("messages":[{"role":"user","content":[{"type":"smell"}]}])",
       {"", "messages[0].content[0].type"}},
      {good + R"(,"tools":[{"type":"web"}])", {"", "tools[0].type"}},
      {good + R"(,"tools":[{"type":"function","function":{}}])",
       {"", "tools[0].function.name", "missing_parameter"}},
      {good +
           R"(,"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"a"}}])",
       {"", "tools[1].function.name"}},
      {good + tool + R"(,"tool_choice":"required")", {"", "tool_choice", "unsupported_parameter"}},
      {good + tool + R"(,"tool_choice":{"type":"function","function":{"name":"a"}})",
       {"", "tool_choice", "unsupported_parameter"}},
      {good + tool + R"(,"parallel_tool_calls":false)",
       {"", "parallel_tool_calls", "unsupported_parameter"}},
      {good + R"(,"functions":[{"name":"a"}],"function_call":{"name":"a"})",
       {"", "function_call", "unsupported_parameter"}},
      {good + tool + R"(,"tool_choice":{"type":"function","function":{"name":"b"}})",
       {"", "tool_choice"}},
      {good + tool + R"(,"tool_choice":{"type":"custom","custom":{"name":"a"}})",
       {"", "tool_choice"}},
      {good + tool + R"(,"tool_choice":{"type":"function"})", {"", "tool_choice"}},
      {good + tool + R"(,"tool_choice":"maybe")", {"", "tool_choice"}},
      {good + tool + R"(,"tool_choice":5)", {"", "tool_choice"}},
      {good + R"(,"functions":[{"name":"a"}],"function_call":{"name":"b"})", {"", "function_call"}},
      {good + R"(,"functions":[{"name":"a"}],"function_call":"required")", {"", "function_call"}},
      {good + R"(,"tool_choice":"required")", {"", "tool_choice"}},
      {good + R"(,"tool_choice":{"type":"function","function":{"name":"a"}})", {"", "tool_choice"}},
      {good + tool + R"(,"parallel_tool_calls":1)", {"", "parallel_tool_calls"}},
      {good + R"(,"response_format":{"type":"xml"})", {"", "response_format.type"}},
      {good + R"(,"response_format":{"type":"json_schema"})",
       {"", "response_format.json_schema", "missing_parameter"}},
      {good + R"(,"response_format":{"type":"json_schema","json_schema":{"schema":{}}})",
       {"", "response_format.json_schema.name", "missing_parameter"}},
      {good + R"(,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":5}})",
       {"", "response_format.json_schema.schema", "invalid_json_schema"}},
      {good + R"(,"top_logprobs":5)", {"", "top_logprobs"}},
      {good + R"(,"logprobs":true,"top_logprobs":21)", {"", "top_logprobs"}},
      {good + R"(,"logprobs":5)", {"", "logprobs"}},
      {good + R"(,"chat_template_kwargs":{"evil":1})",
       {"", "chat_template_kwargs", "unsupported_parameter"}},
  };
  for (const auto& [members, c] : cases) expect_error(send(members), 400, c.code, c.param, members);
}

TEST_F(ErrorsTest, CompletionFields) {
  start();
  expect_error(ask("POST", "/v1/completions", R"({"model":"tiny:latest"})"), 400,
               "missing_parameter", "prompt");
  for (const char* prompt : {"5", "{}", "[]", "[\"a\",5]", "[[]]", "[1,-1]", "[1,2.5]",
                             "[[1],\"a\",{}]", "[99999999999]"}) {
    expect_error(complete(prompt), 400, "invalid_value", "prompt", prompt);
  }
  std::string many = "[\"a\"";
  for (int i = 1; i < 257; ++i) many += ",\"a\"";
  expect_error(complete(many + "]"), 400, "invalid_value", "prompt");
  expect_error(complete("\"a\"", R"(,"logprobs":21)"), 400, "invalid_value", "logprobs");
  expect_error(complete("\"a\"", R"(,"suffix":"x")"), 400, "unsupported_parameter", "suffix");
  expect_error(complete("\"a\"", R"(,"n":2,"best_of":1)"), 400, "invalid_value", "best_of");
  expect_error(complete("\"a\"", R"(,"best_of":2,"stream":true)"), 400, "invalid_value", "best_of");
}

TEST_F(ErrorsTest, BodiesThatAreNoJson) {
  start();
  const Answer broken = ask("POST", "/v1/chat/completions", "{\"model\": tiny}");
  expect_error(broken, 400, "invalid_json", "");
  EXPECT_THAT(broken.error("message"), HasSubstr("line 1, column 11"));
  const std::vector<std::string> bodies = {"",
                                           "[]",
                                           "5",
                                           "{\"a\":1,\"a\":2}",
                                           "{\"a\":1e400}",
                                           "{\"a\":NaN}",
                                           "{\"a\":\"\xff\"}",
                                           "{\"a\":\"\\ud800\"}",
                                           "\xEF\xBB\xBF{}",
                                           "{/*x*/}",
                                           "{\"a\":1,}",
                                           "{} {}",
                                           std::string(40, '[') + std::string(40, ']')};
  for (const std::string& body : bodies) {
    expect_error(ask("POST", "/v1/chat/completions", body), 400, "invalid_json", "", body);
  }
}

TEST_F(ErrorsTest, NestingOfBodies) {
  start();
  const auto nested = [&](std::size_t depth) {  // the body itself is the first level
    const std::string value = std::string(depth - 1, '[') + std::string(depth - 1, ']');
    return ask("POST", "/v1/chat/completions", chat_body("say x", ",\"unknown\":" + value));
  };
  EXPECT_EQ(nested(32).status, 200);
  expect_error(nested(33), 400, "invalid_json", "");
}

TEST_F(ErrorsTest, MediaTypesAndSizes) {
  options_.body_bytes_max = 2000;
  start();
  const std::string body = chat_body("hi");
  const auto typed = [&](http::Headers headers) {
    return ask("POST", "/v1/chat/completions", body, std::move(headers));
  };
  expect_error(typed({{"Content-Type", "text/plain"}}), 415, "unsupported_media_type", "");
  expect_error(typed({{"Content-Type", "application/x-www-form-urlencoded"}}), 415,
               "unsupported_media_type", "");
  expect_error(typed({{"Content-Encoding", "gzip"}}), 415, "unsupported_media_type", "");
  EXPECT_EQ(typed({{"Content-Type", "application/json; charset=utf-8"}}).status, 200);
  EXPECT_EQ(typed({{"Content-Type", "Application/JSON"}}).status, 200);
  const std::string shell = chat_body("");
  EXPECT_EQ(
      ask("POST", "/v1/chat/completions", shell + std::string(2000 - shell.size(), ' ')).status,
      200);
  expect_error(ask("POST", "/v1/chat/completions", shell + std::string(2001 - shell.size(), ' ')),
               413, "request_too_large", "");
}

TEST_F(ErrorsTest, RoutesMethodsAndSurfaces) {
  start();
  expect_error(get("/v1/nothing"), 404, "not_found", "");
  EXPECT_EQ(get("/v1/nothing").error("type"), "not_found_error");
  const Answer method = get("/v1/chat/completions");
  expect_error(method, 405, "method_not_allowed", "");
  EXPECT_EQ(method.headers.get("allow"), "POST, OPTIONS");
  const Answer ollama = ask("POST", "/api/chat", "{}");
  EXPECT_EQ(ollama.status, 404);
  EXPECT_TRUE(ollama.json.find("error")->is_string());
  const Answer anthropic = ask("POST", "/v1/messages", "{}");
  EXPECT_EQ(anthropic.status, 404);
  EXPECT_EQ(anthropic.json.find("type")->as_string(), "error");
  EXPECT_EQ(anthropic.error("type"), "not_found_error");
  EXPECT_EQ(anthropic.headers.get("request-id"), anthropic.headers.get("x-request-id"));
  expect_error(get("/v1/models", {{"Host", "evil.example"}}), 400, "invalid_request",
               "");  // two Host fields
  expect_error(get("/v1/models", {{"Origin", "https://evil.example"}}), 403, "origin_not_allowed",
               "");
}

TEST_F(ErrorsTest, UnknownModelNamesTheNearest) {
  start();
  const Answer answer = ask("POST", "/v1/chat/completions",
                            R"({"model":"tinny","messages":[{"role":"user","content":"x"}]})");
  expect_error(answer, 404, "model_not_found", "model");
  EXPECT_EQ(answer.error("type"), "invalid_request_error");
  EXPECT_THAT(answer.error("message"), HasSubstr("model_not_found"));
  EXPECT_THAT(answer.error("message"), HasSubstr("Did you mean 'tiny:latest'?"));
  EXPECT_THAT(ask("POST", "/v1/chat/completions",
                  R"({"model":"completely-else-thing","messages":[{"role":"user","content":"x"}]})")
                  .body,
              Not(HasSubstr("Did you mean")));
  expect_error(
      ask("POST", "/v1/chat/completions", R"({"messages":[{"role":"user","content":"x"}]})"), 400,
      "missing_parameter", "model");
  expect_error(get("/v1/models/none"), 404, "model_not_found", "model");
}

TEST_F(ErrorsTest, ContextOverflowSaysExactlyThis) {
  start();
  // Four bytes are a token, the context has 64, and one must be left for the answer.
  const Answer fits = chat(std::string(62 * 4, 'a'));
  EXPECT_EQ(fits.status, 200);
  const Answer over = chat(std::string(63 * 4, 'a'));
  expect_error(over, 400, "context_length_exceeded", "messages");
  EXPECT_EQ(over.error("message"),
            "This model's maximum context length is 64 tokens. However, your messages resulted in "
            "64 tokens.");
  expect_error(complete("\"" + std::string(63 * 4, 'a') + "\""), 400, "context_length_exceeded",
               "prompt");
  expect_error(chat(std::string(63 * 4, 'a'), ",\"stream\":true"), 400, "context_length_exceeded",
               "messages");
}

TEST_F(ErrorsTest, FailuresOfTheBackend) {
  start();
  expect_error(chat("fail early"), 500, "engine_crashed", "");
  expect_error(chat("fail late"), 500, "engine_crashed", "");
  expect_error(chat("raise"), 400, "invalid_value", "messages");
  EXPECT_EQ(chat("raise").error("message"), "roles must alternate");
  const Answer full = chat("full");
  expect_error(full, 503, "overloaded", "");
  EXPECT_EQ(full.headers.get("retry-after"), "1");
  EXPECT_EQ(full.headers.get("retry-after-ms"), "1000");
  expect_error(chat("drain"), 503, "draining", "");
}

TEST_F(ErrorsTest, DrainingRefusesNewWork) {
  start();
  on_loop([&] { gateway_->begin_drain(); });
  expect_error(chat("hi"), 503, "draining", "");
  EXPECT_EQ(get("/readyz").status, 503);
  EXPECT_EQ(get("/livez").status, 200);
}

TEST_F(ErrorsTest, DeadlineEndsARequestInAnyState) {
  start();
  for (const char* prompt : {"hang", "queue"}) {
    const auto begin = std::chrono::steady_clock::now();
    const Answer answer =
        ask("POST", "/v1/chat/completions", chat_body(prompt), {{"x-holdfast-deadline-ms", "100"}});
    expect_error(answer, 504, "deadline_exceeded", "", prompt);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  }
  EXPECT_TRUE(eventually([&] { return fake_.running() == 0; }));
}

}  // namespace
}  // namespace holdfast::gateway::testing_support
