// Oracles: RFC 5869 appendix A; RFC 7914 section 11; the tests of Argon2's reference
// implementation.
#include "holdfast/crypto/kdf.h"

#include <gtest/gtest.h>

namespace holdfast::crypto {
namespace {

Bytes range(int first, int last) {
  Bytes out;
  for (int i = first; i <= last; ++i) out.push_back(std::byte(i));
  return out;
}

TEST(Kdf, Hkdf) {
  const auto derived = [](ByteView key, ByteView salt, ByteView info, std::size_t bytes) {
    return to_hex(hkdf_sha256(key, salt, info, bytes)->view());
  };
  EXPECT_EQ(derived(Bytes(22, std::byte{0x0b}), range(0, 0x0c), range(0xf0, 0xf9), 42),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(
      derived(range(0, 0x4f), range(0x60, 0xaf), range(0xb0, 0xff), 82),
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e59"
      "0e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  EXPECT_EQ(derived(Bytes(22, std::byte{0x0b}), {}, {}, 42),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST(Kdf, Argon2id) {
  const auto derived = [](std::string_view passphrase, std::uint32_t kib, std::uint32_t passes) {
    return to_hex(
        argon2id(as_bytes_view(passphrase), as_bytes_view("somesalt"), {kib, passes, 1})->view());
  };
  EXPECT_EQ(derived("password", 65536, 2),
            "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
  EXPECT_EQ(derived("differentpassword", 65536, 2),
            "0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde");
  EXPECT_EQ(derived("password", 256, 2),
            "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");
}

TEST(Kdf, Argon2idOutOfRange) {
  const auto code = [](std::string_view salt, Argon2Cost cost) {
    return argon2id(as_bytes_view("x"), as_bytes_view(salt), cost).error().code();
  };
  EXPECT_EQ(code("short", {}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code("somesalt", {1, 3, 4}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code("somesalt", {65536, 0, 1}), ErrorCode::kInvalidArgument);
}

TEST(Kdf, Pbkdf2) {
  EXPECT_EQ(to_hex(pbkdf2_sha256(as_bytes_view("passwd"), as_bytes_view("salt"), 1)->view()),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
}

}  // namespace
}  // namespace holdfast::crypto
