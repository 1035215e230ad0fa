// Oracle: the special-purpose address registries of IANA, one address of each row and its
// neighbours outside.
#include "holdfast/fetch/address.h"

#include <gtest/gtest.h>

namespace holdfast::fetch {
namespace {

IpAddress address(std::string_view text) { return *parse_address(text); }

TEST(Address, PrivateAndSpecialOnesAreNotPublic) {
  for (const char* text : {"0.0.0.0",
                           "0.1.2.3",
                           "10.0.0.1",
                           "10.255.255.255",
                           "100.64.0.1",
                           "100.100.100.200",
                           "100.127.255.255",
                           "127.0.0.1",
                           "127.255.255.254",
                           "169.254.169.254",
                           "169.254.170.2",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.1",
                           "192.0.0.192",
                           "192.0.2.1",
                           "192.88.99.1",
                           "192.168.0.1",
                           "192.168.255.255",
                           "198.18.0.1",
                           "198.19.255.255",
                           "198.51.100.7",
                           "203.0.113.9",
                           "224.0.0.1",
                           "239.255.255.255",
                           "240.0.0.1",
                           "255.255.255.255",
                           "168.63.129.16",
                           "::",
                           "::1",
                           "::127.0.0.1",
                           "::ffff:127.0.0.1",
                           "::ffff:8.8.8.8",
                           "::ffff:0:8.8.8.8",
                           "fe80::1",
                           "febf::1",
                           "fec0::1",
                           "fc00::1",
                           "fd00:ec2::254",
                           "ff02::1",
                           "ff0e::1",
                           "2001::1",
                           "2001:db8::1",
                           "2001:10::1",
                           "2002:7f00:1::",
                           "2002:a9fe:a9fe::",
                           "3fff::1",
                           "100::1",
                           "64:ff9b::127.0.0.1",
                           "64:ff9b::169.254.169.254",
                           "64:ff9b::10.0.0.1",
                           "64:ff9b:1::1",
                           "4000::1",
                           "5f00::1"})
    EXPECT_FALSE(is_public(address(text))) << text;
}

TEST(Address, RoutedOnesArePublic) {
  for (const char* text :
       {"1.1.1.1",         "8.8.8.8",         "9.255.255.255",   "11.0.0.1",
        "100.63.255.255",  "100.128.0.1",     "126.255.255.255", "128.0.0.1",
        "169.253.255.255", "169.255.0.1",     "172.15.255.255",  "172.32.0.1",
        "192.0.1.1",       "192.167.255.255", "192.169.0.1",     "198.17.255.255",
        "198.20.0.1",      "223.255.255.255", "2606:4700::1111", "2001:4860:4860::8888",
        "2a00:1450::1",    "64:ff9b::8.8.8.8"})
    EXPECT_TRUE(is_public(address(text))) << text;
}

TEST(Address, OtherSpellingsAreNone) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "0x7f.0.0.1", "1.2.3.256", "::g",
                           "fe80::1%eth0", "localhost", "1.2.3.4 "})
    EXPECT_FALSE(parse_address(text).ok()) << text;
}

PrivateRules rules(std::vector<std::string> entries) {
  auto parsed = PrivateRules::parse(entries);
  EXPECT_TRUE(parsed.ok());
  return *parsed;
}

bool usable(const char* url, std::vector<std::string> addresses, const PrivateRules& rules) {
  std::vector<IpAddress> list;
  for (const std::string& text : addresses) list.push_back(address(text));
  const auto out = usable_addresses(*parse_url(url), list, rules);
  if (!out.ok()) return false;
  EXPECT_EQ(out->size(), addresses.size());
  return true;
}

TEST(PrivateRules, ExactlyTheNamedOnes) {
  const PrivateRules none;
  const PrivateRules named = rules({"registry.lan:5000", "127.0.0.1:8080", "[::1]:8081"});
  const PrivateRules networks = rules({"10.1.0.0/16", "fd00::/8"});
  EXPECT_TRUE(usable("https://h.org/", {"1.1.1.1", "2606:4700::1"}, none));
  EXPECT_FALSE(usable("https://h.org/", {"127.0.0.1"}, none));
  EXPECT_FALSE(usable("https://127.0.0.1/", {"127.0.0.1"}, none));
  // One private address among public ones is somebody's trick.
  EXPECT_FALSE(usable("https://h.org/", {"1.1.1.1", "10.1.2.3"}, none));
  EXPECT_TRUE(usable("https://registry.lan:5000/", {"192.168.1.5"}, named));
  EXPECT_FALSE(usable("https://registry.lan:5001/", {"192.168.1.5"}, named));
  EXPECT_FALSE(usable("https://other.lan:5000/", {"192.168.1.5"}, named));
  EXPECT_TRUE(usable("http://127.0.0.1:8080/", {"127.0.0.1"}, named));
  EXPECT_FALSE(usable("http://127.0.0.1:8082/", {"127.0.0.1"}, named));
  EXPECT_TRUE(usable("http://[::1]:8081/", {"::1"}, named));
  EXPECT_TRUE(usable("http://h.org/", {"10.1.2.3"}, networks));
  EXPECT_TRUE(usable("https://h.org/", {"fd12::1"}, networks));
  EXPECT_FALSE(usable("https://h.org/", {"10.2.0.1"}, networks));
  // Without TLS only what is named, public or not.
  EXPECT_FALSE(usable("http://h.org/", {"1.1.1.1"}, networks));
  EXPECT_FALSE(usable("http://h.org/", {"1.1.1.1"}, none));
  EXPECT_FALSE(usable("https://h.org/", {}, none));
}

TEST(PrivateRules, HttpNeedsAnEntryThatCouldNameIt) {
  const auto may = [](const char* url, std::vector<std::string> entries) {
    return rules(std::move(entries)).may_allow(*parse_url(url));
  };
  EXPECT_FALSE(may("http://h.org/", {}));
  EXPECT_FALSE(may("http://h.org/", {"h.org:8080"}));
  EXPECT_TRUE(may("http://h.org:8080/", {"h.org:8080"}));
  EXPECT_TRUE(may("http://h.org/", {"10.0.0.0/8"}));  // decided once its address is known
  EXPECT_TRUE(may("http://10.1.1.1/", {"10.0.0.0/8"}));
  EXPECT_FALSE(may("http://11.1.1.1/", {"10.0.0.0/8"}));
}

TEST(PrivateRules, RefusesOtherEntries) {
  for (const char* entry :
       {"", "h.org", "h.org:", "h.org:0", "h.org:65536", "h.org:x", "10.0.0.0/33", "10.0.0.0/",
        "10.0.0/8", "::/129", "h.org/8", "10.0.0.0/8:80", "h.org:80/x", "user@h.org:80", "*:80"})
    EXPECT_FALSE(PrivateRules::parse({entry}).ok()) << entry;
}

}  // namespace
}  // namespace holdfast::fetch
