// Who may ask, and what is told to those who may not.
#include <unistd.h>

#include "../../http/tests/raw_socket.h"
#include "../authentication.h"
#include "key_fixture.h"

namespace holdfast::gateway::testing_support {
namespace {

using identity::Role;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class AuthTest : public KeyTest {};

const std::string kUnauthenticated =
    R"({"error":{"message":"A valid API key is needed.","type":"authentication_error","param":null,)"
    R"("code":"invalid_api_key"}})";

TEST_F(AuthTest, WithoutKeysTheLocalUserIsEverybody) {
  start_with_keys();
  EXPECT_EQ(chat("hi").status, 200);
  EXPECT_EQ(get("/v1/models", {{"Authorization", "Bearer unused"}}).status, 200);
  EXPECT_EQ(get("/holdfast/v1/engines").status, 200);
  EXPECT_EQ(last_request().caller.tenant, "local");
  EXPECT_EQ(last_request().caller.cache_domain.size(), 64u);
}

TEST_F(AuthTest, FromTheFirstKeyOnKeysAreNeeded) {
  start_with_keys();
  EXPECT_EQ(get("/v1/models").status, 200);
  const Made key = make(of("acme"));
  notice_changes();
  EXPECT_EQ(get("/v1/models").status, 401);
  EXPECT_EQ(get("/v1/models", key.bearer()).status, 200);
  ASSERT_TRUE(store_.revoke(key.id).ok());
  notice_changes();
  EXPECT_EQ(get("/v1/models", key.bearer()).body, kUnauthenticated);
  EXPECT_EQ(get("/v1/models").status, 401) << "no key is left, and nothing is open";
}

TEST_F(AuthTest, OneBodyForEveryPathAndReason) {
  make(of("acme"));
  options_.auth.fail_limit = 0;
  start_with_keys();
  const std::string wrong(70, 'x');
  for (const char* path :
       {"/v1/models", "/v1/nothing", "/holdfast/v1/engines", "/holdfast/secret", "/openapi.json",
        "/v2/models/tiny/ready", "/console/", "/x/../livez", "/metricsx", "/v1/metrics"}) {
    for (const http::Headers& headers :
         {http::Headers{}, http::Headers{{"Authorization", "Bearer " + wrong}},
          http::Headers{{"x-api-key", "' OR 1=1 --"}},
          http::Headers{{"Authorization", "Basic eA=="}}, http::Headers{{"Authorization", ""}}}) {
      const Answer answer = get(path, headers);
      if (std::string(path) == "/x/../livez") {
        EXPECT_EQ(answer.status, 400);
        continue;
      }
      EXPECT_EQ(answer.status, 401) << path;
      EXPECT_EQ(answer.body, kUnauthenticated) << path;
      EXPECT_EQ(answer.headers.get("www-authenticate"), "Bearer");
    }
  }
  EXPECT_EQ(ask("DELETE", "/v1/models").body, kUnauthenticated) << "the method is not looked at";
  EXPECT_EQ(ask("POST", "/v1/chat/completions", "{broken").body, kUnauthenticated);
  EXPECT_THAT(get("/api/tags").body, StartsWith(R"({"error":")"));
}

TEST_F(AuthTest, OpenListNeedsNoKey) {
  make(of("acme"));
  start_with_keys();
  for (const char* path : {"/health", "/healthz", "/livez", "/readyz", "/startupz", "/version",
                           "/v2/health/live", "/v2/health/ready", "/metrics", "/livez/"}) {
    EXPECT_EQ(get(path).status, 200) << path;
    EXPECT_EQ(get(path, {{"Authorization", "Bearer bad"}}).status, 200) << path;
  }
  EXPECT_EQ(get("/").status, 404);
  EXPECT_EQ(ask("OPTIONS", "/v1/models", {}, {{"Origin", "https://app.example"}}).status, 204);
}

TEST_F(AuthTest, BothSpellingsAndBothAtOnce) {
  const Made key = make(of("acme"));
  const Made other = make(of("acme"));
  start_with_keys();
  const std::string bearer = "Bearer " + key.key;
  EXPECT_EQ(get("/v1/models", {{"x-api-key", key.key}}).status, 200);
  EXPECT_EQ(get("/v1/models", {{"authorization", "bearer " + key.key}}).status, 200);
  EXPECT_EQ(get("/v1/models", {{"Authorization", bearer}, {"x-api-key", key.key}}).status, 200);
  EXPECT_EQ(get("/v1/models", {{"Authorization", bearer}, {"x-api-key", other.key}}).status, 401);
  EXPECT_EQ(get("/v1/models", {{"Authorization", bearer}, {"Authorization", bearer}}).status, 401);
  EXPECT_EQ(get("/v1/models", {{"x-api-key", key.key}, {"x-api-key", key.key}}).status, 401);
  EXPECT_EQ(get("/v1/models", {{"Authorization", key.key}}).status, 401);
  EXPECT_EQ(get("/v1/models", {{"Authorization", "Bearer  " + key.key}}).status, 401);
  EXPECT_EQ(get("/v1/models?api_key=" + key.key).status, 401);
}

TEST_F(AuthTest, ExpiredIsToldToItsHolderOnly) {
  identity::NewKey wanted = of("acme");
  wanted.expires_at = 784111777 + 10;
  const Made key = make(wanted);
  start_with_keys();
  EXPECT_EQ(get("/v1/models", key.bearer()).status, 200);
  clock_.advance(std::chrono::seconds(10));
  const Answer answer = get("/v1/models", key.bearer());
  EXPECT_EQ(answer.status, 401);
  EXPECT_EQ(answer.error("code"), "expired_api_key");
  EXPECT_EQ(answer.headers.get("www-authenticate"), "Bearer");
}

TEST_F(AuthTest, RequiredAndOff) {
  options_.auth.mode = AuthMode::kRequired;
  start_with_keys();
  EXPECT_EQ(get("/v1/models").status, 401) << "also without any key";
}

TEST_F(AuthTest, OffIgnoresKeys) {
  const Made key = make(of("acme"));
  options_.auth.mode = AuthMode::kOff;
  start_with_keys();
  EXPECT_EQ(get("/v1/models").status, 200);
  EXPECT_EQ(chat_as(key, "hi").status, 200);
  EXPECT_EQ(last_request().caller.tenant, "local");
}

TEST_F(AuthTest, PublicListenerNeedsKeysAndManagesNothing) {
  options_.auth.public_listener = true;
  start_with_keys();
  EXPECT_EQ(get("/v1/models").status, 401);
  const Made admin = make(of("ops", Role::kAdmin));
  notice_changes();
  EXPECT_EQ(get("/v1/models", admin.bearer()).status, 200);
  const Answer managed = get("/holdfast/v1/engines", admin.bearer());
  EXPECT_EQ(managed.status, 404);
  EXPECT_EQ(managed.body, get("/v1/nothing", admin.bearer()).body);
}

TEST_F(AuthTest, ManagementIsForAdministrators) {
  const Made admin = make(of("ops", Role::kAdmin));
  const Made user = make(of("acme"));
  start_with_keys();
  for (const auto& [method, path] :
       std::vector<std::pair<const char*, const char*>>{{"GET", "/holdfast/v1/models"},
                                                        {"GET", "/holdfast/v1/models/tiny"},
                                                        {"GET", "/holdfast/v1/engines"},
                                                        {"POST", "/holdfast/v1/models/cold/load"},
                                                        {"POST", "/holdfast/v1/models/cold/unload"},
                                                        {"GET", "//holdfast//v1/models"}}) {
    EXPECT_EQ(ask(method, path, {}, admin.bearer()).status, 200) << path;
    const Answer refused = ask(method, path, {}, user.bearer());
    EXPECT_EQ(refused.status, 403) << path;
    EXPECT_EQ(refused.error("code"), "policy_denied");
    EXPECT_EQ(refused.error("type"), "permission_error");
  }
  EXPECT_EQ(get("/holdfast/v1/nothing", user.bearer()).status, 403);
  EXPECT_EQ(get("/holdfast/v1/nothing", admin.bearer()).status, 404);
  EXPECT_EQ(chat_as(admin, "hi").status, 200);
}

TEST_F(AuthTest, MetricsCanBeClosed) {
  const Made admin = make(of("ops", Role::kAdmin));
  const Made user = make(of("acme"));
  options_.auth.metrics_auth = true;
  start_with_keys();
  EXPECT_EQ(get("/metrics").status, 401);
  EXPECT_EQ(get("/metrics", user.bearer()).status, 403);
  EXPECT_EQ(get("/metrics", admin.bearer()).status, 200);
  EXPECT_EQ(get("/livez").status, 200);
}

TEST_F(AuthTest, OtherModelsDoNotExist) {
  identity::NewKey wanted = of("acme");
  wanted.models = {"tiny"};
  const Made key = make(wanted);
  const Made admin = make(of("ops", Role::kAdmin));
  start_with_keys();
  const Answer list = get("/v1/models", key.bearer());
  ASSERT_EQ(list.json.find("data")->as_array().size(), 2u);
  EXPECT_EQ(list.json.find("data")->as_array()[1].find("id")->as_string(), "t");
  EXPECT_EQ(get("/v1/models", admin.bearer()).json.find("data")->as_array().size(), 4u);
  EXPECT_EQ(get("/v1/models/t", key.bearer()).status, 200);

  // The same answer as for a name that nobody has, but for that name.
  const auto without_name = [](std::string body, const std::string& name) {
    for (std::size_t at; (at = body.find(name)) != std::string::npos;)
      body.replace(at, name.size(), "N");
    return body;
  };
  const auto body_with = [](const std::string& name) {
    return R"({"model":")" + name + R"(","messages":[{"role":"user","content":"hi"}]})";
  };
  const Answer hidden = get("/v1/models/org/name:q4", key.bearer());
  const Answer absent = get("/v1/models/org/nope:q4", key.bearer());
  EXPECT_EQ(hidden.status, 404);
  EXPECT_EQ(without_name(hidden.body, "org/name:q4"), without_name(absent.body, "org/nope:q4"));
  for (const char* path : {"/v1/chat/completions", "/apply-template"}) {
    const Answer one = ask("POST", path, body_with("org/name:q4"), key.bearer());
    const Answer two = ask("POST", path, body_with("org/nope:q4"), key.bearer());
    EXPECT_EQ(one.status, 404) << path;
    EXPECT_EQ(one.error("code"), "model_not_found");
    EXPECT_EQ(without_name(one.body, "org/name:q4"), without_name(two.body, "org/nope:q4"));
  }
  EXPECT_EQ(get("/v2/models/cold/ready", key.bearer()).status, 404);
  EXPECT_THAT(get("/v1/models/colt", key.bearer()).body, Not(HasSubstr("cold")));
  EXPECT_THAT(get("/v1/models/colt", admin.bearer()).body, HasSubstr("cold"));
  // It sees one model, so a route that needs no name takes it.
  EXPECT_EQ(ask("POST", "/tokenize", R"({"content":"a"})", key.bearer()).status, 200);
  EXPECT_EQ(ask("POST", "/tokenize", R"({"content":"a"})", admin.bearer()).status, 400);
}

TEST_F(AuthTest, ManyWrongKeysAndTheGoodOne) {
  const Made key = make(of("acme"));
  start_with_keys();
  const http::Headers wrong{{"x-api-key", std::string(70, 'y')}};
  for (int i = 0; i < 20; ++i) ASSERT_EQ(get("/v1/models", wrong).status, 401) << i;
  const Answer limited = get("/v1/models", wrong);
  EXPECT_EQ(limited.status, 429);
  EXPECT_EQ(limited.error("code"), "rate_limit_exceeded");
  EXPECT_EQ(limited.headers.get("retry-after"), "4");
  EXPECT_EQ(get("/v1/models").status, 401) << "showing none is no attempt";
  EXPECT_EQ(get("/v1/models", key.bearer()).status, 200);
  clock_.advance(std::chrono::seconds(3));
  EXPECT_EQ(get("/v1/models", wrong).status, 401);
}

TEST_F(AuthTest, BodyOfAStrangerIsNotRead) {
  const Made key = make(of("acme"));
  start_with_keys();
  const auto head = [](const std::string& header) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n" +
           header + "\r\n";
  };
  http::testing_support::RawSocket stranger(address_);
  stranger.send(head(""));
  const std::string answer = stranger.read("}}", 3000);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(answer, HasSubstr(kUnauthenticated));
  EXPECT_THAT(answer, HasSubstr("WWW-Authenticate: Bearer\r\n"));
  http::testing_support::RawSocket known(address_);
  known.send(head("Expect: 100-continue\r\nAuthorization: Bearer " + key.key + "\r\n"));
  EXPECT_THAT(known.read("\r\n\r\n", 3000), StartsWith("HTTP/1.1 100 "));
}

TEST_F(AuthTest, OnlyTheProxiesWhereThereAreSome) {
  AuthOptions options;
  options.proxies = {"10.0.0.1", "2001:db8::1"};
  options.public_listener = true;
  const observe::Logger logger = observe::Logger::discard();
  Authenticator authenticator(options, nullptr, clock_, logger);
  const auto status = [&](const std::string& address) {
    http::Request request;
    request.method = "GET";
    request.path = "/livez";
    request.peer.address = address;
    const auto outcome = authenticator.check(request);
    const auto* error = std::get_if<ApiError>(&outcome);
    return error == nullptr ? 200 : error->status;
  };
  EXPECT_EQ(status("10.0.0.1:55"), 200);
  EXPECT_EQ(status("[::ffff:10.0.0.1]:55"), 200);
  EXPECT_EQ(status("[2001:db8::1]:55"), 200);
  EXPECT_EQ(status("127.0.0.1:55"), 200);
  EXPECT_EQ(status("10.0.0.2:55"), 403);
  EXPECT_EQ(status("10.0.0.11:55"), 403);
  EXPECT_EQ(status("[2001:db8::2]:55"), 403);
}

TEST_F(AuthTest, UnixPeersAreKnownByTheirAccount) {
  make(of("acme"));
  ASSERT_TRUE(table_.load().ok());
  AuthOptions options;
  options.owner_uid = 1000;
  const observe::Logger logger = observe::Logger::discard();
  Authenticator authenticator(options, &table_, clock_, logger);
  http::Request request;
  request.method = "GET";
  request.path = "/v1/models";
  request.peer.kind = http::Peer::Kind::kUnix;
  request.peer.address = "unix";
  const auto who = [&](std::uint32_t uid) {
    request.peer.uid = uid;
    return *std::get<PrincipalPtr>(authenticator.check(request));
  };
  for (const std::uint32_t uid : {1000u, 0u}) {
    EXPECT_EQ(who(uid).tenant, "local");
    EXPECT_EQ(who(uid).role, Role::kAdmin);
  }
  EXPECT_EQ(who(1001).tenant, "uid-1001");
  EXPECT_EQ(who(1001).role, Role::kInference);
  // A key that is shown counts, also here.
  request.headers.set("x-api-key", "nonsense");
  const auto shown = authenticator.check(request);
  EXPECT_EQ(std::get<ApiError>(shown).status, 401);
}

TEST_F(AuthTest, UnixSocketWorksWithoutAKey) {
  make(of("acme"));
  options_.auth.owner_uid = geteuid();
  start_with_keys();
  const std::string path =
      testing::TempDir() + "holdfast_auth_" + std::to_string(getpid()) + ".sock";
  on_loop([&] { ASSERT_TRUE(server_->listen_unix(path).ok()); });
  http::Client client(http::parse_endpoint("unix:" + path).value());
  const auto answer = client.request({"GET", "/holdfast/v1/engines", {}, {}});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 200);
}

// Good, bad and broken requests: nothing of a key is in the log or in the metrics.
TEST_F(AuthTest, KeysAreInNoLogAndNoMetric) {
  const Made key = make(of("acme"));
  start_with_keys();
  EXPECT_EQ(chat_as(key, "hi").status, 200);
  EXPECT_EQ(chat_as(key, "hi", ",\"stream\":true").status, 200);
  EXPECT_EQ(chat_as(key, "fail early").status, 500);
  EXPECT_EQ(chat_as(key, "raise").status, 400);
  std::string wrong = key.key;
  wrong[30] = wrong[30] == 'A' ? 'B' : 'A';
  EXPECT_EQ(get("/v1/models", {{"x-api-key", wrong}}).status, 401);
  EXPECT_EQ(get("/v1/nothing?key=" + key.key, {{"x-api-key", key.key}}).status, 404);
  const std::string metrics = get("/metrics").body;
  const std::string log = sink_.text();
  EXPECT_THAT(log, HasSubstr(key.id)) << "the id is for the record";
  for (const std::string& secret : {key.key.substr(20, 43), wrong.substr(20, 43)}) {
    EXPECT_THAT(log, Not(HasSubstr(secret.substr(0, 12))));
    EXPECT_THAT(log, Not(HasSubstr(secret.substr(20, 12))));
    EXPECT_THAT(metrics, Not(HasSubstr(secret.substr(20, 12))));
  }
  EXPECT_THAT(metrics, Not(HasSubstr(key.id)));
  EXPECT_THAT(metrics, Not(HasSubstr("acme")));
}

}  // namespace
}  // namespace holdfast::gateway::testing_support
