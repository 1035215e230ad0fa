// UpstreamBackend against a stub on loopback that follows the model's name. The oracle is the
// stub's own count of connections and the contract of GenerateObserver: exactly one end for each
// request.
#include "holdfast/backend/upstream_backend.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

namespace holdfast::backend {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

class NullSink final : public observe::LogSink {
 public:
  void write_line(std::string_view) override {}
};

// Answers each connection by the model that its request names: "good", "slow" (waits 20 ms),
// "endless", "silent" (a head and nothing more), "cut", "status", "calls" (of two tools).
class Stub {
 public:
  Stub() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 256) != 0) std::abort();
    ::getsockname(listener_, generic, &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~Stub() {
    stopping_ = true;
    acceptor_.join();
    for (std::thread& t : threads_) t.join();
    ::close(listener_);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int most_open() const { return most_open_; }
  int open() const { return open_; }
  // Head and body of the last request.
  std::string last_request() {
    const std::lock_guard lock(mutex_);
    return requests_.empty() ? "" : requests_.back();
  }
  std::vector<std::string> order() {
    const std::lock_guard lock(mutex_);
    return order_;
  }

 private:
  void accept_all() {
    while (!stopping_) {
      pollfd p{listener_, POLLIN, 0};
      if (::poll(&p, 1, 20) <= 0) continue;
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      threads_.emplace_back([this, fd] {
        serve(fd);
        ::close(fd);
      });
    }
  }

  bool closed(int fd, int wait_ms) const {
    pollfd p{fd, POLLIN, 0};
    char byte = 0;
    return ::poll(&p, 1, wait_ms) > 0 && ::recv(fd, &byte, 1, MSG_PEEK) <= 0;
  }

  static bool send(int fd, std::string_view text) {
    return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }

  void serve(int fd) {
    std::string request;
    char bytes[4096];
    const auto has = [&](const char* text) { return request.find(text) != std::string::npos; };
    while ((!has("\"prompt\":\"") && !has("\"messages\":[")) || request.back() != '}') {
      pollfd p{fd, POLLIN, 0};
      if (stopping_) return;
      if (::poll(&p, 1, 20) <= 0) continue;
      const ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0) return;
      request.append(bytes, static_cast<std::size_t>(n));
    }
    const int now = ++open_;
    for (int most = most_open_; now > most && !most_open_.compare_exchange_weak(most, now);) {
    }
    note(request, "\"prompt\":\"");
    answer(fd, request);
    --open_;
  }

  void note(const std::string& request, const std::string& before) {
    const std::size_t at = request.find(before) + before.size();
    const std::lock_guard lock(mutex_);
    order_.push_back(request.substr(at, request.find('"', at) - at));
    requests_.push_back(request);
  }

  void answer(int fd, const std::string& request) {
    const auto is = [&](const char* model) {
      return request.find("\"model\":\"" + std::string(model) + "\"") != std::string::npos;
    };
    if (is("status")) {
      send(fd, "HTTP/1.1 500 no\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
      return;
    }
    send(fd, "HTTP/1.1 200 ok\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
    if (is("silent")) {
      while (!stopping_ && !closed(fd, 10)) {
      }
      return;
    }
    if (is("calls")) {
      send(fd, R"(data: {"model":"their-8b","choices":[{"delta":{"tool_calls":[)"
               R"({"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},)"
               R"({"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]}}]})"
               "\n\n"
               R"(data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]})"
               "\n\ndata: [DONE]\n\n");
      return;
    }
    const std::string token = "data: {\"choices\":[{\"index\":0,\"text\":\"x\"}]}\n\n";
    if (is("slow")) std::this_thread::sleep_for(milliseconds(20));
    send(fd, token);
    if (is("cut")) return;
    while (is("endless") && !stopping_ && send(fd, token)) {
      if (closed(fd, 1)) return;
    }
    send(fd,
         "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
  }

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> open_{0};
  std::atomic<int> most_open_{0};
  std::thread acceptor_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::vector<std::string> order_;
  std::vector<std::string> requests_;
};

class Recorder final : public GenerateObserver {
 public:
  void on_started(Started) override {
    note([this] { ++starts; });
  }
  void on_token(TokenEvent event) override {
    note([&] {
      if (ends > 0 || starts != 1) ++mistakes;
      text += event.text;
      for (const ToolCallPart& part : event.tool_calls)
        calls += part.id + " " + part.name + " " + part.arguments + "|";
    });
  }
  void on_finished(Finished f) override {
    note([&] {
      reason = f.reason;
      ++ends;
    });
  }
  void on_error(Failure f) override {
    note([&] {
      failure = f.kind;
      ++ends;
    });
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return ends > 0; });
  }
  bool wait_started() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return starts > 0; });
  }

  int starts = 0;
  int ends = 0;
  int mistakes = 0;
  std::string text;
  std::string calls;
  std::optional<FinishReason> reason;
  std::optional<FailureKind> failure;

 private:
  template <typename F>
  void note(F change) {
    {
      const std::lock_guard lock(mutex_);
      change();
    }
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
};

class UpstreamBackendTest : public ::testing::Test {
 protected:
  struct Running {
    std::shared_ptr<Recorder> seen = std::make_shared<Recorder>();
    std::unique_ptr<RequestHandle> handle;
  };

  UpstreamBackendTest() {
    options_.name = "stub";
    options_.url = stub_.url();
    options_.concurrency = 4;
    for (const char* model : {"good", "slow", "endless", "silent", "cut", "status", "calls"})
      options_.models[model] = std::string("our-") + model;
  }
  UpstreamBackend& backend() {
    if (!backend_) backend_ = UpstreamBackend::create(options_, logger_, tracing_).value();
    return *backend_;
  }
  Running generate(const std::string& model, const std::string& prompt = "p",
                   Priority priority = Priority::kInteractive,
                   std::optional<milliseconds> deadline = std::nullopt) {
    Running out;
    GenerateRequest request;
    request.model = "our-" + model;
    request.prompt = TextPrompt{prompt};
    request.priority = priority;
    if (deadline) request.deadline = Clock::now() + *deadline;
    out.handle = backend().generate(std::move(request), out.seen);
    return out;
  }

  Stub stub_;
  NullSink sink_;
  observe::Logger logger_{sink_, platform::system_clock(), {}};
  UpstreamOptions options_;
  UpstreamTracing tracing_;
  std::unique_ptr<UpstreamBackend> backend_;
};

TEST_F(UpstreamBackendTest, NeverMoreThanTheConcurrencyAndAllAreServed) {
  std::vector<Running> all;
  for (int i = 0; i < 40; ++i) all.push_back(generate("slow"));
  for (Running& r : all) {
    ASSERT_TRUE(r.seen->wait());
    EXPECT_EQ(r.seen->reason, FinishReason::kStop);
    EXPECT_EQ(r.seen->text, "x");
  }
  EXPECT_LE(stub_.most_open(), 4);
}

TEST_F(UpstreamBackendTest, HigherClassesGoFirst) {
  options_.concurrency = 1;
  auto first = generate("endless", "first");
  ASSERT_TRUE(first.seen->wait_started());
  auto batch = generate("good", "batch", Priority::kBatch);
  auto normal = generate("good", "normal");
  auto realtime = generate("good", "realtime", Priority::kRealtime);
  first.handle->cancel();
  for (Running* r : {&batch, &normal, &realtime}) ASSERT_TRUE(r->seen->wait());
  EXPECT_EQ(stub_.order(), (std::vector<std::string>{"first", "realtime", "normal", "batch"}));
}

TEST_F(UpstreamBackendTest, ACancelEndsItRunningSilentOrWaiting) {
  options_.concurrency = 2;
  auto endless = generate("endless");
  ASSERT_TRUE(endless.seen->wait_started());
  auto silent = generate("silent");
  auto waiting = generate("good");
  for (Running* r : {&waiting, &silent, &endless}) {
    r->handle->cancel();
    ASSERT_TRUE(r->seen->wait());
    EXPECT_EQ(r->seen->reason, FinishReason::kCancelled);
  }
  for (int i = 0; i < 500 && stub_.open() > 0; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(stub_.open(), 0);
}

TEST_F(UpstreamBackendTest, TheDeadlineHoldsRunningAndWaiting) {
  options_.concurrency = 1;
  auto running = generate("silent", "p", Priority::kInteractive, milliseconds(150));
  auto waiting = generate("good", "p", Priority::kInteractive, milliseconds(50));
  for (Running* r : {&running, &waiting}) {
    ASSERT_TRUE(r->seen->wait());
    EXPECT_EQ(r->seen->failure, FailureKind::kDeadline);
  }
}

TEST_F(UpstreamBackendTest, FailuresHaveTheirKinds) {
  options_.first_token_timeout = milliseconds(100);
  auto silent = generate("silent");
  auto cut = generate("cut");
  auto status = generate("status");
  ASSERT_TRUE(silent.seen->wait() && cut.seen->wait() && status.seen->wait());
  EXPECT_EQ(silent.seen->failure, FailureKind::kUpstreamTimeout);
  EXPECT_EQ(cut.seen->failure, FailureKind::kUpstream);
  EXPECT_EQ(cut.seen->starts, 1);
  EXPECT_EQ(status.seen->failure, FailureKind::kUpstream);
  EXPECT_EQ(status.seen->starts, 0);
}

TEST_F(UpstreamBackendTest, OneEndForEachWhateverHappens) {
  std::mt19937 random(11);
  const std::vector<std::string> models = {"good", "slow", "endless", "silent", "cut", "status"};
  std::vector<Running> all;
  for (int i = 0; i < 300; ++i) {
    all.push_back(generate(models[random() % models.size()]));
    Running& any = all[random() % all.size()];
    if (random() % 2 == 0 && any.handle) any.handle->cancel();
    if (random() % 3 == 0) any.handle.reset();
    if (random() % 10 == 0) std::this_thread::sleep_for(milliseconds(random() % 5));
  }
  std::thread canceller([&] {
    for (Running& r : all) {
      if (r.handle) r.handle->cancel();
    }
  });
  backend_.reset();
  canceller.join();
  for (Running& r : all) {
    EXPECT_EQ(r.seen->ends, 1);
    EXPECT_EQ(r.seen->mistakes, 0);
    EXPECT_LE(r.seen->starts, 1);
  }
}

json::Value one_tool() {
  return json::Array{json::Object{{"type", "function"}, {"function", json::Object{{"name", "f"}}}}};
}

// Runs one chat to its end and gives what it was told.
class UpstreamChatTest : public UpstreamBackendTest {
 protected:
  std::shared_ptr<Recorder> chat(ChatPrompt prompt,
                                 const std::function<void(GenerateRequest&)>& change = {}) {
    auto seen = std::make_shared<Recorder>();
    GenerateRequest request;
    request.model = "our-calls";
    if (prompt.messages.is_null())
      prompt.messages = json::Array{json::Object{{"role", "user"}, {"content", "hi"}}};
    request.prompt = std::move(prompt);
    if (change) change(request);
    const auto handle = backend().generate(std::move(request), seen);
    EXPECT_TRUE(seen->wait());
    return seen;
  }
  json::Value sent_body() {
    const std::string request = stub_.last_request();
    return json::parse(request.substr(request.find("\r\n\r\n") + 4)).value();
  }
  std::string sent(const char* field) {
    const json::Value body = sent_body();
    const json::Value* value = body.find(field);
    return value == nullptr ? "" : json::write(*value);
  }
  // The value of a header that was sent; empty: there was none.
  std::string header(const std::string& name) {
    const std::string request = stub_.last_request();
    const std::size_t at = request.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const std::size_t from = at + name.size() + 4;
    return request.substr(from, request.find("\r\n", from) - from);
  }
};

TEST_F(UpstreamChatTest, ToolsAreSentAndTheirCallsComeBack) {
  ChatPrompt prompt;
  prompt.tools = one_tool();
  prompt.tool_choice = "required";
  prompt.parallel_tool_calls = true;
  const auto seen = chat(prompt, [](GenerateRequest& request) {
    request.response_format = json::Object{{"type", "json_object"}};
  });
  EXPECT_EQ(seen->calls, "a f {}|b g {|");
  EXPECT_EQ(seen->reason, FinishReason::kToolCalls);
  EXPECT_EQ(sent("tools"), json::write(one_tool()));
  EXPECT_EQ(sent("tool_choice"), "\"required\"");
  EXPECT_EQ(sent("parallel_tool_calls"), "true");
  EXPECT_EQ(sent("response_format"), R"({"type":"json_object"})");

  prompt.tool_choice = nullptr;
  prompt.parallel_tool_calls = false;
  EXPECT_EQ(chat(prompt)->calls, "a f {}|");
  EXPECT_EQ(sent("tool_choice"), "");
  EXPECT_EQ(sent("response_format"), "");
  EXPECT_EQ(sent("parallel_tool_calls"), "false");

  EXPECT_EQ(chat({})->failure, FailureKind::kUpstream);  // calls of tools that were not offered
  EXPECT_EQ(sent("tools"), "");
}

TEST_F(UpstreamChatTest, HistoryKeepsItsIdsAndGetsThoseThatTheApiDemands) {
  const auto call = [](const char* id) {
    json::Object out{{"type", "function"},
                     {"function", json::Object{{"name", "f"}, {"arguments", "{\"x\": 1.0}"}}}};
    if (*id != 0) out.set("id", id);
    return json::Value(out);
  };
  const auto result = [](const char* id) {
    json::Object out{{"role", "tool"}, {"content", "42"}};
    if (*id != 0) out.set("tool_call_id", id);
    return json::Value(out);
  };
  const auto calls = [](json::Array list) {
    return json::Value(
        json::Object{{"role", "assistant"}, {"content", ""}, {"tool_calls", std::move(list)}});
  };
  ChatPrompt prompt;
  prompt.tools = one_tool();
  prompt.messages = json::Array{calls({call("theirs")}),
                                result("theirs"),
                                calls({call(""), call("")}),
                                result(""),
                                result(""),
                                result("")};
  chat(prompt);
  EXPECT_EQ(sent("messages"),
            json::write(json::Array{calls({call("theirs")}), result("theirs"),
                                    calls({[&] {
                                             auto c = call("");
                                             c.as_object().set("id", "call_0");
                                             return c;
                                           }(),
                                           [&] {
                                             auto c = call("");
                                             c.as_object().set("id", "call_1");
                                             return c;
                                           }()}),
                                    result("call_0"), result("call_1"), result("")}));
}

class Spans final : public observe::SpanSink {
 public:
  void offer(std::vector<observe::Span> spans) override {
    const std::lock_guard lock(mutex_);
    for (observe::Span& span : spans) all_.push_back(std::move(span));
  }
  std::vector<observe::Span> all() {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  std::mutex mutex_;
  std::vector<observe::Span> all_;
};

std::string attribute(const observe::Span& span, std::string_view key) {
  for (const auto& [name, value] : span.attributes) {
    if (name != key) continue;
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
    return "other";
  }
  return "";
}

class UpstreamTraceTest : public UpstreamChatTest {
 protected:
  UpstreamTraceTest() { tracing_ = {&spans_, &entropy_}; }
  static std::function<void(GenerateRequest&)> in_trace(bool sampled, const char* state = "") {
    return [=](GenerateRequest& request) {
      auto context = observe::parse_traceparent(
          std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0") +
          (sampled ? "1" : "0"));
      request.trace = TraceLink{*context, state};
    };
  }

  Spans spans_;
  platform::SeededEntropy entropy_{3};
};

TEST_F(UpstreamTraceTest, ASampledCallIsASpanAndTellsTheUpstreamOfIt) {
  ChatPrompt prompt;
  prompt.tools = one_tool();
  chat(prompt, in_trace(true, "vendor=1"));
  const auto spans = spans_.all();
  ASSERT_EQ(spans.size(), 1u);
  const observe::Span& span = spans.front();
  EXPECT_EQ(span.kind, observe::Span::Kind::kClient);
  EXPECT_EQ(span.name, "chat calls");
  EXPECT_EQ(header("traceparent"),
            observe::format_traceparent({span.trace_id, span.span_id, true}));
  EXPECT_EQ(header("tracestate"), "vendor=1");
  EXPECT_EQ(observe::format_traceparent({span.trace_id, span.parent_id.value(), true}),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_LE(span.start_unix_ns, span.end_unix_ns);
  EXPECT_FALSE(span.failed);
  for (const auto& [key, value] : std::vector<std::pair<const char*, std::string>>{
           {"gen_ai.operation.name", "chat"},
           {"gen_ai.provider.name", "openai"},
           {"gen_ai.request.model", "calls"},
           {"gen_ai.response.model", "their-8b"},
           {"gen_ai.response.finish_reasons", "other"},
           {"server.address", "127.0.0.1"},
           {"server.port", stub_.url().substr(stub_.url().rfind(':') + 1)},
           {"error.type", ""}}) {
    EXPECT_EQ(attribute(span, key), value) << key;
  }
}

TEST_F(UpstreamTraceTest, WhatIsNotSampledIsPassedOnAsItIs) {
  ChatPrompt prompt;
  prompt.tools = one_tool();
  chat(prompt, in_trace(false, "vendor=1"));
  EXPECT_EQ(header("traceparent"), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
  EXPECT_EQ(header("tracestate"), "vendor=1");
  chat(prompt);
  EXPECT_EQ(header("traceparent"), "");
  EXPECT_EQ(header("tracestate"), "");
  EXPECT_TRUE(spans_.all().empty());
}

TEST_F(UpstreamTraceTest, WithoutAnExporterTheContextIsPassedOn) {
  tracing_ = {};
  ChatPrompt prompt;
  prompt.tools = one_tool();
  chat(prompt, in_trace(true));
  EXPECT_EQ(header("traceparent"), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
}

TEST_F(UpstreamTraceTest, FailuresSayTheirType) {
  options_.first_token_timeout = milliseconds(100);
  const auto end_of = [&](const char* model) {
    const std::size_t before = spans_.all().size();
    chat({}, [&](GenerateRequest& request) {
      request.model = std::string("our-") + model;
      in_trace(true)(request);
    });
    const auto spans = spans_.all();
    EXPECT_EQ(spans.size(), before + 1);
    EXPECT_TRUE(spans.back().failed);
    return attribute(spans.back(), "error.type");
  };
  EXPECT_EQ(end_of("status"), "500");
  EXPECT_EQ(end_of("silent"), "upstream_timeout");
  EXPECT_EQ(end_of("cut"), "upstream_error");
  EXPECT_EQ(end_of("calls"), "upstream_error");
}

TEST(UpstreamUrl, OnlyThisMachineWithoutEgressAndOnlyTlsBeyondIt) {
  NullSink sink;
  const observe::Logger logger(sink, platform::system_clock(), {});
  const auto made = [&](const std::string& url, bool egress) {
    UpstreamOptions options;
    options.name = "u";
    options.url = url;
    options.models = {{"a", "b"}};
    options.egress_allowed = egress;
    return UpstreamBackend::create(std::move(options), logger).ok();
  };
  for (const char* url : {"http://127.0.0.1:8000", "http://localhost/v1", "http://[::1]:1/v1/",
                          "unix:/run/x.sock", "https://127.0.0.1", "http://127.9.9.9"}) {
    EXPECT_TRUE(made(url, false)) << url;
  }
  for (const char* url : {"https://example.com/v1", "https://127.0.0.1.example.com"}) {
    EXPECT_FALSE(made(url, false)) << url;
    EXPECT_TRUE(made(url, true)) << url;
  }
  for (const char* url :
       {"http://example.com", "http://127.0.0.1.example.com", "http://128.0.0.1", "ftp://127.0.0.1",
        "file:///etc/passwd", "http://user@127.0.0.1", "http://127.0.0.1/?x=1",
        "http://127.0.0.1/#x", "unix:relative", "", "http://", "http://[::2]", "http://0.0.0.0",
        "http://127.0.0.1@example.com", "gopher://localhost"}) {
    EXPECT_FALSE(made(url, true)) << url;
  }
}

}  // namespace
}  // namespace holdfast::backend
