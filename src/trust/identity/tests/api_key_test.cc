// Oracle: the worked example of docs/formats/keys.md, made with Python's hmac, base64 and zlib.
#include "holdfast/identity/api_key.h"

#include <gtest/gtest.h>

#include <set>

#include "holdfast/platform/entropy.h"

namespace holdfast::identity {
namespace {

constexpr std::string_view kExample =
    "hk_aaaqeayeaudaocaj_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_2nYSFf";

TEST(ApiKey, MatchesTheExample) {
  KeyIdBytes id;
  KeySecretBytes secret;
  for (std::size_t i = 0; i < id.size(); ++i) id[i] = static_cast<std::byte>(i);
  for (std::size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<std::byte>(i);
  EXPECT_EQ(format_key(id, secret).reveal(), kExample);
  const auto parsed = parse_key(kExample);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->id, "aaaqeayeaudaocaj");
  EXPECT_EQ(parsed->secret, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
  Pepper pepper;
  pepper.fill(std::byte{0x5a});
  EXPECT_EQ(to_hex(key_verifier(pepper, *parsed)),
            "3450461d0ed146ba57ffff306c08f2ab00a7833f0c0f127d4d9b47f35eca487d");
  pepper[31] = std::byte{0x5b};
  EXPECT_NE(to_hex(key_verifier(pepper, *parsed)).substr(0, 8), "3450461d");
}

TEST(ApiKey, RandomKeysComeBack) {
  platform::SeededEntropy entropy(7);
  bool underscore = false;
  for (int i = 0; i < 2000; ++i) {
    KeyIdBytes id;
    KeySecretBytes secret;
    ASSERT_TRUE(entropy.fill(id).ok());
    ASSERT_TRUE(entropy.fill(secret).ok());
    const auto text = format_key(id, secret);
    ASSERT_EQ(text.size(), kKeyLength);
    const auto parsed = parse_key(text.reveal());
    ASSERT_TRUE(parsed.ok()) << text.reveal();
    // Separators inside the secret must not move the parts.
    underscore = underscore || parsed->secret.find('_') != std::string_view::npos;
    EXPECT_EQ(text.reveal().substr(0, 64),
              "hk_" + std::string(parsed->id) + "_" + std::string(parsed->secret) + "_");
  }
  EXPECT_TRUE(underscore);
}

TEST(ApiKey, EveryChangedCharacterIsRefused) {
  for (std::size_t at = 0; at < kExample.size(); ++at) {
    for (int c = 0; c < 256; ++c) {
      std::string text(kExample);
      if (text[at] == static_cast<char>(c)) continue;
      text[at] = static_cast<char>(c);
      EXPECT_FALSE(parse_key(text).ok()) << at << " " << c;
    }
  }
}

TEST(ApiKey, EveryOtherLengthIsRefused) {
  for (std::size_t n = 0; n < kExample.size(); ++n)
    EXPECT_FALSE(parse_key(kExample.substr(0, n)).ok()) << n;
  EXPECT_FALSE(parse_key(std::string(kExample) + "A").ok());
  EXPECT_FALSE(parse_key(std::string(1 << 20, 'a')).ok());
  EXPECT_FALSE(parse_key("' OR 1=1 --").ok());
  EXPECT_EQ(parse_key("").error().code(), ErrorCode::kUnauthenticated);
}

}  // namespace
}  // namespace holdfast::identity
