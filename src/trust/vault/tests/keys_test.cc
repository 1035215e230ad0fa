// Oracles: the vectors of the format's specification (section "Example" of docs/formats/pack.md),
// which were computed by another implementation; and refusal of every single changed bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "holdfast/vault/content_keys.h"
#include "holdfast/vault/key_wrap.h"
#include "holdfast/vault/wrap_slot.h"

namespace holdfast::vault {
namespace {

using crypto::AeadAlgorithm;
using crypto::Secret;

template <std::size_t N>
std::array<std::byte, N> counting(int first) {
  std::array<std::byte, N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = static_cast<std::byte>(first + static_cast<int>(i));
  return out;
}

Secret dek() { return *Secret::copy_of(counting<32>(0)); }
Secret kek() { return *Secret::copy_of(Bytes(32, std::byte{0xa0})); }
Salt salt() { return counting<32>(0x20); }
ModelId model_id() { return counting<16>(0x40); }
crypto::Nonce wrap_nonce() { return counting<12>(0x10); }

ContentKeys keys_of(AeadAlgorithm algorithm) {
  return *derive_content_keys(dek(), algorithm, salt(), model_id());
}

constexpr std::string_view kWrapped =
    "5ef84d9967807ccacd282c617e5ec4d50721f642d95d6e5d6a85a34ab90c7565fdbc3e139b557033e2f9b90f9c5dab"
    "7c";

TEST(ContentKeys, EqualTheVector) {
  const ContentKeys keys = keys_of(AeadAlgorithm::kAes256Gcm);
  EXPECT_EQ(to_hex(keys.content_key.view()),
            "ac301149d2ec743174a417754ec60868e7271fec6be93edd4ef2714a724add85");
  EXPECT_EQ(to_hex(keys.nonce_prefix), "70aa245483cb68");
  EXPECT_EQ(to_hex(keys.header_key.view()),
            "4ae1afa881b46b8bbbb1a13ef4bc6b91e42d3db8c522284baca29191da7aef35");
}

TEST(ContentKeys, DependOnEveryInput) {
  const ContentKeys keys = keys_of(AeadAlgorithm::kAes256Gcm);
  const auto differs = [&](const ContentKeys& other, bool header_key_too) {
    EXPECT_NE(to_hex(keys.content_key.view()), to_hex(other.content_key.view()));
    EXPECT_NE(keys.nonce_prefix, other.nonce_prefix);
    EXPECT_EQ(to_hex(keys.header_key.view()) != to_hex(other.header_key.view()), header_key_too);
  };
  differs(keys_of(AeadAlgorithm::kChaCha20Poly1305), false);
  Salt other_salt = salt();
  other_salt[31] ^= std::byte{1};
  differs(*derive_content_keys(dek(), AeadAlgorithm::kAes256Gcm, other_salt, model_id()), true);
  ModelId other_model = model_id();
  other_model[15] ^= std::byte{1};
  differs(*derive_content_keys(dek(), AeadAlgorithm::kAes256Gcm, salt(), other_model), false);
  differs(*derive_content_keys(kek(), AeadAlgorithm::kAes256Gcm, salt(), model_id()), true);
}

TEST(ContentKeyMessage, RoundTrips) {
  for (const auto algorithm : {AeadAlgorithm::kAes256Gcm, AeadAlgorithm::kChaCha20Poly1305}) {
    const ContentKeys keys = keys_of(algorithm);
    const ContentKeyMessage message(keys);
    EXPECT_EQ(to_hex(message.view().first(8)),
              algorithm == AeadAlgorithm::kAes256Gcm ? "4846434b00010100" : "4846434b00010200");
    const auto decoded = message.decode();
    ASSERT_TRUE(decoded.ok()) << decoded.error().to_string();
    EXPECT_EQ(decoded->algorithm, algorithm);
    EXPECT_EQ(to_hex(decoded->content_key.view()), to_hex(keys.content_key.view()));
    EXPECT_EQ(decoded->nonce_prefix, keys.nonce_prefix);
    EXPECT_EQ(to_hex(decoded->header_key.view()), to_hex(keys.header_key.view()));
  }
}

TEST(ContentKeyMessage, RefusesEveryOtherFixedField) {
  for (const std::size_t at : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 79u}) {
    ContentKeyMessage message(keys_of(AeadAlgorithm::kAes256Gcm));
    message.bytes()[at] ^= std::byte{0x80};
    EXPECT_FALSE(message.decode().ok()) << at;
  }
  EXPECT_FALSE(ContentKeyMessage().decode().ok());
}

// The keys do not stay in the memory that the message had.
TEST(ContentKeyMessage, IsWiped) {
  alignas(ContentKeyMessage) std::byte memory[sizeof(ContentKeyMessage)];
  auto* message = new (memory) ContentKeyMessage(keys_of(AeadAlgorithm::kAes256Gcm));
  message->~ContentKeyMessage();
  // Through a volatile pointer: the object's life is over, and the compiler may think so too.
  const volatile std::byte* after = memory;
  for (std::size_t i = 0; i < sizeof memory; ++i) EXPECT_TRUE(after[i] == std::byte{0}) << i;
}

TEST(KeyWrap, EqualsTheVector) {
  const Bytes wrapped = wrap_key(kek(), wrap_nonce(), kDekWeightsPurpose, model_id(), 3, dek());
  EXPECT_EQ(to_hex(wrapped), kWrapped);
  const auto opened = unwrap_key(kek(), wrap_nonce(), kDekWeightsPurpose, model_id(), 3, wrapped);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(to_hex(opened->view()), to_hex(dek().view()));
}

TEST(KeyWrap, WritesTheAssociatedDataAsSpecified) {
  EXPECT_EQ(
      to_hex(wrap_aad("ab", counting<3>(1), 0x01020304)),
      to_hex(as_bytes_view("holdfast/wrap/v1")) + "00" + "00026162" + "0003010203" + "01020304");
}

TEST(KeyWrap, RefusesEveryOtherContext) {
  const Bytes wrapped = *from_hex(kWrapped);
  const auto opens = [&](const Secret& key, const crypto::Nonce& nonce, std::string_view purpose,
                         ByteView id, std::uint32_t epoch) {
    const auto opened = unwrap_key(key, nonce, purpose, id, epoch, wrapped);
    EXPECT_TRUE(opened.ok() || opened.error().code() == ErrorCode::kCorrupt);
    return opened.ok();
  };
  EXPECT_TRUE(opens(kek(), wrap_nonce(), "dek.weights", model_id(), 3));
  EXPECT_FALSE(opens(dek(), wrap_nonce(), "dek.weights", model_id(), 3));
  EXPECT_FALSE(opens(kek(), counting<12>(0x11), "dek.weights", model_id(), 3));
  EXPECT_FALSE(opens(kek(), wrap_nonce(), "dek.subject", model_id(), 3));
  EXPECT_FALSE(opens(kek(), wrap_nonce(), "dek.weights", counting<16>(0x41), 3));
  EXPECT_FALSE(opens(kek(), wrap_nonce(), "dek.weights", model_id(), 4));
}

TEST(KeyWrap, RefusesEveryFlippedBitAndLength) {
  const Bytes whole = *from_hex(kWrapped);
  const auto opens = [&](const Bytes& wrapped) {
    return unwrap_key(kek(), wrap_nonce(), kDekWeightsPurpose, model_id(), 3, wrapped).ok();
  };
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    Bytes changed = whole;
    changed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    EXPECT_FALSE(opens(changed)) << bit;
  }
  for (std::size_t n = 0; n < 100; ++n) {
    Bytes resized = whole;
    resized.resize(n);
    EXPECT_EQ(opens(resized), n == whole.size()) << n;
  }
  EXPECT_FALSE(opens(Bytes(1u << 20)));
}

WrapSlot filled() {
  return fill_wrap_slot(kek(), 3, counting<16>(0x60), wrap_nonce(), model_id(), dek());
}

TEST(WrapSlot, EncodesAsSpecified) {
  EXPECT_EQ(to_hex(encode_wrap_slot(filled())), "0101003000000003" + to_hex(counting<16>(0x60)) +
                                                    to_hex(wrap_nonce()) + std::string(kWrapped) +
                                                    std::string(2 * (256 - 84), '0'));
  EXPECT_EQ(to_hex(encode_wrap_slot(WrapSlot{})), std::string(512, '0'));
}

TEST(WrapSlot, RoundTrips) {
  EXPECT_EQ(*decode_wrap_slot(encode_wrap_slot(filled())), filled());
  EXPECT_EQ(*decode_wrap_slot(encode_wrap_slot(WrapSlot{})), WrapSlot{});
  WrapSlot kwp = filled();
  kwp.algorithm = WrapAlgorithm::kAesKwp;
  std::fill(kwp.wrapped.begin() + 40, kwp.wrapped.end(), std::byte{0});
  EXPECT_EQ(*decode_wrap_slot(encode_wrap_slot(kwp)), kwp);
  EXPECT_EQ(open_wrap_slot(kek(), model_id(), kwp).error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(open_wrap_slot(kek(), model_id(), WrapSlot{}).error().code(), ErrorCode::kNotFound);
}

// Nothing covers a slot but its own tag: each flipped bit is refused by the decoder or fails to
// unwrap, except in kek_id, which only says which key to try.
TEST(WrapSlot, NoticesEveryFlippedBit) {
  const auto whole = encode_wrap_slot(filled());
  ASSERT_TRUE(open_wrap_slot(kek(), model_id(), *decode_wrap_slot(whole)).ok());
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    auto changed = whole;
    changed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    const auto slot = decode_wrap_slot(changed);
    const bool kek_id = bit / 8 >= 8 && bit / 8 < 24;
    EXPECT_EQ(slot.ok() && open_wrap_slot(kek(), model_id(), *slot).ok(), kek_id) << bit;
  }
}

TEST(WrapSlot, RefusesAnotherModel) {
  EXPECT_EQ(open_wrap_slot(kek(), counting<16>(0x41), filled()).error().code(),
            ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace holdfast::vault
