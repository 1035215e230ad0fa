#include "holdfast/fetch/policy.h"

#include <gtest/gtest.h>

namespace holdfast::fetch {
namespace {

HostPolicy policy(std::vector<std::string> registries, std::vector<std::string> allowed = {}) {
  auto made = HostPolicy::create(registries, *PrivateRules::parse(allowed));
  EXPECT_TRUE(made.ok());
  return *made;
}

Url url(const char* text) { return *parse_url(text); }

TEST(HostPolicy, SourcesByList) {
  EXPECT_TRUE(policy({}).check_source(url("https://huggingface.co/")).ok());
  EXPECT_TRUE(policy({}).check_source(url("https://any.example.org/x")).ok());
  EXPECT_FALSE(policy({}).check_source(url("http://huggingface.co/")).ok());
  const HostPolicy listed = policy({"mirror.example.org", "*.corp.example", "registry.lan:5000"});
  EXPECT_TRUE(listed.check_source(url("https://mirror.example.org/x")).ok());
  EXPECT_TRUE(listed.check_source(url("https://a.corp.example/x")).ok());
  EXPECT_TRUE(listed.check_source(url("https://registry.lan:5000/x")).ok());
  for (const char* other :
       {"https://huggingface.co/", "https://corp.example/", "https://evilcorp.example/",
        "https://mirror.example.org:8443/", "https://registry.lan/",
        "https://x.mirror.example.org/", "https://mirror.example.org.evil.org/"}) {
    const Status status = listed.check_source(url(other));
    ASSERT_FALSE(status.ok()) << other;
    EXPECT_EQ(status.error().code(), ErrorCode::kDenied);
    EXPECT_NE(status.error().hint().find("pull.registries"), std::string::npos);
  }
}

bool follows(const HostPolicy& p, const char* source, const char* from, const char* to) {
  return p.check_redirect(url(source), url(from), url(to)).ok();
}

TEST(HostPolicy, RedirectsOnlyToHostsOfTheSource) {
  const HostPolicy p = policy({});
  const char* hub = "https://huggingface.co/a";
  EXPECT_TRUE(follows(p, hub, hub, "https://huggingface.co/b"));
  EXPECT_TRUE(follows(p, hub, hub, "https://cdn-lfs-us-1.hf.co/x"));
  EXPECT_TRUE(follows(p, hub, "https://cdn-lfs.huggingface.co/x", "https://cas.xethub.hf.co/y"));
  EXPECT_FALSE(follows(p, hub, hub, "https://hf.co.evil.org/x"));
  EXPECT_FALSE(follows(p, hub, hub, "https://evilhf.co/x"));
  EXPECT_FALSE(follows(p, hub, hub, "https://cdn.hf.co:8443/x"));
  EXPECT_FALSE(follows(p, hub, hub, "http://cdn.hf.co/x"));
  EXPECT_FALSE(follows(p, hub, hub, "https://169.254.169.254/latest/meta-data"));
  EXPECT_FALSE(follows(p, hub, hub, "https://127.0.0.1/x"));
  EXPECT_FALSE(follows(p, "https://a.org/", "https://a.org/", "https://cdn.hf.co/x"));
  EXPECT_FALSE(follows(p, "https://a.org/", "https://a.org/", "https://a.org:8443/"));
  EXPECT_TRUE(
      follows(policy({"a.org", "b.org"}), "https://a.org/", "https://a.org/", "https://b.org/"));
}

TEST(HostPolicy, NeverFromTlsToNone) {
  const HostPolicy p = policy({}, {"10.0.0.1:80", "10.0.0.1:443"});
  EXPECT_FALSE(follows(p, "https://10.0.0.1/", "https://10.0.0.1/", "http://10.0.0.1/"));
  EXPECT_TRUE(follows(p, "http://10.0.0.1/", "http://10.0.0.1/", "http://10.0.0.1/x"));
  EXPECT_TRUE(follows(p, "http://10.0.0.1/", "http://10.0.0.1/", "https://10.0.0.1/x"));
}

TEST(HostPolicy, RealmsOfTheRegistryOnly) {
  const HostPolicy p = policy({});
  const Url registry = url("https://ghcr.io/");
  EXPECT_TRUE(p.check_realm(registry, url("https://ghcr.io/token")).ok());
  EXPECT_FALSE(p.check_realm(registry, url("https://evil.org/token")).ok());
  EXPECT_FALSE(p.check_realm(registry, url("https://ghcr.io:8443/token")).ok());
  EXPECT_FALSE(p.check_realm(registry, url("https://ghcr.io.evil.org/token")).ok());
  EXPECT_TRUE(
      policy({"registry-1.docker.io", "auth.docker.io"})
          .check_realm(url("https://registry-1.docker.io/"), url("https://auth.docker.io/token"))
          .ok());
}

TEST(HostPolicy, RefusesEntriesThatAreNoHosts) {
  for (const char* entry : {"", "https://a.org", "a.org/x", "*", "*.", "a.*.org", "*a.org", "a b",
                            "*.1.2.3.4", "user@a.org"})
    EXPECT_FALSE(HostPolicy::create({entry}, {}).ok()) << entry;
}

}  // namespace
}  // namespace holdfast::fetch
