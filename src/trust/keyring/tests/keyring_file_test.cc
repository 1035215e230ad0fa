#include "holdfast/keyring/keyring_file.h"

#include <gtest/gtest.h>

#include "holdfast/keyring/passphrase_cost.h"
#include "holdfast/keyring/slot_params.h"

namespace holdfast::keyring {
namespace {

Keyring sample() {
  Keyring k;
  k.instance_id.fill(std::byte{0x11});
  k.generation = 7;
  k.irk_epoch = 3;
  Slot slot;
  slot.plan.id.fill(std::byte{0x22});
  slot.plan.recovery = true;
  slot.plan.created = 1'750'000'000;
  slot.plan.label = "paper";
  slot.plan.factors.push_back({FactorKind::kPassphrase, Bytes(28, std::byte{0x33})});
  slot.wrapped = Bytes(wrapped_root_bytes(1), std::byte{0x44});
  k.slots.push_back(slot);
  slot.plan.id.fill(std::byte{0x55});
  slot.plan.recovery = false;
  slot.plan.factors.push_back({FactorKind::kTpm2, Bytes(5, std::byte{0x66})});
  slot.wrapped = Bytes(wrapped_root_bytes(2), std::byte{0x77});
  k.slots.push_back(slot);
  return k;
}

Bytes file_of(const Keyring& k) {
  Bytes file = encode_keyring(k);
  file.insert(file.end(), kKeyringMacBytes, std::byte{0x88});
  return file;
}

// The header, byte by byte, as docs/formats/keyring.md has it.
TEST(KeyringFile, HeaderIsAsSpecified) {
  const Bytes file = encode_keyring(sample());
  EXPECT_EQ(to_hex(ByteView(file).first(36)),
            "48464b31"
            "0001"
            "0002"
            "11111111111111111111111111111111"
            "0000000000000007"
            "00000003");
  EXPECT_EQ(load_be<std::uint32_t>(file.data() + 64), 16 + 1 + 1 + 2 + 8 + 2 + 5 + 3 + 28 + 60u);
}

TEST(KeyringFile, RoundTrip) {
  const Keyring k = sample();
  const auto decoded = decode_keyring(file_of(k));
  ASSERT_TRUE(decoded.ok()) << decoded.error().to_string();
  EXPECT_EQ(decoded->keyring.slots, k.slots);
  EXPECT_EQ(decoded->keyring.generation, 7u);
  EXPECT_EQ(decoded->keyring.irk_epoch, 3u);
  EXPECT_EQ(decoded->mac[0], std::byte{0x88});
}

TEST(KeyringFile, TruncatedAtEveryByteAndTooLongIsRefused) {
  Bytes file = file_of(sample());
  for (std::size_t n = 0; n < file.size(); ++n)
    EXPECT_FALSE(decode_keyring(ByteView(file).first(n)).ok()) << n;
  file.push_back(std::byte{0});
  EXPECT_FALSE(decode_keyring(file).ok());
}

TEST(KeyringFile, LimitsAndReservedFieldsAreChecked) {
  const auto with = [](std::size_t at, std::uint8_t value) {
    Bytes file = file_of(sample());
    file[at] = static_cast<std::byte>(value);
    return decode_keyring(file);
  };
  EXPECT_EQ(with(5, 2).error().code(), ErrorCode::kUnsupported);  // version
  EXPECT_FALSE(with(7, 0).ok());                                  // slots
  EXPECT_FALSE(with(7, 17).ok());
  EXPECT_FALSE(with(40, 1).ok());       // reserved
  EXPECT_FALSE(with(68 + 16, 3).ok());  // factors
  EXPECT_FALSE(with(68 + 17, 2).ok());  // flags
  Keyring twice = sample();
  twice.slots[1].plan.id = twice.slots[0].plan.id;
  EXPECT_FALSE(decode_keyring(file_of(twice)).ok());
}

TEST(SlotParams, RegistersOfATpm) {
  Tpm2Params params;
  for (const std::uint32_t mask : {0u, 1u << 24, 0xffffffffu}) {
    params.pcr_mask = mask;
    EXPECT_EQ(decode_tpm2_params(encode_params(params)).error().code(), ErrorCode::kCorrupt);
  }
  params.pcr_mask = 1u << 7;
  EXPECT_TRUE(decode_tpm2_params(encode_params(params)).ok());
}

TEST(SlotParams, ThePinsFileOfATokensUri) {
  EXPECT_EQ(*pin_source_of("pkcs11:token=a;object=pin-source=file:/x"), "");
  EXPECT_EQ(*pin_source_of("pkcs11:token=a?module-path=/m.so&pin-source=file:/etc/p%20q"),
            "/etc/p q");
  EXPECT_EQ(*pin_source_of("pkcs11:?pin-source=file:///etc/pin&x=y"), "/etc/pin");
  EXPECT_EQ(*pin_source_of("pkcs11:?pin-source=/etc/pin"), "/etc/pin");
  for (const char* bad :
       {"pkcs11:?pin-source=|cat", "pkcs11:?pin-source=file:pin", "pkcs11:?pin-source=/a%0",
        "pkcs11:?pin-source=/a%00b", "pkcs11:?pin-source="}) {
    EXPECT_FALSE(pin_source_of(bad).ok()) << bad;
  }
}

// A machine of which each pass takes a known time.
TEST(PassphraseCost, PassesGrowUntilATryTakesHalfASecond) {
  const auto machine = [](std::int64_t ns_per_pass) {
    return [ns_per_pass](const crypto::Argon2Cost& c) -> Result<std::chrono::nanoseconds> {
      return std::chrono::nanoseconds(ns_per_pass * c.passes);
    };
  };
  EXPECT_EQ(calibrate({65536, 3, 4}, machine(200'000'000))->passes, 3u);
  const auto fast = calibrate({65536, 3, 4}, machine(10'000'000));
  EXPECT_GE(fast->passes, 50u);
  EXPECT_LE(fast->passes, 60u);
  EXPECT_EQ(calibrate({65536, 3, 4}, machine(1))->passes, 1000u);
}

}  // namespace
}  // namespace holdfast::keyring
