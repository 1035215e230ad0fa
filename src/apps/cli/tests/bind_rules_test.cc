// Every combination of address, keys, certificate, proxies and auth.mode.
#include "../bind_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::cli {
namespace {

using gateway::AuthMode;
using testing::HasSubstr;
using testing::Not;

TEST(BindRules, Matrix) {
  std::size_t refused = 0, taken = 0;
  for (const char* listen :
       {"127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "0.0.0.0:1", "[::]:1",
        "192.168.1.2:1", "example.org:1", "127.0.0.1.evil.org:1", "[::ffff:127.0.0.1]:1", ":1"}) {
    for (const AuthMode mode : {AuthMode::kAuto, AuthMode::kRequired, AuthMode::kOff}) {
      for (int bits = 0; bits < 8; ++bits) {
        const bool keys = (bits & 1) != 0, certificate = (bits & 2) != 0, proxies = (bits & 4) != 0;
        const auto outcome = check_bind({listen, mode, keys, certificate, proxies});
        const std::string at(listen);
        const bool loopback =
            at == "127.0.0.1:1" || at == "127.9.9.9:1" || at == "localhost:1" || at == "[::1]:1";
        const bool good = loopback || (mode != AuthMode::kOff && keys && (certificate || proxies));
        ASSERT_EQ(outcome.ok(), good) << at << " " << static_cast<int>(mode) << " " << bits;
        (good ? taken : refused) += 1;
        if (good) {
          EXPECT_EQ(*outcome, loopback      ? BindTrust::kThisMachine
                              : certificate ? BindTrust::kTls
                                            : BindTrust::kProxies);
          continue;
        }
        EXPECT_EQ(outcome.error().code(), ErrorCode::kInvalidArgument);
        if (mode == AuthMode::kOff) continue;
        const std::string& hint = outcome.error().hint();
        EXPECT_EQ(hint.find("key create") != std::string::npos, !keys) << hint;
        EXPECT_EQ(hint.find("tls_cert") != std::string::npos, !certificate && !proxies) << hint;
      }
    }
  }
  EXPECT_EQ(taken, 4u * 3 * 8 + 7u * 2 * 3);
  EXPECT_EQ(refused + taken, 11u * 3 * 8);
}

TEST(BindRules, NoAddress) {
  for (const char* listen : {"", "11435", "localhost"})
    EXPECT_EQ(check_bind({listen}).error().code(), ErrorCode::kInvalidArgument) << listen;
}

}  // namespace
}  // namespace holdfast::cli
