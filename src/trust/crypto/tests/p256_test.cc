// Oracle: the key of RFC 6979, appendix A.2.5, and OpenSSL's verification over the encoded key.
#include "holdfast/crypto/p256.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "holdfast/crypto/kdf.h"

namespace holdfast::crypto {
namespace {

Secret secret(std::string_view hex) { return *Secret::copy_of(*from_hex(hex)); }

constexpr std::string_view kPrivate =
    "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
constexpr std::string_view kOrder =
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

bool verifies(ByteView spki, ByteView message, ByteView signature) {
  const auto* in = reinterpret_cast<const unsigned char*>(spki.data());
  EVP_PKEY* key = d2i_PUBKEY(nullptr, &in, static_cast<long>(spki.size()));
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const bool good =
      EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, key) == 1 &&
      EVP_DigestVerify(context, reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(message.data()),
                       message.size()) == 1;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  return good;
}

TEST(P256, PublicKeyOfTheVector) {
  EXPECT_EQ(to_hex(*p256_public_key(secret(kPrivate))),
            "3059301306072a8648ce3d020106082a8648ce3d030107034200"
            "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
            "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
}

TEST(P256, SignsWhatVerifies) {
  const Secret key = secret(kPrivate);
  const Bytes spki = *p256_public_key(key);
  for (const std::string_view text : {std::string_view(), std::string_view("sample")}) {
    const ByteView message = as_bytes_view(text);
    const Bytes signature = *p256_sign(key, message);
    EXPECT_TRUE(verifies(spki, message, signature));
    EXPECT_FALSE(verifies(spki, as_bytes_view("another"), signature));
    // A nonce that repeats gives the key away.
    EXPECT_NE(signature, *p256_sign(key, message));
  }
}

TEST(P256, RefusesWhatIsNoKey) {
  Secret last = secret(kOrder);
  EXPECT_FALSE(is_p256_key(last));
  last.bytes().back() = std::byte{0x50};
  EXPECT_TRUE(is_p256_key(last));
  EXPECT_FALSE(is_p256_key(*Secret::of_size(kKeyBytes)));
  EXPECT_FALSE(is_p256_key(*Secret::of_size(kKeyBytes - 1)));
  EXPECT_EQ(p256_public_key(secret(kOrder)).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(p256_sign(secret(kOrder), {}).error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace holdfast::crypto
