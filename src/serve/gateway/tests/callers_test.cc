// What a caller is to the backend: tenant, weight, cache domain, priority, deadline. Oracle of the
// domains: Python's hmac.
#include "../callers.h"

#include "key_fixture.h"

namespace holdfast::gateway::testing_support {
namespace {

using backend::Priority;
using identity::Role;

class CallersTest : public KeyTest {};

TEST(CacheDomain, MatchesItsDefinition) {
  Bytes key(32);
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(i);
  EXPECT_EQ(cache_domain(key, "acme", ""),
            "b9eca1d7190416c5af414d750b839a23d4efceaa939928e6928b0ae8bc3bf914");
  EXPECT_EQ(cache_domain(key, "acme", "salt"),
            "2e2ef955a67972111f7eca2a48e6f0092ed0b206aa6e79ab72d727067cae1720");
  key[0] = std::byte{1};
  EXPECT_NE(cache_domain(key, "acme", "").substr(0, 8), "b9eca1d7");
}

TEST_F(CallersTest, DomainIsTheTenantsAndASaltNarrowsIt) {
  identity::NewKey heavy = of("acme");
  heavy.weight = 7;
  const Made first = make(heavy), second = make(of("acme")), other = make(of("bolt"));
  start_with_keys();
  const auto domain = [&](const Made& key, const std::string& more = {}) {
    EXPECT_EQ(chat_as(key, "hi", more).status, 200) << more;
    return last_request().caller.cache_domain;
  };
  const std::string acme = domain(first);
  EXPECT_EQ(last_request().caller.tenant, "acme");
  EXPECT_EQ(last_request().caller.weight, 7u);
  EXPECT_EQ(domain(second), acme) << "two keys of one tenant share";
  EXPECT_EQ(last_request().caller.weight, 1u);
  const std::string bolt = domain(other);
  EXPECT_NE(bolt, acme);
  std::vector<std::string> all = {acme, bolt};
  for (const char* more :
       {R"(,"cache_salt":"a")", R"(,"prompt_cache_key":"a")", R"(,"cache_salt":"b")",
        R"(,"cache_salt":"a","prompt_cache_key":"b")",
        R"(,"cache_salt":"a\u00001:b","prompt_cache_key":"")", R"(,"cache_salt":"acme")"}) {
    all.push_back(domain(first, more));
    EXPECT_EQ(domain(second, more), all.back()) << more;
    all.push_back(domain(other, more));
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end()) << "no salt leads into another domain";
  EXPECT_EQ(domain(first, R"(,"cache_salt":"","prompt_cache_key":null)"), acme);
  EXPECT_EQ(domain(first, R"(,"user":"u","safety_identifier":"s")"), acme);
}

TEST_F(CallersTest, FlowsAreForAdministrators) {
  const Made admin = make(of("edge", Role::kAdmin)), user = make(of("acme"));
  start_with_keys();
  const auto tenant = [&](const Made& key, const std::string& id) {
    http::Headers headers = key.bearer();
    headers.add("x-llm-d-inference-fairness-id", id);
    const Answer answer = ask("POST", "/v1/chat/completions", chat_body("hi"), headers);
    return answer.status == 200 ? last_request().caller.tenant : std::to_string(answer.status);
  };
  EXPECT_EQ(tenant(admin, "alice"), "edge/alice");
  EXPECT_EQ(tenant(admin, std::string(128, 'a')), "edge/" + std::string(128, 'a'));
  EXPECT_EQ(tenant(admin, std::string(129, 'a')), "400");
  EXPECT_EQ(tenant(admin, "a b"), "400");
  EXPECT_EQ(tenant(user, "alice"), "acme") << "or its share would grow with every id";
  EXPECT_EQ(chat_as(admin, "hi").status, 200);
  const std::string domain = last_request().caller.cache_domain;
  EXPECT_EQ(tenant(admin, "bob"), "edge/bob");
  EXPECT_EQ(last_request().caller.cache_domain, domain);
}

// Every role, tier and priority: what is used, and what the answer says.
TEST_F(CallersTest, ServiceTiers) {
  const Made admin = make(of("ops", Role::kAdmin)), user = make(of("acme"));
  start_with_keys();
  for (const bool is_admin : {true, false}) {
    for (const std::string tier : {"", "auto", "default", "flex", "priority", "scale"}) {
      for (const int priority : {-5, 0, 1}) {
        std::string more = ",\"priority\":" + std::to_string(priority);
        if (!tier.empty()) more += R"(,"service_tier":")" + tier + "\"";
        const bool batch = tier == "flex" || priority > 0;
        const bool realtime = !batch && tier == "priority" && is_admin;
        const Answer answer = chat_as(is_admin ? admin : user, "hi", more);
        ASSERT_EQ(answer.status, 200) << more;
        EXPECT_EQ(last_request().priority, batch      ? Priority::kBatch
                                           : realtime ? Priority::kRealtime
                                                      : Priority::kInteractive)
            << more;
        EXPECT_EQ(answer.json.find("service_tier")->as_string(), batch      ? "flex"
                                                                 : realtime ? "priority"
                                                                            : "default");
      }
    }
  }
  const Answer stream = chat_as(user, "hi", R"(,"stream":true,"service_tier":"flex")");
  EXPECT_EQ(stream.events.front().find("service_tier")->as_string(), "flex");
}

TEST_F(CallersTest, LocalUserMayHurry) {
  start();
  EXPECT_EQ(chat("hi", R"(,"service_tier":"priority")").json.find("service_tier")->as_string(),
            "priority");
  EXPECT_EQ(last_request().priority, Priority::kRealtime);
}

TEST_F(CallersTest, DeadlineAndWaitingReachTheBackend) {
  start();
  const auto ask_with = [&](http::Headers headers) {
    const auto before = std::chrono::steady_clock::now();
    EXPECT_EQ(ask("POST", "/v1/chat/completions", chat_body("hi"), std::move(headers)).status, 200);
    const auto after = std::chrono::steady_clock::now();
    return std::pair(*last_request().deadline - after, *last_request().deadline - before);
  };
  using std::chrono::seconds;
  auto [least, most] = ask_with({});
  EXPECT_LE(least, seconds(600));
  EXPECT_GE(most, seconds(600));
  EXPECT_TRUE(last_request().wait_for_load);
  std::tie(least, most) =
      ask_with({{"x-holdfast-deadline-ms", "60000"}, {"x-holdfast-wait-load", "0"}});
  EXPECT_LE(least, seconds(60));
  EXPECT_GE(most, seconds(60));
  EXPECT_FALSE(last_request().wait_for_load);
}

}  // namespace
}  // namespace holdfast::gateway::testing_support
