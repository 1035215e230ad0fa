// Oracles: RFC 8439 section 2.8.2; test cases 13 and 14 of "The Galois/Counter Mode of Operation"
// (McGrew, Viega).
#include "holdfast/crypto/aead.h"

#include <gtest/gtest.h>

#include <string>

#include "holdfast/crypto/secret.h"

namespace holdfast::crypto {
namespace {

Bytes hex(std::string_view text) { return *from_hex(text); }

Nonce nonce_of(std::string_view text) {
  Nonce nonce{};
  const Bytes bytes = hex(text);
  std::copy(bytes.begin(), bytes.end(), nonce.begin());
  return nonce;
}

struct Sealed {
  Bytes text, tag;
};

Sealed seal(Aead& aead, const Nonce& nonce, ByteView associated, ByteView plain) {
  Sealed out{Bytes(plain.size()), Bytes(kTagBytes)};
  aead.seal(nonce, associated, plain, out.text, out.tag);
  return out;
}

TEST(Aead, GcmVectors) {
  Aead aead(AeadAlgorithm::kAes256Gcm, Bytes(32));
  const Sealed empty = seal(aead, Nonce{}, {}, {});
  EXPECT_EQ(to_hex(empty.tag), "530f8afbc74536b9a963b4f1c4cb738b");
  const Sealed zeros = seal(aead, Nonce{}, {}, Bytes(16));
  EXPECT_EQ(to_hex(zeros.text), "cea7403d4d606b6e074ec5d3baf39d18");
  EXPECT_EQ(to_hex(zeros.tag), "d0d1c8a799996bf0265b98b5d48ab919");
}

TEST(Aead, ChaChaVector) {
  Aead aead(AeadAlgorithm::kChaCha20Poly1305,
            hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"));
  const Sealed got =
      seal(aead, nonce_of("070000004041424344454647"), hex("50515253c0c1c2c3c4c5c6c7"),
           as_bytes_view("Ladies and Gentlemen of the class of '99: If I could offer "
                         "you only one tip for the future, sunscreen would be it."));
  EXPECT_EQ(to_hex(got.tag), "1ae10b594f09e26a7e902ecbd0600691");
  EXPECT_EQ(to_hex(got.text).substr(0, 32), "d31a8d34648e60db7b86afbc53ef7ec2");
}

TEST(Aead, AnyOtherBitIsRefusedAndLeavesNothing) {
  for (const auto algorithm : {AeadAlgorithm::kAes256Gcm, AeadAlgorithm::kChaCha20Poly1305}) {
    const Bytes key = hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    Aead aead(algorithm, key);
    const Bytes associated = hex("a0a1a2");
    const std::string plain = "thirty-three bytes of plain text.";
    Sealed sealed =
        seal(aead, nonce_of("000000000000000000000001"), associated, as_bytes_view(plain));
    Bytes out(plain.size());
    const auto opens = [&](const Nonce& nonce, const Bytes& with) {
      return aead.open(nonce, with, sealed.text, sealed.tag, out);
    };
    const Nonce nonce = nonce_of("000000000000000000000001");
    ASSERT_TRUE(opens(nonce, associated));
    EXPECT_EQ(as_string_view(out), plain);
    for (Bytes* part : {&sealed.text, &sealed.tag}) {
      for (std::size_t bit = 0; bit < 8 * part->size(); ++bit) {
        (*part)[bit / 8] ^= std::byte(1 << (bit % 8));
        EXPECT_FALSE(opens(nonce, associated));
        EXPECT_EQ(out, Bytes(plain.size()));
        (*part)[bit / 8] ^= std::byte(1 << (bit % 8));
      }
    }
    EXPECT_FALSE(opens(nonce_of("000000000000000000000002"), associated));
    EXPECT_FALSE(opens(nonce, hex("a0a1a3")));
    EXPECT_FALSE(opens(nonce, {}));
    EXPECT_FALSE(aead.open(nonce, associated, sealed.text, ByteView(sealed.tag).first(15), out));
    Bytes other = key;
    other[31] ^= std::byte{1};
    EXPECT_FALSE(Aead(algorithm, other).open(nonce, associated, sealed.text, sealed.tag, out));
    ASSERT_TRUE(opens(nonce, associated));
  }
}

TEST(Aead, InPlace) {
  Aead aead(fastest_aead(), Bytes(32));
  Bytes text(1000, std::byte{5}), tag(kTagBytes);
  aead.seal(Nonce{}, {}, text, text, tag);
  EXPECT_NE(text, Bytes(1000, std::byte{5}));
  EXPECT_TRUE(aead.open(Nonce{}, {}, text, tag, text));
  EXPECT_EQ(text, Bytes(1000, std::byte{5}));
}

TEST(Aead, NumbersAndNames) {
  EXPECT_FALSE(aead_algorithm(0));
  EXPECT_FALSE(aead_algorithm(3));
  EXPECT_EQ(aead_algorithm_name(*aead_algorithm(1)), "AES-256-GCM");
  EXPECT_EQ(aead_algorithm_name(*aead_algorithm(2)), "ChaCha20-Poly1305");
}

TEST(Secret, RandomAndCopies) {
  platform::SeededEntropy entropy(1);
  auto secret = Secret::random(100, entropy);
  ASSERT_TRUE(secret.ok());
  platform::SeededEntropy again(1);
  Bytes expected(100);
  // In the pieces that Secret asks for.
  ASSERT_TRUE(again.fill(MutableBytes(expected).first(64)).ok());
  ASSERT_TRUE(again.fill(MutableBytes(expected).subspan(64)).ok());
  EXPECT_EQ(to_hex(secret->view()), to_hex(expected));
  auto copy = secret->copy();
  ASSERT_TRUE(copy.ok());
  EXPECT_NE(copy->view().data(), secret->view().data());
  EXPECT_EQ(to_hex(copy->view()), to_hex(expected));
}

}  // namespace
}  // namespace holdfast::crypto
