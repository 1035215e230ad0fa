#include "holdfast/http/address.h"

#include <gtest/gtest.h>

namespace holdfast::http {
namespace {

TEST(Address, HostIsWhatStandsBeforeThePort) {
  EXPECT_EQ(host_name("example.org:80"), "example.org");
  EXPECT_EQ(host_name("10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(host_name("[::1]:80"), "::1");
  EXPECT_EQ(host_name("[::1]"), "::1");
  EXPECT_EQ(host_name("[::1"), "");
  EXPECT_EQ(host_name(""), "");
}

TEST(Address, LoopbackIsAnAddressAndNoNameThatLooksLikeOne) {
  for (const char* host :
       {"127.0.0.1", "127.9.9.9", "::1", "[::1]", "0:0:0:0:0:0:0:1", "localhost", "LocalHost"}) {
    EXPECT_TRUE(is_loopback(host)) << host;
  }
  for (const char* host : {"", "127", "127.", "127.1", "127.0.0.1.example.org", "127.example.org",
                           "128.0.0.1", "0.0.0.0", "::", "::2", "::ffff:127.0.0.1", "[::1",
                           "localhost.example.org", "127.0.0.1:80", "127.0.0.1 "}) {
    EXPECT_FALSE(is_loopback(host)) << host;
  }
}

TEST(Address, MappedAddressesAreThoseThatTheyMap) {
  EXPECT_EQ(without_mapping("::ffff:10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(without_mapping("::ffff:1"), "::ffff:1");
  EXPECT_EQ(without_mapping("10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(without_mapping("::1"), "::1");
}

}  // namespace
}  // namespace holdfast::http
