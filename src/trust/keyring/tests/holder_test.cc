// Oracles: invariants of the format, and refusals of everything that was changed by one bit.
#include "holdfast/keyring/holder.h"

#include <gtest/gtest.h>

#include "holdfast/keyring/recovery_code.h"
#include "holdfast/keyring/slot_params.h"

namespace holdfast::keyring {
namespace {

class HolderTest : public testing::Test {
 protected:
  static std::vector<FactorKey> key(std::uint8_t n) {
    const Bytes bytes(crypto::kKeyBytes, static_cast<std::byte>(n));
    std::vector<FactorKey> keys;
    keys.emplace_back(std::move(*crypto::Secret::copy_of(bytes)));
    return keys;
  }
  static SlotPlan plan(std::uint8_t n) {
    SlotPlan p;
    p.id.fill(static_cast<std::byte>(n));
    p.created = 1'750'000'000;
    p.label = "slot";
    p.factors.push_back({FactorKind::kFile, encode_text_params("/k")});
    return p;
  }
  static SlotSecret secret(std::uint8_t slot, std::uint8_t n) { return {plan(slot).id, key(n)}; }
  Bytes created() {
    auto file = holder_.create(plan(1), key(1));
    EXPECT_TRUE(file.ok());
    return std::move(*file);
  }

  platform::SeededEntropy entropy_{7};
  platform::ManualClock clock_;
  Holder holder_{entropy_, clock_};
  const vault::ModelId model_ = {std::byte{9}};
};

TEST_F(HolderTest, OpensWithItsSlotAndNothingElse) {
  const Bytes file = created();
  Holder other(entropy_, clock_);
  EXPECT_EQ(other.open(file, secret(1, 2), 0).error().code(), ErrorCode::kDenied);
  EXPECT_EQ(other.open(file, secret(2, 1), 0).error().code(), ErrorCode::kDenied);
  ASSERT_TRUE(other.open(file, secret(1, 1), 1).ok());
  EXPECT_TRUE(other.status().open);
  other.seal(true);
  EXPECT_FALSE(other.status().open);
  EXPECT_TRUE(other.status().stay_sealed);
  EXPECT_EQ(other.make_key(purpose::kPepper, {}).error().code(), ErrorCode::kUnavailable);
}

TEST_F(HolderTest, AnyChangedBitIsRefused) {
  const Bytes file = created();
  for (std::size_t at = 0; at < file.size(); ++at) {
    Bytes changed = file;
    changed[at] ^= std::byte{0x10};
    Holder other(entropy_, clock_);
    EXPECT_FALSE(other.open(changed, secret(1, 1), 0).ok()) << "byte " << at;
  }
  for (std::size_t n = 0; n < file.size(); ++n) {
    EXPECT_FALSE(decode_keyring(ByteView(file).first(n)).ok()) << n << " bytes";
  }
}

TEST_F(HolderTest, WrongSecretAndDamagedSlotGiveTheSameAnswer) {
  const Bytes file = created();
  Bytes damaged = file;
  damaged[file.size() - kKeyringMacBytes - 1] ^= std::byte{1};  // the slot's tag
  Holder a(entropy_, clock_);
  Holder b(entropy_, clock_);
  EXPECT_EQ(a.open(file, secret(1, 2), 0).error().to_string(),
            b.open(damaged, secret(1, 1), 0).error().to_string());
}

TEST_F(HolderTest, WrongSecretsHaveToWait) {
  const Bytes file = created();
  Holder other(entropy_, clock_);
  for (std::uint32_t i = 0; i < kFreeAttempts; ++i)
    EXPECT_EQ(other.open(file, secret(1, 2), 0).error().code(), ErrorCode::kDenied);
  EXPECT_EQ(other.open(file, secret(1, 1), 0).error().code(), ErrorCode::kExhausted);
  clock_.advance(std::chrono::seconds(2));
  EXPECT_TRUE(other.open(file, secret(1, 1), 0).ok());
}

TEST_F(HolderTest, AnOlderFileIsRefused) {
  const Bytes old = created();
  const auto newer = holder_.add_slot(old, plan(2), key(2));
  ASSERT_TRUE(newer.ok());
  ASSERT_TRUE(holder_.accept(*newer).ok());
  Holder fresh(entropy_, clock_);
  EXPECT_EQ(fresh.open(old, secret(1, 1), 2).error().code(), ErrorCode::kCorrupt);
  EXPECT_TRUE(fresh.open(*newer, secret(2, 2), 2).ok());
  // Without a database's word it remembers what it has seen.
  EXPECT_EQ(fresh.open(old, secret(1, 1), 0).error().code(), ErrorCode::kCorrupt);
}

TEST_F(HolderTest, SlotsAreAddedTestedAndRemoved) {
  const Bytes one = created();
  EXPECT_EQ(holder_.remove_slot(one, plan(1).id).error().code(), ErrorCode::kConflict);
  const Bytes two = *holder_.add_slot(one, plan(2), key(2));
  ASSERT_TRUE(holder_.accept(two).ok());
  EXPECT_EQ(holder_.add_slot(one, plan(3), key(3)).error().code(), ErrorCode::kConflict);
  EXPECT_TRUE(holder_.test_slot(two, secret(2, 2)).ok());
  EXPECT_EQ(holder_.test_slot(two, secret(2, 1)).error().code(), ErrorCode::kDenied);
  const Bytes left = *holder_.remove_slot(two, plan(1).id);
  Holder fresh(entropy_, clock_);
  EXPECT_EQ(fresh.open(left, secret(1, 1), 0).error().code(), ErrorCode::kDenied);
  EXPECT_TRUE(fresh.open(left, secret(2, 2), 0).ok());
}

TEST_F(HolderTest, TwoFactorsOpenOnlyTogetherAndInOrder) {
  SlotPlan pair = plan(1);
  pair.factors.push_back(pair.factors.front());
  const auto keys = [](std::uint8_t a, std::uint8_t b) {
    std::vector<FactorKey> out = key(a);
    out.push_back(std::move(key(b).front()));
    return out;
  };
  const auto file = holder_.create(pair, keys(1, 2));
  ASSERT_TRUE(file.ok());
  Holder fresh(entropy_, clock_);
  EXPECT_FALSE(fresh.open(*file, {pair.id, keys(2, 1)}, 0).ok());
  EXPECT_FALSE(fresh.open(*file, {pair.id, keys(1, 1)}, 0).ok());
  EXPECT_TRUE(fresh.open(*file, {pair.id, keys(1, 2)}, 0).ok());
}

TEST_F(HolderTest, ChildKeysKeepTheirPurpose) {
  created();
  const Bytes id = epoch_id(1);
  const Bytes kek = *holder_.make_key(purpose::kKekWeights, id);
  EXPECT_EQ(holder_.load_key(purpose::kPepper, id, kek).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(holder_.load_key(purpose::kKekWeights, epoch_id(2), kek).error().code(),
            ErrorCode::kCorrupt);
  EXPECT_TRUE(holder_.load_key(purpose::kKekWeights, id, kek).ok());
  EXPECT_EQ(holder_.make_key("root", {}).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(HolderTest, RotationsKeepTheDataKey) {
  const Bytes file = created();
  const Bytes kek = *holder_.make_key(purpose::kKekWeights, epoch_id(1));
  ASSERT_TRUE(holder_.load_key(purpose::kKekWeights, epoch_id(1), kek).ok());
  const auto dek = holder_.give_dek(model_, {});
  ASSERT_TRUE(dek.ok());
  // A new KEK.
  const Bytes kek2 = *holder_.make_key(purpose::kKekWeights, epoch_id(2));
  ASSERT_TRUE(holder_.load_key(purpose::kKekWeights, epoch_id(2), kek2).ok());
  const Bytes rewrapped = *holder_.rewrap_dek(model_, dek->blob);
  holder_.unload_key(purpose::kKekWeights, epoch_id(1));
  EXPECT_EQ(holder_.unwrap_dek(model_, dek->blob).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(as_string_view(holder_.unwrap_dek(model_, rewrapped)->view()),
            as_string_view(dek->key.view()));
  // A new root key.
  std::vector<SlotSecret> kept;
  kept.push_back(secret(1, 1));
  const auto next = holder_.begin_rotation(file, kept);
  ASSERT_TRUE(next.ok());
  const Bytes child = *holder_.rewrap_child(purpose::kKekWeights, epoch_id(2), kek2);
  ASSERT_TRUE(holder_.accept(*next).ok());
  Holder fresh(entropy_, clock_);
  ASSERT_TRUE(fresh.open(*next, secret(1, 1), 2).ok());
  EXPECT_EQ(fresh.load_key(purpose::kKekWeights, epoch_id(2), kek2).error().code(),
            ErrorCode::kCorrupt);
  ASSERT_TRUE(fresh.load_key(purpose::kKekWeights, epoch_id(2), child).ok());
  EXPECT_TRUE(fresh.unwrap_dek(model_, rewrapped).ok());
}

TEST_F(HolderTest, TheImportKeySignsStatementsAboutModelsAlone) {
  created();
  const ByteView statement = as_bytes_view("DSSEv1 28 application/vnd.in-toto+json 2 {}");
  EXPECT_EQ(holder_.sign(SignUse::kImport, epoch_id(1), statement).error().code(),
            ErrorCode::kNotFound);
  const Bytes blob = *holder_.make_key(purpose::kImport, epoch_id(1));
  ASSERT_TRUE(holder_.load_key(purpose::kImport, epoch_id(1), blob).ok());
  EXPECT_TRUE(holder_.sign(SignUse::kImport, epoch_id(1), statement).ok());
  EXPECT_EQ(holder_.public_key(SignUse::kImport, epoch_id(1))->size(), 91u);
  for (const std::string_view other :
       {"", "DSSEv1 28 application/vnd.in-toto+jsom 2 {}", "holdfast/fleet/v1"})
    EXPECT_EQ(holder_.sign(SignUse::kImport, epoch_id(1), as_bytes_view(other)).error().code(),
              ErrorCode::kInvalidArgument);
  // A key of another purpose signs nothing, whatever its name.
  EXPECT_EQ(holder_.sign(static_cast<SignUse>(2), epoch_id(1), statement).error().code(),
            ErrorCode::kInvalidArgument);
  holder_.seal();
  EXPECT_EQ(holder_.public_key(SignUse::kImport, epoch_id(1)).error().code(),
            ErrorCode::kUnavailable);
}

TEST_F(HolderTest, RecoveryCodesAreTakenAsPeopleTypeThem) {
  const auto code = make_recovery_code(entropy_);
  ASSERT_TRUE(code.ok());
  const std::string text(as_string_view(code->view()));
  EXPECT_EQ(text.size(), kRecoveryCodeBytes);
  std::string typed;
  for (const char c : text) typed += c == '-' ? ' ' : static_cast<char>(std::toupper(c));
  EXPECT_EQ(as_string_view(normalize_passphrase(as_bytes_view(typed))->view()), text);
  EXPECT_EQ(as_string_view(normalize_passphrase(as_bytes_view("My Pass-phrase"))->view()),
            "My Pass-phrase");
}

TEST_F(HolderTest, CostsOutsideTheLimitsAreRefused) {
  PassphraseParams p;
  EXPECT_TRUE(decode_passphrase_params(encode_params(p)).ok());
  p.cost.memory_kib = kArgon2MemoryKibMin - 1;
  EXPECT_FALSE(decode_passphrase_params(encode_params(p)).ok());
  p.cost = {kArgon2MemoryKibMin, kArgon2PassesMin - 1, 1};
  EXPECT_FALSE(decode_passphrase_params(encode_params(p)).ok());
}

}  // namespace
}  // namespace holdfast::keyring
