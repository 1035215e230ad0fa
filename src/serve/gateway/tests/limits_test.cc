// Limits of keys: at the limit and beyond, what the headers say, and that nothing leaks.
#include <random>

#include "../../http/tests/raw_socket.h"
#include "../callers.h"
#include "key_fixture.h"

namespace holdfast::gateway::testing_support {
namespace {

using http::testing_support::RawSocket;
using identity::Role;

class LimitsTest : public KeyTest {
 protected:
  // A stream that is not read, and ends when its socket is closed.
  RawSocket open_stream(const Made& key, const std::string& content) {
    const std::string body = chat_body(content, ",\"stream\":true,\"max_tokens\":10");
    RawSocket socket(address_);
    socket.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
                key.key + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    return socket;
  }
  // As the next answer tells it: one for a prompt that the template refuses takes nothing itself,
  // but its head is written while it still holds its reservation only if it streams.
  std::int64_t remaining_tokens(const Made& key) {
    const Answer answer = chat_as(key, "raise", ",\"max_tokens\":1");
    EXPECT_EQ(answer.status, 400) << answer.body;
    return std::stoll("0" + std::string(answer.headers.get("x-ratelimit-remaining-tokens")));
  }
};

TEST(GoDuration, AsGoWritesIt) {
  const std::int64_t ms = 1'000'000;
  for (const auto& [ns, text] :
       std::vector<std::pair<std::int64_t, std::string>>{{0, "0s"},
                                                         {-5, "0s"},
                                                         {1, "1ms"},
                                                         {12 * ms, "12ms"},
                                                         {999 * ms, "999ms"},
                                                         {1000 * ms, "1s"},
                                                         {1500 * ms, "1.5s"},
                                                         {1001 * ms, "1.001s"},
                                                         {60'000 * ms, "1m0s"},
                                                         {360'000 * ms, "6m0s"},
                                                         {90'500 * ms, "1m30.5s"},
                                                         {3'600'000 * ms, "1h0m0s"},
                                                         {86'399'000 * ms, "23h59m59s"}}) {
    EXPECT_EQ(go_duration(ns), text);
  }
}

TEST_F(LimitsTest, RequestsAMinute) {
  identity::NewKey wanted = of("acme");
  wanted.quotas.requests_per_minute = 3;
  const Made key = make(wanted), other = make(of("acme"));
  start_with_keys();
  for (int i = 0; i < 3; ++i) {
    const Answer good = chat_as(key, "hi");
    ASSERT_EQ(good.status, 200);
    EXPECT_EQ(good.headers.get("x-ratelimit-limit-requests"), "3");
    EXPECT_EQ(good.headers.get("x-ratelimit-remaining-requests"), std::to_string(2 - i));
    EXPECT_EQ(good.headers.get("x-ratelimit-reset-requests"),
              go_duration((i + 1) * 20'000'000'000));
    EXPECT_EQ(good.headers.find("x-ratelimit-limit-tokens"), nullptr);
  }
  const Answer refused = chat_as(key, "hi");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.error("code"), "rate_limit_exceeded");
  EXPECT_EQ(refused.error("type"), "rate_limit_error");
  EXPECT_EQ(refused.headers.get("retry-after"), "20");
  EXPECT_EQ(refused.headers.get("retry-after-ms"), "20000");
  EXPECT_EQ(refused.headers.find("x-should-retry"), nullptr);
  EXPECT_EQ(refused.headers.get("x-ratelimit-remaining-requests"), "0");
  EXPECT_EQ(refused.headers.get("x-ratelimit-reset-requests"), "1m0s");
  EXPECT_EQ(chat_as(other, "hi").status, 200) << "limits are of a key";
  EXPECT_EQ(get("/v1/models", key.bearer()).status, 200) << "only work is counted";
  EXPECT_EQ(get("/v1/models", key.bearer()).headers.find("x-ratelimit-limit-requests"), nullptr);
  clock_.advance(std::chrono::seconds(20));
  EXPECT_EQ(chat_as(key, "hi").status, 200);
  EXPECT_EQ(chat_as(key, "hi").status, 429);
}

TEST_F(LimitsTest, BadInputIsNotCounted) {
  identity::NewKey wanted = of("acme");
  wanted.quotas = {1, 1000};
  const Made key = make(wanted);
  start_with_keys();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(chat_as(key, "hi", ",\"temperature\":9").status, 400);
    EXPECT_EQ(ask("POST", "/v1/chat/completions", "{", key.bearer()).status, 400);
  }
  EXPECT_EQ(chat_as(key, "hi").status, 200);
}

TEST_F(LimitsTest, DefaultsOfTheServerAndOwnQuotas) {
  identity::NewKey own = of("acme");
  own.quotas.requests_per_minute = 2;
  const Made with = make(own), without = make(of("acme")), admin = make(of("ops", Role::kAdmin));
  options_.limits.quotas = {1, 0};
  start_with_keys();
  EXPECT_EQ(chat_as(without, "hi").status, 200);
  EXPECT_EQ(chat_as(without, "hi").status, 429);
  EXPECT_EQ(chat_as(with, "hi").status, 200);
  EXPECT_EQ(chat_as(with, "hi").status, 200);
  EXPECT_EQ(chat_as(with, "hi").status, 429);
  EXPECT_EQ(chat_as(admin, "hi").status, 200);
  EXPECT_EQ(chat_as(admin, "hi").status, 429);
}

TEST_F(LimitsTest, RequestsAtOnce) {
  const Made key = make(of("acme")), other = make(of("acme"));
  options_.limits.requests_per_key = 2;
  start_with_keys();
  std::vector<RawSocket> held;
  held.push_back(open_stream(key, "hang"));
  held.push_back(open_stream(key, "queue"));
  ASSERT_TRUE(eventually([&] { return fake_.running() == 2; }));
  const Answer refused = chat_as(key, "hi");
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.error("code"), "concurrency_exceeded");
  EXPECT_NE(refused.headers.get("retry-after"), "");
  EXPECT_EQ(chat_as(other, "hi").status, 200);
  held.pop_back();
  EXPECT_TRUE(eventually([&] { return chat_as(key, "hi").status == 200; }))
      << "a client that leaves leaves its place";
}

TEST_F(LimitsTest, LocalUserHasNone) {
  options_.limits = {1, {1, 1}};
  start();
  for (int i = 0; i < 3; ++i) {
    const Answer answer = chat("hi");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.find("x-ratelimit-limit-requests"), nullptr);
  }
}

TEST_F(LimitsTest, TokensOfTheDay) {
  identity::NewKey wanted = of("acme");
  wanted.quotas.tokens_per_day = 100;
  const Made key = make(wanted);
  start_with_keys();
  const Answer first = chat_as(key, "hi", ",\"max_tokens\":6");
  ASSERT_EQ(first.status, 200);
  EXPECT_EQ(first.headers.get("x-ratelimit-limit-tokens"), "100");
  const std::int64_t used = first.json.find("usage")->find("total_tokens")->as_int();
  EXPECT_GT(used, 6);
  EXPECT_EQ(remaining_tokens(key), 100 - used) << "settled at the end to what it was";
  // What it asks for is more than is left.
  const Answer spent =
      ask("POST", "/v1/completions", R"({"model":"tiny","prompt":["a","b","c"],"max_tokens":60})",
          key.bearer());
  EXPECT_EQ(spent.status, 429);
  EXPECT_EQ(spent.error("code"), "insufficient_quota");
  EXPECT_EQ(spent.headers.get("x-should-retry"), "false");
  // 784111777 is 08:49:37 of a day.
  const std::int64_t midnight = 86'400 - 784111777 % 86'400;
  EXPECT_EQ(spent.headers.get("retry-after"), std::to_string(midnight));
  EXPECT_EQ(spent.headers.get("x-ratelimit-reset-tokens"), go_duration(midnight * 1'000'000'000));
  while (remaining_tokens(key) > 40) ASSERT_EQ(chat_as(key, "hi", ",\"max_tokens\":6").status, 200);
  clock_.advance(std::chrono::seconds(midnight));
  EXPECT_EQ(remaining_tokens(key), 100);
}

TEST_F(LimitsTest, WhatFailsForBadInputTakesNoTokens) {
  identity::NewKey wanted = of("acme");
  wanted.quotas.tokens_per_day = 1000;
  const Made key = make(wanted);
  start_with_keys();
  EXPECT_EQ(chat_as(key, "raise").status, 400);
  EXPECT_EQ(chat_as(key, std::string(400, 'x')).error("code"), "context_length_exceeded");
  EXPECT_EQ(chat_as(key, "hi", R"(,"logit_bias":{"1000":1})").status, 400);
  EXPECT_EQ(chat_as(key, "full").status, 503);
  EXPECT_EQ(remaining_tokens(key), 1000);
  EXPECT_EQ(chat_as(key, "fail late").status, 500);
  EXPECT_LT(remaining_tokens(key), 1000) << "two tokens were made before the engine fell";
}

// Clients that read, leave at once, leave in the middle, ask for what fails or waits for ever: when
// all is over, every place is free and only what was made is counted.
TEST_F(LimitsTest, NothingLeaksWhateverClientsDo) {
  identity::NewKey wanted = of("acme");
  wanted.quotas.tokens_per_day = 1'000'000;
  const Made key = make(wanted);
  options_.limits.requests_per_key = 6;
  start_with_keys();
  std::mt19937 random(17);
  const std::vector<std::string> kinds = {"hi",   "hang",       "queue",     "slow",  "flood",
                                          "full", "fail early", "fail late", "raise", "drain"};
  for (int i = 0; i < 150; ++i) {
    std::vector<RawSocket> sockets;
    const std::size_t count = 1 + random() % 8;
    for (std::size_t j = 0; j < count; ++j)
      sockets.push_back(open_stream(key, kinds[random() % kinds.size()]));
    for (RawSocket& socket : sockets) {
      if (random() % 2 == 0) ignore_error(socket.read("\r\n\r\n", 5), "whatever has come by then");
    }
  }
  ASSERT_TRUE(
      eventually([&] { return fake_.running() == 0 && gateway_->active_generations() == 0; },
                 std::chrono::seconds(20)));
  std::int64_t left = 0;
  ASSERT_TRUE(eventually([&] {
    const std::int64_t before = left;
    left = remaining_tokens(key);
    return left == before;
  }));
  EXPECT_GT(left, 1'000'000 - 150 * 8 * 64) << "more is missing than was made";
  EXPECT_LT(left, 1'000'000);
  std::vector<RawSocket> all;
  for (int i = 0; i < 6; ++i) all.push_back(open_stream(key, "hang"));
  EXPECT_TRUE(eventually([&] { return fake_.running() == 6; })) << "a place was lost";
  EXPECT_EQ(chat_as(key, "hi").error("code"), "concurrency_exceeded");
}

}  // namespace
}  // namespace holdfast::gateway::testing_support
