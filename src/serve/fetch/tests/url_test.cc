// Oracle: RFC 3986 for what is a URL, and the corpus of tricks that made other servers reach what
// they must not.
#include "holdfast/fetch/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::fetch {
namespace {

TEST(Url, HasItsParts) {
  const auto url = parse_url("https://Hub.Example.org:8443/a/b%20c?x=1&y=2");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->host, "hub.example.org");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->path, "/a/b%20c");
  EXPECT_EQ(url->query, "x=1&y=2");
  EXPECT_EQ(url->text(), "https://hub.example.org:8443/a/b%20c?x=1&y=2");
  EXPECT_EQ(url->shown(), "https://hub.example.org:8443/a/b%20c");
  EXPECT_EQ(parse_url("https://h.org")->port, 443);
  EXPECT_EQ(parse_url("http://h.org")->port, 80);
  EXPECT_EQ(parse_url("https://[2606:4700::1]/x")->host, "2606:4700::1");
  EXPECT_EQ(parse_url("https://[2606:4700::1]:5/x")->text(), "https://[2606:4700::1]:5/x");
}

// Spellings of one address come out as that address, so that its rules see it.
TEST(Url, OtherSpellingsOfAnAddressAreThatAddress) {
  for (const char* host : {"127.0.0.1", "0x7f000001", "2130706433", "017700000001", "127.1",
                           "0x7f.1", "127.0.1", "0177.0.0.1", "0x7f.0x0.0x0.0x1"}) {
    const auto url = parse_url("https://" + std::string(host) + "/");
    if (!url.ok()) continue;  // refusing is right as well
    EXPECT_EQ(url->host, "127.0.0.1") << host;
    EXPECT_TRUE(url->is_address());
  }
}

TEST(Url, RefusesWhatParsersDisagreeOn) {
  const char* const kBad[] = {"",
                              "example.org",
                              "//example.org/x",
                              "https:/example.org/x",
                              "https://",
                              "https:///x",
                              "ftp://example.org/x",
                              "file:///etc/passwd",
                              "gopher://127.0.0.1:6379/_x",
                              "dict://127.0.0.1:11211/",
                              "ldap://127.0.0.1/",
                              "jar:https://example.org!/",
                              "HTTPS//example.org",
                              "https://user@example.org/",
                              "https://user:word@example.org/",
                              "https://example.org@127.0.0.1/",
                              "https://example.org:443@127.0.0.1/",
                              "https://127.0.0.1\\@example.org/",
                              "https://example.org\\.evil.org/",
                              "https://example.org /",
                              "https://exam ple.org/",
                              "https://example.org/a b",
                              "https://example.org\t/",
                              "https://example.org\n.evil.org/",
                              "https://example.org\r\nHost: x/",
                              "https://ex%61mple.org/",
                              "https://%31%32%37.0.0.1/",
                              "https://127.0.0.1%2f@example.org/",
                              "https://127。0。0。1/",
                              "https://①②⑦.0.0.1/",
                              "https://ⓔxample.org/",
                              "https://example.org:0/",
                              "https://example.org:65536/",
                              "https://example.org:99999/",
                              "https://example.org:-1/",
                              "https://example.org:4 43/",
                              "https://example.org:80:443/",
                              "https://[::1/",
                              "https://::1/",
                              "https://[fe80::1%25eth0]/",
                              "https://[fe80::1%eth0]/",
                              "https://[::1].example.org/",
                              "https://[127.0.0.1]/",
                              "https://[x]/",
                              "https://-example.org/",
                              "https://example-.org/",
                              "https://example..org/",
                              "https://.example.org/",
                              "https://example.org./",
                              "https://exa_mple.org/",
                              "https://exa*mple.org/",
                              "https://exa$mple.org/",
                              "https://example.1/",
                              "https://1.2.3.4.5/",
                              "https://1.2.3.256/",
                              "https://300.1.1.1/",
                              "https://0x100000000/",
                              "https://4294967296/",
                              "https://127.0.0.1.0x7f/",
                              "https://a.0x7f.1.2.3/"};
  for (const char* text : kBad) EXPECT_FALSE(parse_url(text).ok()) << text;
  EXPECT_GE(std::size(kBad), 60u);
  EXPECT_FALSE(parse_url("https://example.org/" + std::string(kUrlBytesMax, 'a')).ok());
  EXPECT_FALSE(parse_url("https://" + std::string(64, 'a') + ".org/").ok());
  EXPECT_FALSE(parse_url(std::string("https://example.org/\0x", 22)).ok());
}

TEST(Url, ReferencesMeanWhatTheStandardSays) {
  const Url base = *parse_url("https://example.org/a/b?q=1");
  const auto at = [&](const char* reference) {
    const auto url = resolve_url(base, reference);
    return url.ok() ? url->text() : "refused";
  };
  EXPECT_EQ(at("/x/y?z=1"), "https://example.org/x/y?z=1");
  EXPECT_EQ(at("c"), "https://example.org/a/c");
  EXPECT_EQ(at("/x//y%20z"), "https://example.org/x//y%20z");
  EXPECT_EQ(at("https://cdn.org/x?u=https://%61"), "https://cdn.org/x?u=https://%61");
  EXPECT_EQ(at("//cdn.example.org/x"), "https://cdn.example.org/x");
  EXPECT_EQ(at("https://cdn.example.org/x?sig=%2F#part"), "https://cdn.example.org/x?sig=%2F");
  EXPECT_EQ(at("http://other.org/"), "http://other.org/");  // policy refuses it, not the parser
  for (const char* bad :
       {"", "ftp://x.org/", "file:///etc/passwd", "javascript:alert(1)", "//user@evil.org/",
        "https://ex%61mple.org/", "//%65vil.org/x", "/a b", "https:/evil.org", "https:evil.org",
        "///evil.org", "https:///evil.org", "\\\\evil.org/x", "https://[::1"})
    EXPECT_EQ(at(bad), "refused") << bad;
}

TEST(Url, PathsAreEncoded) {
  EXPECT_EQ(encode_path("a/b c#d?e%f\xc3\xa9"), "a/b%20c%23d%3Fe%25f%C3%A9");
  EXPECT_EQ(encode_path("model-Q4_K_M.gguf~"), "model-Q4_K_M.gguf~");
}

}  // namespace
}  // namespace holdfast::fetch
