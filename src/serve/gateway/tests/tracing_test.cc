// Traces of the gateway: the variables, the spans of a request, and an exporter that never holds
// one up. What the collector gets is checked against the official protobuf messages in
// tests/api/otlp_collector.py.
#include "holdfast/gateway/tracing.h"
#include "gateway_fixture.h"
#include "holdfast/base/bytes.h"

namespace holdfast::gateway::testing_support {
namespace {

using testing::HasSubstr;

using Map = std::map<std::string, std::string, std::less<>>;

Result<std::optional<TraceOptions>> options_from(const Map& variables) {
  return trace_options(
      [&](std::string_view name) {
        const auto at = variables.find(name);
        return at == variables.end() ? std::string_view() : std::string_view(at->second);
      },
      "1.2.3");
}

constexpr const char* kEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
constexpr const char* kTracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

TEST(TraceOptionsTest, OffUnlessAnEndpointIsNamed) {
  EXPECT_FALSE(options_from({}).value());
  EXPECT_FALSE(options_from({{"OTEL_SERVICE_NAME", "x"}}).value());
  EXPECT_FALSE(
      options_from({{kEndpoint, "http://127.0.0.1:4318"}, {"OTEL_SDK_DISABLED", "true"}}).value());
  EXPECT_FALSE(
      options_from({{kEndpoint, "http://127.0.0.1:4318"}, {"OTEL_TRACES_EXPORTER", "none"}})
          .value());
}

TEST(TraceOptionsTest, EndpointsOfThisMachineOnly) {
  const auto base = options_from({{kEndpoint, "http://localhost:4318/base/"}}).value();
  ASSERT_TRUE(base);
  EXPECT_EQ(base->endpoint.base_path, "/base");
  EXPECT_EQ(base->path, "/v1/traces");
  const auto whole = options_from({{kEndpoint, "http://10.0.0.1:1"},
                                   {kTracesEndpoint, "http://[::1]:4318/my/traces"}})
                         .value();
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->endpoint.base_path, "");
  EXPECT_EQ(whole->path, "/my/traces");
  EXPECT_TRUE(options_from({{kEndpoint, "http://127.9.8.7:4318"}}).value());
  EXPECT_TRUE(options_from({{kEndpoint, "unix:/run/otel.sock"}}).value());
  for (const char* bad : {"https://127.0.0.1:4318", "http://10.0.0.1:4318",
                          "http://127.0.0.1.example.com:4318", "http://localhost.example.com:4318",
                          "http://collector:4318", "http://0.0.0.0:4318", "x y", "unix:"}) {
    EXPECT_FALSE(options_from({{kEndpoint, bad}}).ok()) << bad;
  }
}

TEST(TraceOptionsTest, OtherVariables) {
  const auto o =
      options_from({{kEndpoint, "http://127.0.0.1:4318"},
                    {"OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc, x-tenant = a "},
                    {"OTEL_RESOURCE_ATTRIBUTES", "service.name=from-list,deployment=a%2Cb"},
                    {"OTEL_TRACES_SAMPLER", "traceidratio"},
                    {"OTEL_TRACES_SAMPLER_ARG", "0.5"},
                    {"OTEL_BSP_MAX_QUEUE_SIZE", "10"},
                    {"OTEL_BSP_SCHEDULE_DELAY", "20"}})
          .value();
  ASSERT_TRUE(o);
  EXPECT_EQ(o->headers.get("Authorization"), "Bearer abc");
  EXPECT_EQ(o->headers.get("x-tenant"), "a");
  const std::vector<std::pair<std::string, std::string>> resource = {
      {"service.name", "from-list"}, {"service.version", "1.2.3"}, {"deployment", "a,b"}};
  EXPECT_EQ(o->resource, resource);
  EXPECT_EQ(o->sampler.ratio, 0.5);
  EXPECT_FALSE(o->sampler.parent_based);
  EXPECT_EQ(o->queue_spans_max, 10u);
  EXPECT_EQ(o->delay, std::chrono::milliseconds(20));
  const auto named = options_from({{kEndpoint, "http://127.0.0.1:4318"},
                                   {"OTEL_RESOURCE_ATTRIBUTES", "service.name=from-list"},
                                   {"OTEL_SERVICE_NAME", "named"}})
                         .value();
  EXPECT_EQ(named->resource.front().second, "named");
}

TEST(TraceOptionsTest, WhatCannotBeHonouredIsRefused) {
  std::string many;
  for (int i = 0; i < 65; ++i) many += "k" + std::to_string(i) + "=v,";
  for (const auto& [name, value] : Map{{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
                                       {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"},
                                       {"OTEL_TRACES_SAMPLER", "sometimes"},
                                       {"OTEL_EXPORTER_OTLP_HEADERS", "no equals sign"},
                                       {"OTEL_RESOURCE_ATTRIBUTES", "a=%zz"},
                                       {"OTEL_BSP_MAX_QUEUE_SIZE", "0"},
                                       {"OTEL_BSP_SCHEDULE_DELAY", "-1"}}) {
    EXPECT_FALSE(options_from({{kEndpoint, "http://127.0.0.1:4318"}, {name, value}}).ok()) << name;
  }
  EXPECT_FALSE(
      options_from({{kEndpoint, "http://127.0.0.1:1"}, {"OTEL_RESOURCE_ATTRIBUTES", many}}).ok());
  EXPECT_TRUE(options_from({{kEndpoint, "http://127.0.0.1:1"},
                            {"OTEL_RESOURCE_ATTRIBUTES", many.substr(0, many.find("k64"))}})
                  .ok());
  for (const char* header : {"a b=c", "a=b%0d%0aevil: 1", "a\n=c"}) {
    EXPECT_FALSE(
        options_from({{kEndpoint, "http://127.0.0.1:1"}, {"OTEL_EXPORTER_OTLP_HEADERS", header}})
            .ok())
        << header;
  }
}

// A collector: keeps what it gets, answers with `status`, or holds every answer back.
class Collector {
 public:
  Collector() {
    http::ServerHooks hooks;
    hooks.handle = [this](const auto& request, const auto& writer) {
      std::unique_lock lock(mutex_);
      bodies_.push_back(request->body);
      paths_.push_back(request->method + " " + request->target);
      if (hold_) {
        held_.push_back(writer);
      } else {
        writer->send({status_, {{"Content-Type", "application/json"}}, "{}"});
      }
    };
    hooks.render_error = [](const auto&, const auto& e) {
      return http::Response{e.status, {}, ""};
    };
    hooks.decorate = [](const auto&, int, auto&) {};
    hooks.new_request_id = [] { return "r"; };
    hooks.on_complete = [](const auto&, int, std::uint64_t) {};
    http::ServerOptions options;
    server_ = std::make_unique<http::Server>(loop_, options, std::move(hooks));
    address_ = server_->listen_tcp("127.0.0.1:0").value();
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Collector() {
    std::promise<void> closed;
    loop_.post([&] {
      held_.clear();
      server_->close_all();
      closed.set_value();
    });
    closed.get_future().wait();
    loop_.stop();
    thread_.join();
  }
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  void answer_with(int status) {
    const std::lock_guard lock(mutex_);
    status_ = status;
  }
  void hold() {
    const std::lock_guard lock(mutex_);
    hold_ = true;
  }
  std::size_t requests() const {
    const std::lock_guard lock(mutex_);
    return bodies_.size();
  }
  std::string path() const {
    const std::lock_guard lock(mutex_);
    return paths_.front();
  }
  // Every span by its name.
  std::map<std::string, json::Value> spans() const {
    const std::lock_guard lock(mutex_);
    std::map<std::string, json::Value> out;
    for (const std::string& body : bodies_) {
      const json::Value parsed = json::parse(body).value();
      const json::Value& resource = parsed.find("resourceSpans")->as_array().front();
      const json::Value& scope = resource.find("scopeSpans")->as_array().front();
      for (const json::Value& span : scope.find("spans")->as_array())
        out[span.find("name")->as_string()] = span;
    }
    return out;
  }
  TraceOptions options() const {
    TraceOptions o;
    o.endpoint = http::parse_endpoint(address_).value();
    o.resource = {{"service.name", "test"}};
    o.delay = std::chrono::milliseconds(10);
    return o;
  }

 private:
  http::EventLoop loop_;
  mutable std::mutex mutex_;
  std::vector<std::string> bodies_, paths_;
  std::vector<std::shared_ptr<http::ResponseWriter>> held_;
  int status_ = 200;
  bool hold_ = false;
  std::unique_ptr<http::Server> server_;
  std::string address_;
  std::thread thread_;
};

class TracingTest : public GatewayTest {
 protected:
  void trace(TraceOptions o) {
    log_.emplace(sink_, platform::system_clock(), observe::LogOptions{});
    tracing_.emplace(std::move(o), *log_);
    gateway_tracing_ = &*tracing_;
    start();
  }
  void TearDown() override {
    GatewayTest::TearDown();
    tracing_.reset();
  }
  static std::string text(const json::Value& span, const char* member) {
    const json::Value* value = span.find(member);
    return value == nullptr ? "" : value->as_string();
  }
  // The value of an attribute as JSON; empty if absent.
  static std::string attribute(const json::Value& span, std::string_view key) {
    for (const json::Value& a : span.find("attributes")->as_array()) {
      if (a.find("key")->as_string() == key) return json::write(*a.find("value"));
    }
    return "";
  }

  Collector collector_;
  std::optional<Tracing> tracing_;
};

constexpr const char* kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST_F(TracingTest, OneChatIsFourSpans) {
  trace(collector_.options());
  const Answer answer =
      ask("POST", "/v1/chat/completions", chat_body("hi", R"(,"seed":5,"stop":["zz"])"),
          {{"traceparent", kParent}});
  ASSERT_EQ(answer.status, 200);
  ASSERT_TRUE(eventually([&] { return collector_.spans().size() == 4; }));
  EXPECT_EQ(collector_.path(), "POST /v1/traces");
  const auto spans = collector_.spans();
  const json::Value& chat = spans.at("chat tiny:latest");
  EXPECT_EQ(text(chat, "traceId"), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(text(chat, "parentSpanId"), "00f067aa0ba902b7");
  EXPECT_EQ(chat.find("kind")->as_int(), 2);
  EXPECT_EQ(chat.find("status"), nullptr);
  const std::pair<const char*, std::string> expected[] = {
      {"gen_ai.operation.name", R"({"stringValue":"chat"})"},
      {"gen_ai.provider.name", R"({"stringValue":"holdfast"})"},
      {"gen_ai.request.model", R"({"stringValue":"tiny:latest"})"},
      {"gen_ai.response.model", R"({"stringValue":"tiny:latest"})"},
      {"gen_ai.response.id", json::write(json::Object{{"stringValue", *answer.json.find("id")}})},
      {"gen_ai.request.seed", R"({"intValue":"5"})"},
      {"gen_ai.request.stop_sequences", R"({"arrayValue":{"values":[{"stringValue":"zz"}]}})"},
      {"gen_ai.usage.input_tokens", R"({"intValue":"1"})"},
      {"gen_ai.usage.output_tokens", R"({"intValue":"7"})"},
      {"gen_ai.response.finish_reasons", R"({"arrayValue":{"values":[{"stringValue":"stop"}]}})"},
      {"server.address", R"({"stringValue":"127.0.0.1"})"},
      {"error.type", ""},
  };
  for (const auto& [key, value] : expected) EXPECT_EQ(attribute(chat, key), value) << key;
  std::string end_of_last;
  for (const char* name : {"queue", "prefill", "decode"}) {
    const json::Value& span = spans.at(name);
    EXPECT_EQ(text(span, "traceId"), text(chat, "traceId")) << name;
    EXPECT_EQ(text(span, "parentSpanId"), text(chat, "spanId")) << name;
    if (!end_of_last.empty()) {
      EXPECT_EQ(text(span, "startTimeUnixNano"), end_of_last) << name;
    }
    end_of_last = text(span, "endTimeUnixNano");
  }
  // Counted when the collector has answered, which is after it got them.
  EXPECT_TRUE(eventually([&] { return tracing_->sent_spans() == 4; }));
  EXPECT_THAT(get("/metrics").body, HasSubstr("holdfast_trace_spans_total{outcome=\"sent\"} 4\n"));
}

TEST_F(TracingTest, FailuresAndUnsampledRequests) {
  trace(collector_.options());
  // The caller decided against tracing.
  ask("POST", "/v1/chat/completions", chat_body("hi"),
      {{"traceparent", "00-11111111111111111111111111111111-2222222222222222-00"}});
  // Not a header that means anything: a trace of its own.
  ask("POST", "/v1/completions", R"({"model":"t","prompt":"fail late"})",
      {{"traceparent", "00-zz"}});
  ASSERT_TRUE(eventually([&] { return !collector_.spans().empty(); }));
  const auto spans = collector_.spans();
  ASSERT_EQ(spans.size(), 1u);
  const json::Value& failed = spans.at("text_completion tiny:latest");
  EXPECT_EQ(attribute(failed, "error.type"), R"({"stringValue":"engine_crashed"})");
  EXPECT_EQ(attribute(failed, "gen_ai.request.model"), R"({"stringValue":"t"})");
  EXPECT_EQ(failed.find("status")->find("code")->as_int(), 2);
  EXPECT_EQ(failed.find("parentSpanId"), nullptr);
  EXPECT_NE(text(failed, "traceId"), std::string(32, '0'));
}

// What the backend is told of the last request.
class TraceLinkTest : public TracingTest {
 protected:
  std::optional<backend::TraceLink> link_of(http::Headers headers) {
    ask("POST", "/v1/chat/completions", chat_body("hi"), std::move(headers));
    return fake_.requests().back().trace;
  }
};

TEST_F(TraceLinkTest, OfOurSpanWhereThereIsOne) {
  trace(collector_.options());
  const auto link =
      link_of({{"traceparent", kParent}, {"tracestate", "a=1"}, {"tracestate", "b=2"}});
  ASSERT_TRUE(link);
  ASSERT_TRUE(eventually([&] { return collector_.spans().size() == 4; }));
  const auto spans = collector_.spans();
  EXPECT_EQ(to_hex(link->context.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(to_hex(link->context.span_id), text(spans.at("chat tiny:latest"), "spanId"));
  EXPECT_TRUE(link->context.sampled);
  EXPECT_EQ(link->state, "a=1,b=2");
}

TEST_F(TraceLinkTest, OfTheCallerWhereWeDoNotSample) {
  trace(collector_.options());
  const std::string unsampled = "00-11111111111111111111111111111111-2222222222222222-00";
  auto link = link_of({{"traceparent", unsampled}, {"tracestate", "a=1"}});
  ASSERT_TRUE(link);
  EXPECT_EQ(observe::format_traceparent(link->context), unsampled);
  EXPECT_EQ(link->state, "a=1");
  // A state without a parent means nothing.
  link = link_of({{"tracestate", "a=1"}});
  ASSERT_TRUE(link);
  EXPECT_TRUE(link->context.sampled);
  EXPECT_EQ(link->state, "");
}

TEST_F(TraceLinkTest, OurDecisionAgainstItIsPassedOn) {
  TraceOptions o = collector_.options();
  o.sampler = observe::Sampler::parse("always_off", "").value();
  trace(std::move(o));
  auto link = link_of({{"traceparent", kParent}});
  ASSERT_TRUE(link);
  EXPECT_EQ(observe::format_traceparent(link->context), std::string(kParent, 53) + "00");
  link = link_of({});
  ASSERT_TRUE(link);
  EXPECT_FALSE(link->context.sampled);
  EXPECT_TRUE(observe::parse_traceparent(observe::format_traceparent(link->context)));
}

TEST_F(TraceLinkTest, WithoutAnExporterTheCallersAlone) {
  start();
  const auto link = link_of({{"traceparent", kParent}, {"tracestate", "a=1"}});
  ASSERT_TRUE(link);
  EXPECT_EQ(observe::format_traceparent(link->context), kParent);
  EXPECT_EQ(link->state, "a=1");
  EXPECT_FALSE(link_of({{"traceparent", "00-zz"}, {"tracestate", "a=1"}}));
  EXPECT_FALSE(link_of({}));
}

TEST_F(TracingTest, ExemplarsNameTheTrace) {
  trace(collector_.options());
  ask("POST", "/v1/chat/completions", chat_body("hi"), {{"traceparent", kParent}});
  const Answer answer = get("/metrics", {{"accept", "application/openmetrics-text"}});
  EXPECT_EQ(answer.headers.get("content-type"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8");
  EXPECT_THAT(answer.body,
              testing::ContainsRegex("vllm:time_to_first_token_seconds_bucket[^\n]* # "
                                     "[{]trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"[}] "));
  EXPECT_TRUE(answer.body.ends_with("# EOF\n"));
  EXPECT_THAT(get("/metrics").body, testing::Not(HasSubstr("trace_id")));
}

TEST_F(TracingTest, ACollectorThatHangsDelaysNobody) {
  collector_.hold();
  TraceOptions o = collector_.options();
  o.queue_spans_max = 8;
  o.batch_spans_max = 4;
  trace(std::move(o));
  ask("POST", "/v1/chat/completions", chat_body("hi"));
  ASSERT_TRUE(eventually([&] { return collector_.requests() == 1; }));  // four spans are under way
  for (int i = 0; i < 5; ++i) EXPECT_EQ(chat("hi").status, 200);
  // A generation ends just after its client has the answer. 8 of 20 spans wait.
  EXPECT_TRUE(eventually([&] { return tracing_->dropped_spans() == 12; }));
  EXPECT_THAT(get("/metrics").body,
              HasSubstr("holdfast_trace_spans_total{outcome=\"dropped\"} 12\n"));
}

TEST_F(TracingTest, ARefusalIsFinalAndABusyCollectorIsAskedAgain) {
  collector_.answer_with(400);
  trace(collector_.options());
  chat("hi");
  ASSERT_TRUE(eventually([&] { return tracing_->failed_spans() == 4; }));
  EXPECT_EQ(collector_.requests(), 1u);
  collector_.answer_with(503);
  chat("hi");
  ASSERT_TRUE(eventually([&] { return collector_.requests() == 2; }));
  collector_.answer_with(200);
  ASSERT_TRUE(eventually([&] { return tracing_->sent_spans() == 4; }, std::chrono::seconds(20)));
  EXPECT_EQ(collector_.requests(), 3u);
}

TEST_F(TracingTest, WhatIsQueuedAtTheEndIsSent) {
  TraceOptions o = collector_.options();
  o.delay = std::chrono::hours(1);
  trace(std::move(o));
  chat("hi");
  GatewayTest::TearDown();
  EXPECT_EQ(collector_.requests(), 0u);
  tracing_.reset();
  EXPECT_EQ(collector_.spans().size(), 4u);
}

}  // namespace
}  // namespace holdfast::gateway::testing_support
