// Event streams: order of frames, equality with the whole answer, pings, errors, slow and gone
// readers.
#include <fstream>

#include "../../http/tests/raw_socket.h"
#include "gateway_fixture.h"
#include "holdfast/base/utf8.h"

namespace holdfast::gateway::testing_support {
namespace {

using http::testing_support::RawSocket;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class StreamTest : public GatewayTest {
 protected:
  static const json::Value* delta(const json::Value& event) {
    const json::Value& choice = event.find("choices")->as_array().at(0);
    return choice.find("delta");
  }
  // Text per choice of a stream.
  static std::vector<std::string> texts(const Answer& answer, std::size_t choices = 1) {
    std::vector<std::string> out(choices);
    for (const json::Value& event : answer.events) {
      for (const json::Value& choice : event.find("choices")->as_array()) {
        const json::Value* d = choice.find("delta");
        const json::Value* text = d == nullptr ? choice.find("text") : d->find("content");
        const auto index = static_cast<std::size_t>(choice.find("index")->as_int());
        if (text != nullptr) out.at(index) += text->as_string();
      }
    }
    return out;
  }
  std::string raw(const std::string& body, std::string_view until = {}, int timeout_ms = 3000) {
    RawSocket socket(address_);
    socket.send(http_post(body));
    return socket.read(until, timeout_ms);
  }
  static std::string http_post(const std::string& body) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: "
           "close\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }
};

const std::string kAnswer = "Hello, wörld 🌍!";

TEST_F(StreamTest, PartsOfToolCalls) {
  start();
  const Answer answer = chat("calls", R"(,"stream":true)");
  EXPECT_TRUE(answer.done);
  std::vector<std::string> first, more(2);
  std::vector<std::string> ids;
  for (const json::Value& event : answer.events) {
    const json::Value* calls = delta(event)->find("tool_calls");
    if (calls == nullptr) continue;
    ASSERT_EQ(calls->as_array().size(), 1u);
    const json::Value& call = calls->as_array().front();
    const auto index = static_cast<std::size_t>(call.find("index")->as_int());
    const json::Value& function = *call.find("function");
    if (function.find("name") != nullptr) {
      EXPECT_EQ(index, first.size());
      first.push_back(json::write(function));
      ids.push_back(call.find("id")->as_string());
      EXPECT_EQ(call.find("type")->as_string(), "function");
    } else {
      EXPECT_EQ(call.find("id"), nullptr);
      EXPECT_EQ(call.find("type"), nullptr);
      more.at(index) += function.find("arguments")->as_string();
    }
  }
  EXPECT_EQ(first, (std::vector<std::string>{R"({"name":"weather","arguments":""})",
                                             R"({"name":"time","arguments":""})"}));
  EXPECT_EQ(more, (std::vector<std::string>{R"({"city":"Köln"})", "{}"}));
  EXPECT_EQ(ids[0], "a1");
  EXPECT_THAT(ids[1], StartsWith("call_"));
  EXPECT_EQ(answer.events.back().find("choices")->as_array()[0].find("finish_reason")->as_string(),
            "tool_calls");
}

TEST_F(StreamTest, TheOlderFormOfACall) {
  start();
  const Answer answer = chat("calls", R"(,"stream":true,"functions":[{"name":"weather"}])");
  std::string name, arguments;
  for (const json::Value& event : answer.events) {
    EXPECT_EQ(delta(event)->find("tool_calls"), nullptr);
    const json::Value* call = delta(event)->find("function_call");
    if (call == nullptr) continue;
    if (const json::Value* given = call->find("name")) name += given->as_string();
    arguments += call->find("arguments")->as_string();
  }
  EXPECT_EQ(name, "weather");
  EXPECT_EQ(arguments, R"({"city":"Köln"})");
  EXPECT_EQ(answer.events.back().find("choices")->as_array()[0].find("finish_reason")->as_string(),
            "function_call");
}

// Frames stay small, and no character is cut.
TEST_F(StreamTest, LongArgumentsAreSeveralFrames) {
  start();
  const Answer answer = chat("calls long", R"(,"stream":true)");
  std::string arguments;
  std::size_t frames = 0;
  for (const json::Value& event : answer.events) {
    const json::Value* calls = delta(event)->find("tool_calls");
    if (calls == nullptr) continue;
    const std::string& part = calls->as_array()[0].find("function")->find("arguments")->as_string();
    EXPECT_LE(part.size(), 8u * 1024);
    arguments += part;
    ++frames;
  }
  EXPECT_EQ(frames, 5u);  // the name, and four of arguments
  const json::Value whole = chat("calls long").json.find("choices")->as_array().at(0);
  EXPECT_EQ(arguments, whole.find("message")
                           ->find("tool_calls")
                           ->as_array()[0]
                           .find("function")
                           ->find("arguments")
                           ->as_string());
}

// What a reader does not take is counted with what it costs, not with its text alone.
TEST_F(StreamTest, TinyPartsThatNobodyReadsEndTheStream) {
  options_.backlog_bytes_max = 256 * 1024;
  server_options_.unsent_bytes_max = 64 * 1024;
  start();
  RawSocket socket(address_, 4096);
  socket.send(http_post(chat_body("calls tiny", R"(,"stream":true)")));
  EXPECT_TRUE(eventually([&] { return !fake_.requests().empty() && fake_.running() == 0; },
                         std::chrono::seconds(20)));
  EXPECT_TRUE(eventually([&] { return gateway_->active_generations() == 0; }));
  EXPECT_THAT(socket.read(), Not(HasSubstr("[DONE]")));
}

TEST_F(StreamTest, ChatFramesInOrder) {
  start();
  const Answer answer = chat("hi", R"(,"stream":true)");
  EXPECT_EQ(answer.headers.get("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(answer.headers.get("cache-control"), "no-store");
  EXPECT_EQ(answer.headers.get("x-accel-buffering"), "no");
  EXPECT_TRUE(answer.done);
  ASSERT_GE(answer.events.size(), 3u);
  EXPECT_EQ(json::write(*delta(answer.events.front())), R"({"role":"assistant","content":""})");
  EXPECT_EQ(json::write(*delta(answer.events.back())), "{}");
  EXPECT_EQ(texts(answer)[0], kAnswer);
  const json::Value& first = answer.events.front();
  for (const json::Value& event : answer.events) {
    for (const char* same : {"id", "created", "model", "system_fingerprint"})
      EXPECT_EQ(*event.find(same), *first.find(same));
    EXPECT_EQ(event.find("object")->as_string(), "chat.completion.chunk");
    EXPECT_EQ(event.find("usage"), nullptr);
    const json::Value* reason = event.find("choices")->as_array().at(0).find("finish_reason");
    ASSERT_NE(reason, nullptr);
    EXPECT_EQ(*reason, &event == &answer.events.back() ? json::Value("stop") : json::Value());
  }
}

TEST_F(StreamTest, UsageChunkOnlyOnRequest) {
  start();
  const Answer answer = chat("hi", R"(,"stream":true,"stream_options":{"include_usage":true})");
  const Answer whole = chat("hi");
  for (std::size_t i = 0; i + 1 < answer.events.size(); ++i) {
    ASSERT_NE(answer.events[i].find("usage"), nullptr);
    EXPECT_TRUE(answer.events[i].find("usage")->is_null());
  }
  EXPECT_TRUE(answer.events.back().find("choices")->as_array().empty());
  EXPECT_EQ(*answer.events.back().find("usage"), *whole.json.find("usage"));
  EXPECT_TRUE(answer.done);
}

TEST_F(StreamTest, EqualsTheWholeAnswerForEveryShape) {
  start();
  for (const char* more : {"", R"(,"max_tokens":3)", R"(,"stop":["wörl"])", R"(,"seed":3)",
                           R"(,"n":4,"seed":9)", R"(,"logprobs":true,"top_logprobs":1)"}) {
    const Answer whole = chat("hi", more);
    const Answer streamed = chat("hi", std::string(more) + R"(,"stream":true)");
    const json::Array& choices = whole.json.find("choices")->as_array();
    const auto parts = texts(streamed, choices.size());
    for (std::size_t i = 0; i < choices.size(); ++i) {
      EXPECT_EQ(parts[i], choices[i].find("message")->find("content")->as_string()) << more;
    }
  }
  for (const char* more : {R"(,"echo":true)", R"(,"logprobs":2)", R"(,"n":2,"seed":1)"}) {
    const Answer whole = complete("\"hi\"", more);
    const Answer streamed = complete("\"hi\"", std::string(more) + R"(,"stream":true)");
    const json::Array& choices = whole.json.find("choices")->as_array();
    const auto parts = texts(streamed, choices.size());
    for (std::size_t i = 0; i < choices.size(); ++i)
      EXPECT_EQ(parts[i], choices[i].find("text")->as_string()) << more;
    EXPECT_TRUE(streamed.done);
  }
}

TEST_F(StreamTest, StreamedLogprobsJoinToTheWhole) {
  start();
  const Answer whole = complete("\"hi\"", R"(,"logprobs":1,"echo":true)");
  const Answer streamed = complete("\"hi\"", R"(,"logprobs":1,"echo":true,"stream":true)");
  std::string offsets, tokens;
  for (const json::Value& event : streamed.events) {
    const json::Value* logprobs = event.find("choices")->as_array()[0].find("logprobs");
    if (logprobs->is_null()) continue;
    for (const json::Value& v : logprobs->find("text_offset")->as_array())
      offsets += json::write(v) + ",";
    for (const json::Value& v : logprobs->find("tokens")->as_array())
      tokens += json::write(v) + ",";
  }
  const json::Value* all = whole.json.find("choices")->as_array()[0].find("logprobs");
  EXPECT_EQ("[" + offsets + "]",
            json::write(*all->find("text_offset"))
                .insert(json::write(*all->find("text_offset")).size() - 1, ","));
  EXPECT_EQ(
      "[" + tokens + "]",
      json::write(*all->find("tokens")).insert(json::write(*all->find("tokens")).size() - 1, ","));
}

TEST_F(StreamTest, FramesHoldWholeCharacters) {
  start();
  const std::string answer = raw(chat_body("hi", R"(,"stream":true)"));
  EXPECT_THAT(answer, HasSubstr("data: [DONE]\n\n"));
  std::size_t at = 0;
  int frames = 0;
  while ((at = answer.find("data: ", at)) != std::string::npos) {
    const std::size_t end = answer.find("\n\n", at);
    ASSERT_NE(end, std::string::npos);
    EXPECT_TRUE(is_valid_utf8(answer.substr(at, end - at)));
    ++frames;
    at = end;
  }
  EXPECT_GE(frames, 4);
}

TEST_F(StreamTest, PingsFillSilence) {
  options_.ping_interval = std::chrono::milliseconds(50);
  start();
  for (const char* prompt : {"hang", "queue"}) {
    RawSocket socket(address_);
    const auto begin = std::chrono::steady_clock::now();
    socket.send(http_post(chat_body(prompt, R"(,"stream":true)")));
    std::string answer;
    for (int i = 0; i < 3; ++i) answer += socket.read(": ping\n\n");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK")) << prompt;
    EXPECT_THAT(answer, HasSubstr(": ping\n\n")) << prompt;
    EXPECT_FALSE(socket.closed()) << prompt;
    EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(140)) << prompt;
  }
}

TEST_F(StreamTest, ErrorInsideAStreamIsAnEventWithoutDone) {
  start();
  const Answer answer = chat("fail late", R"(,"stream":true)");
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(answer.done);
  EXPECT_THAT(answer.body, Not(HasSubstr("[DONE]")));
  EXPECT_EQ(
      json::write(answer.events.back()),
      R"({"error":{"message":"The engine of this model stopped unexpectedly.","type":"server_error","param":null,)"
      R"("code":"engine_crashed"}})");
  // Before the first byte it is a plain error.
  EXPECT_EQ(chat("fail early", R"(,"stream":true)").status, 500);
  const Answer drained = chat("drain", R"(,"stream":true)");
  EXPECT_EQ(drained.events.back().find("error")->find("code")->as_string(), "draining");
  // One of several choices fails: the whole stream ends.
  RawSocket socket(address_);
  socket.send(http_post(chat_body("fail late", R"(,"stream":true,"n":2)")));
  EXPECT_THAT(socket.read(), HasSubstr("engine_crashed"));
  EXPECT_TRUE(socket.closed());
  EXPECT_TRUE(eventually([&] { return fake_.running() == 0; }));
}

TEST_F(StreamTest, DeadlineEndsAStream) {
  start();
  const Answer answer = ask("POST", "/v1/chat/completions", chat_body("slow", R"(,"stream":true)"),
                            {{"x-holdfast-deadline-ms", "150"}});
  EXPECT_EQ(answer.events.back().find("error")->find("code")->as_string(), "deadline_exceeded");
  EXPECT_TRUE(eventually([&] { return fake_.running() == 0; }));
}

TEST_F(StreamTest, GoneReaderCancelsAndHalfClosedDoesNot) {
  start();
  for (const char* prompt : {"slow", "hang", "queue"}) {
    // The best of three: a busy machine delays any one of them.
    auto best = std::chrono::steady_clock::duration::max();
    for (int i = 0; i < 3 && best > std::chrono::milliseconds(100); ++i) {
      const std::size_t before = fake_.cancelled();
      RawSocket socket(address_);
      socket.send(http_post(chat_body(prompt, R"(,"stream":true,"n":2)")));
      ASSERT_TRUE(eventually([&] { return fake_.running() == 2; }));
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      const auto closed = std::chrono::steady_clock::now();
      socket.close();
      ASSERT_TRUE(eventually([&] { return fake_.cancelled() == before + 2; })) << prompt;
      best = std::min(best, fake_.last_cancel() - closed);
      EXPECT_TRUE(eventually([&] { return fake_.running() == 0; }));
    }
    EXPECT_LT(best, std::chrono::milliseconds(100)) << prompt;
    EXPECT_TRUE(eventually([&] { return gateway_->active_generations() == 0; }));
  }
  const std::string aborted =
      "finished_reason=\"abort\"} " + std::to_string(fake_.cancelled()) + "\n";
  EXPECT_TRUE(eventually([&] { return get("/metrics").body.find(aborted) != std::string::npos; }));
  const std::size_t before = fake_.cancelled();
  RawSocket half(address_);
  half.send(http_post(chat_body("slow", R"(,"stream":true,"max_tokens":20)")));
  half.half_close();
  EXPECT_THAT(half.read(), HasSubstr("[DONE]"));
  EXPECT_EQ(fake_.cancelled(), before);
}

TEST_F(StreamTest, SlowReaderGetsEverythingMerged) {
  options_.backlog_bytes_max = 16u << 20;
  server_options_.unsent_bytes_max = 64 * 1024;
  start();
  RawSocket socket(address_, 4096);
  socket.send(http_post(chat_body("flood", R"(,"stream":true)")));
  ASSERT_TRUE(eventually([&] { return fake_.running() == 0 && !fake_.requests().empty(); },
                         std::chrono::seconds(20)));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const std::string answer = socket.read({}, 20000);
  EXPECT_THAT(answer, HasSubstr("data: [DONE]\n\n"));
  std::size_t letters = 0;
  for (const char c : answer) letters += c == 'y' ? 1 : 0;
  EXPECT_GE(letters, 50000u * 32);
  // 50000 frames of their own would be above 10 MB.
  EXPECT_LT(answer.size(), 5u << 20);
}

TEST_F(StreamTest, ReaderThatNeverReadsIsDropped) {
  options_.backlog_bytes_max = 64 * 1024;
  server_options_.unsent_bytes_max = 64 * 1024;
  start();
  RawSocket socket(address_, 4096);
  socket.send(http_post(chat_body("flood", R"(,"stream":true)")));
  EXPECT_TRUE(eventually([&] { return !fake_.requests().empty() && fake_.running() == 0; },
                         std::chrono::seconds(20)));
  EXPECT_TRUE(eventually([&] { return gateway_->active_generations() == 0; }));
  EXPECT_THAT(socket.read(), Not(HasSubstr("[DONE]")));
}

TEST_F(StreamTest, ShutdownEndsStreamsWithAnErrorEvent) {
  start();
  RawSocket socket(address_);
  socket.send(http_post(chat_body("slow", R"(,"stream":true)")));
  ASSERT_TRUE(eventually([&] { return fake_.running() == 1; }));
  socket.read("delta");
  on_loop([&] {
    gateway_->begin_drain();
    server_->drain();
    gateway_->end_generations();
  });
  EXPECT_THAT(socket.read(), HasSubstr("\"code\":\"draining\""));
  EXPECT_TRUE(socket.closed());
}

}  // namespace
}  // namespace holdfast::gateway::testing_support
