// Oracles: counts and percentiles by hand; a server that answers as scripted.
#include "../pilot_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "holdfast/http/server.h"

namespace holdfast::cli {
namespace {

using ::testing::HasSubstr;

constexpr const char* kTrace =
    "TIMESTAMP,ContextTokens,GeneratedTokens\n0,100,10\n5,9000,500\n59,1,1\n61,7,7\n";

TEST(PilotLoad, ATraceIsCutToTimeAndContext) {
  PilotShape shape;
  shape.seconds = 60;
  shape.context = 1000;
  const auto requests = pilot_requests("t.csv", kTrace, shape);
  ASSERT_TRUE(requests.ok());
  ASSERT_EQ(requests->size(), 3u);
  EXPECT_EQ((*requests)[0].prompt_tokens, 100u);
  EXPECT_EQ((*requests)[1].answer_tokens, 500u);
  // 16 tokens are kept for what the template or the tokenizer adds.
  EXPECT_EQ((*requests)[1].prompt_tokens, 484u);
  EXPECT_EQ((*requests)[2].at_s, 59);
  EXPECT_FALSE(pilot_requests("t.csv", "a,b\n1,2\n", shape).ok());
}

// 600 s at 2 a second: 1200 expected, standard deviation 35.
TEST(PilotLoad, GeneratedLoadHasItsRate) {
  PilotShape shape;
  shape.rate_rps = 2;
  shape.seconds = 600;
  const auto poisson = pilot_requests("synthetic:poisson", "", shape);
  ASSERT_TRUE(poisson.ok());
  EXPECT_NEAR(static_cast<double>(poisson->size()), 1200, 140);
  double tokens = 0;
  for (const PilotRequest& r : *poisson) tokens += r.prompt_tokens;
  EXPECT_NEAR(tokens / static_cast<double>(poisson->size()), 512, 80);
  EXPECT_EQ(pilot_requests("synthetic:poisson", "", shape)->size(), poisson->size());
  // A day: the mean of a half sine is 2 / pi; the middle third has sin(pi/3)..1 of the rate.
  const auto day = pilot_requests("synthetic:diurnal", "", shape);
  ASSERT_TRUE(day.ok());
  EXPECT_NEAR(static_cast<double>(day->size()), 1200 * 2 / 3.14159, 120);
  std::size_t middle = 0;
  for (const PilotRequest& r : *day) middle += r.at_s > 200 && r.at_s < 400 ? 1 : 0;
  EXPECT_GT(middle * 2, day->size() - 60);
}

TEST(PilotLoad, LimitsAreSaid) {
  PilotShape shape;
  shape.rate_rps = 100;
  shape.seconds = 3600;
  EXPECT_EQ(pilot_requests("synthetic:poisson", "", shape).error().code(), ErrorCode::kExhausted);
  shape.rate_rps = 0;
  EXPECT_THAT(pilot_requests("synthetic:poisson", "", shape).error().client_message(),
              HasSubstr("--rate"));
  EXPECT_THAT(pilot_requests("synthetic:sine", "", shape).error().client_message(),
              HasSubstr("synthetic:sine"));
  shape.rate_rps = 0.001;
  shape.seconds = 0.001;
  EXPECT_THAT(pilot_requests("synthetic:poisson", "", shape).error().client_message(),
              HasSubstr("no request"));
}

TEST(PilotLoad, PromptsDifferFromTheirFirstWords) {
  std::set<std::string> beginnings;
  for (std::uint64_t i = 0; i < 50; ++i) beginnings.insert(filler_prompt(8, i));
  EXPECT_EQ(beginnings.size(), 50u);
  const std::string ten = filler_prompt(10, 1);
  EXPECT_EQ(std::count(ten.begin(), ten.end(), ' '), 9);
}

// Two answers of 10 and 30 tokens in 4 s; in it 1 + 3 s of work.
TEST(PilotLoad, SummaryByHand) {
  PilotSeen a{true, "", 0, 0.1, 0.01, 0, 1, 5, 10};
  PilotSeen b{true, "", 0.5, 0.3, 0.02, 1, 4, 5, 30};
  PilotSeen failed;
  failed.error = "no";
  const PilotSummary s = summarize_pilot({a, b, failed});
  EXPECT_EQ(s.requests, 3u);
  EXPECT_EQ(s.failed, 1u);
  EXPECT_DOUBLE_EQ(s.output_tps, 10);
  EXPECT_DOUBLE_EQ(s.running, 1);
  EXPECT_DOUBLE_EQ(s.ttft_p50_ms, 100);
  EXPECT_DOUBLE_EQ(s.ttft_p99_ms, 300);
  EXPECT_DOUBLE_EQ(s.tpot_p99_ms, 20);
  EXPECT_DOUBLE_EQ(s.late_p99_s, 0.5);
}

class PilotServer {
 public:
  explicit PilotServer(std::string body, int status = 200)
      : body_(std::move(body)), status_(status) {
    http::ServerHooks hooks;
    hooks.handle = [this](const std::shared_ptr<http::Request>& request,
                          const std::shared_ptr<http::ResponseWriter>& writer) {
      asked_.push_back(request->body);
      writer->send({status_, {{"Content-Type", "text/event-stream"}}, body_});
    };
    server_ = std::make_unique<http::Server>(loop_, http::ServerOptions{}, hooks);
    address_ = *server_->listen_tcp("127.0.0.1:0");
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~PilotServer() {
    loop_.post([this] { server_->close_all(); });
    loop_.stop();
    thread_.join();
  }
  PilotTarget target() const { return {*http::parse_endpoint(address_), "", "m", nullptr}; }
  const std::vector<std::string>& asked() const { return asked_; }

 private:
  const std::string body_;
  const int status_;
  http::EventLoop loop_;
  std::unique_ptr<http::Server> server_;
  std::string address_;
  std::thread thread_;
  std::vector<std::string> asked_;
};

std::vector<PilotSeen> replay(const PilotServer& server, std::size_t n, std::size_t workers) {
  auto seen = run_pilot(server.target(), std::vector<PilotRequest>(n, {0, 4, 2}), workers,
                        [](std::size_t) {});
  EXPECT_TRUE(seen.ok());
  return seen.ok() ? *seen : std::vector<PilotSeen>();
}

TEST(PilotLoad, AsksAndReadsTheStream) {
  PilotServer server(
      "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\"b\"}]}\n\n"
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n"
      "data: [DONE]\n\n");
  const auto seen = replay(server, 6, 3);
  ASSERT_EQ(seen.size(), 6u);
  for (const PilotSeen& s : seen) {
    EXPECT_TRUE(s.ok) << s.error;
    EXPECT_EQ(s.prompt_tokens, 5u);
    EXPECT_EQ(s.answer_tokens, 2u);
    EXPECT_GT(s.ttft_s, 0);
  }
  EXPECT_EQ(server.asked().size(), 6u);
  EXPECT_THAT(server.asked()[0], HasSubstr(R"("max_tokens":2,"temperature":0,"ignore_eos":true)"));
}

TEST(PilotLoad, FailuresAreFailures) {
  const auto error_of = [](const std::string& body, int status) {
    const PilotServer server(body, status);
    const auto seen = replay(server, 1, 1);
    EXPECT_FALSE(seen.at(0).ok);
    return seen.at(0).error;
  };
  EXPECT_EQ(error_of("{}", 503), "status 503");
  EXPECT_THAT(error_of("data: {\"error\":{\"message\":\"gone\"}}\n\n", 200), HasSubstr("gone"));
  EXPECT_EQ(error_of("data: not json\n\n", 200), "no answer");
  EXPECT_EQ(error_of("data: {\"choices\":5,\"usage\":{\"completion_tokens\":-1}}\n\n", 200),
            "no answer");
}

TEST(PilotLoad, NobodyListensIsAFailureToo) {
  PilotTarget target{*http::parse_endpoint("127.0.0.1:1"), "", "m", nullptr};
  const auto seen = run_pilot(target, {{0, 1, 1}}, 1, [](std::size_t) {});
  ASSERT_TRUE(seen.ok());
  EXPECT_FALSE((*seen)[0].ok);
}

TEST(PilotLoad, StopsWhenTold) {
  std::atomic<bool> stop = true;
  PilotTarget target{*http::parse_endpoint("127.0.0.1:1"), "", "m", &stop};
  const auto seen = run_pilot(target, {{3600, 1, 1}}, 1, [](std::size_t) {});
  ASSERT_FALSE(seen.ok());
  EXPECT_EQ(seen.error().code(), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace holdfast::cli
