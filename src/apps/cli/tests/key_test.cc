// `holdfast key` in this process: what it prints, stores and refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "../key_flags.h"
#include "holdfast/cli/cli.h"
#include "holdfast/json/json.h"

namespace holdfast::cli {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

struct Outcome {
  int status = 0;
  std::string out, err;
  json::Value json() const { return json::parse(out).value(); }
};

class KeyCommand : public testing::Test {
 protected:
  KeyCommand() {
    std::string pattern = testing::TempDir() + "holdfast-key-XXXXXX";
    data_ = mkdtemp(pattern.data());
  }
  ~KeyCommand() override {
    if (system(("rm -rf '" + data_ + "'").c_str()) != 0) ADD_FAILURE() << data_;
  }
  Outcome key(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "key");
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Outcome o;
    o.status = run(arguments, {{"HOME", data_}, {"HOLDFAST_DATA_DIR", data_ + "/data"}});
    o.out = testing::internal::GetCapturedStdout();
    o.err = testing::internal::GetCapturedStderr();
    return o;
  }
  std::string file(const std::string& name) const {
    std::ifstream in(data_ + "/data/keys/" + name);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }
  std::string data_;
};

TEST_F(KeyCommand, CreatesWithExactlyTheseMembers) {
  const Outcome o = key({"create", "--role", "admin", "--tenant", "acme", "--models", "a,b:q4",
                         "--expires", "2999-01-31T12:00:00Z", "--weight", "5", "--quota",
                         "tokens_per_day=1000,requests_per_minute=5", "--json"});
  ASSERT_EQ(o.status, 0) << o.err;
  const json::Value v = o.json();
  std::vector<std::string> members;
  for (const auto& [name, value] : v.as_object()) members.push_back(name);
  EXPECT_THAT(members, testing::ElementsAre("id", "key", "tenant", "role", "models", "expires_at"));
  EXPECT_THAT(v.find("key")->as_string(),
              MatchesRegex("hk_[a-z2-7]{16}_[A-Za-z0-9_-]{43}_[0-9A-Za-z]{6}"));
  EXPECT_EQ(v.find("key")->as_string().substr(3, 16), v.find("id")->as_string());
  EXPECT_EQ(v.find("tenant")->as_string(), "acme");
  EXPECT_EQ(v.find("role")->as_string(), "admin");
  EXPECT_EQ(json::write(*v.find("models")), R"(["a","b:q4"])");
  EXPECT_EQ(v.find("expires_at")->as_string(), "2999-01-31T12:00:00Z");
  struct stat info {};
  for (const auto& [name, mode] : {std::pair("keys.json", 0600u), {"pepper", 0600u}, {"", 0700u}}) {
    ASSERT_EQ(stat((data_ + "/data/keys/" + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777, mode) << name;
  }
  const std::string secret = v.find("key")->as_string().substr(20, 43);
  EXPECT_THAT(file("keys.json"), Not(HasSubstr(secret)));
  const Outcome show = key({"show", v.find("id")->as_string(), "--json"});
  EXPECT_EQ(show.json().find("weight")->as_int(), 5);
  EXPECT_EQ(show.json().find("quota")->find("tokens_per_day")->as_int(), 1000);
  EXPECT_EQ(show.json().find("state")->as_string(), "active");
  EXPECT_THAT(show.out, Not(HasSubstr(secret)));
}

TEST_F(KeyCommand, PlainOutputIsTheKeyAlone) {
  const Outcome o = key({"create"});
  EXPECT_THAT(o.out, MatchesRegex("hk_[A-Za-z0-9_-]{67}\n"));
  EXPECT_THAT(o.err, HasSubstr("only time"));
  EXPECT_THAT(o.err, Not(HasSubstr(o.out.substr(20, 20))));
}

TEST_F(KeyCommand, RevokeAndRotate) {
  const std::string id = key({"create", "--json"}).json().find("id")->as_string();
  const Outcome next = key({"rotate", id, "--json"});
  ASSERT_EQ(next.status, 0) << next.err;
  const std::string second = next.json().find("id")->as_string();
  EXPECT_NE(second, id);
  EXPECT_EQ(key({"rotate", id}).status, 5);
  EXPECT_EQ(key({"revoke", second}).status, 0);
  EXPECT_EQ(key({"revoke", second}).status, 0);
  const json::Value list = key({"ls", "--json"}).json();
  ASSERT_EQ(list.as_array().size(), 2u);
  for (const json::Value& k : list.as_array()) EXPECT_EQ(k.find("state")->as_string(), "revoked");
  EXPECT_THAT(key({"ls"}).out, HasSubstr("revoked"));
  EXPECT_EQ(key({"ls", "-q"}).out, id + "\n" + second + "\n");
}

TEST_F(KeyCommand, Refusals) {
  EXPECT_EQ(key({"create", "--role", "king"}).status, 2);
  EXPECT_EQ(key({"create", "--tenant", "a/b"}).status, 2);
  EXPECT_EQ(key({"create", "--weight", "0"}).status, 2);
  EXPECT_EQ(key({"create", "--weight", "1001"}).status, 2);
  EXPECT_EQ(key({"create", "--expires", "soon"}).status, 2);
  EXPECT_EQ(key({"create", "--expires", "2001-01-01T00:00:00Z"}).status, 2);
  EXPECT_THAT(key({"create", "--quota", "token_per_day=5"}).err, HasSubstr("tokens_per_day?"));
  EXPECT_EQ(key({"revoke", "absent"}).status, 3);
  EXPECT_EQ(key({"show", "absent"}).status, 3);
  const std::string whole = key({"create"}).out.substr(0, 70);
  EXPECT_EQ(key({"revoke", whole}).status, 2);
  EXPECT_EQ(key({"ls", "--json"}).json().as_array().size(), 1u);
}

TEST(KeyFlags, Quotas) {
  EXPECT_EQ(parse_quotas("").value(), identity::Quotas{});
  EXPECT_EQ(parse_quotas("tokens_per_day=7").value(), (identity::Quotas{0, 7}));
  EXPECT_EQ(parse_quotas("requests_per_minute=2,tokens_per_day=7").value(),
            (identity::Quotas{2, 7}));
  for (const char* bad :
       {"x", "x=1", "tokens_per_day", "tokens_per_day=", "tokens_per_day=0", "tokens_per_day=-1",
        "tokens_per_day=1k", "tokens_per_day=1,,", "tokens_per_day=1,tokens_per_day=2", ",", "=",
        "tokens_per_day=99999999999999999999"}) {
    EXPECT_FALSE(parse_quotas(bad).ok()) << bad;
  }
}

TEST(KeyFlags, Expiry) {
  EXPECT_EQ(parse_expiry("90d", 1000).value(), 1000 + 90 * 86'400);
  EXPECT_EQ(parse_expiry("30s", 1000).value(), 1030);
  EXPECT_EQ(parse_expiry("1970-01-01T00:16:41Z", 1000).value(), 1001);
  EXPECT_FALSE(parse_expiry("1970-01-01T00:16:40Z", 1000).ok());
  for (const char* bad : {"", "0s", "-5d", "tomorrow", "2030-01-31", "10ms"})
    EXPECT_FALSE(parse_expiry(bad, 1000).ok()) << bad;
}

}  // namespace
}  // namespace holdfast::cli
