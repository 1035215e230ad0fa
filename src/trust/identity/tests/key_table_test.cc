#include "holdfast/identity/key_table.h"

#include <gtest/gtest.h>

#include "holdfast/platform/testing/simulated_filesystem.h"

namespace holdfast::identity {
namespace {

class KeyTableTest : public testing::Test {
 protected:
  CreatedKey create(std::int64_t expires_at = 0) {
    NewKey key;
    key.tenant = "acme";
    key.models = {"smol"};
    key.weight = 3;
    key.expires_at = expires_at;
    auto out = store_.create(key);
    EXPECT_TRUE(out.ok());
    return std::move(out).value();
  }
  KeyState state(const CreatedKey& key) { return table_.authenticate(key.key.reveal()).state; }
  // Back from base32.
  static KeyIdBytes id_bytes(std::string_view text) {
    constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
    KeyIdBytes out{};
    for (std::size_t bit = 0; bit < 80; ++bit) {
      const std::size_t value = kAlphabet.find(text[bit / 5]);
      if ((value >> (4 - bit % 5) & 1) != 0) out[bit / 8] |= std::byte{1} << (7 - bit % 8);
    }
    return out;
  }
  void later(std::int64_t ns = kRefreshNs) {
    clock_.advance(std::chrono::nanoseconds(ns));
    const Status refreshed = table_.refresh();
    EXPECT_TRUE(refreshed.ok());
  }
  platform::testing::SimulatedFileSystem files_;
  platform::SeededEntropy entropy_{1};
  platform::ManualClock clock_;
  KeyStore store_{files_, "/keys", entropy_, clock_};
  KeyTable table_{files_, "/keys", clock_};
};

TEST_F(KeyTableTest, NoticesKeysThatComeAndGo) {
  ASSERT_TRUE(table_.load().ok());
  EXPECT_FALSE(table_.any());
  EXPECT_EQ(table_.authenticate("").state, KeyState::kInvalid);
  const auto first = create();
  later(kRefreshNs - 1);
  EXPECT_FALSE(table_.any());
  later(1);
  EXPECT_TRUE(table_.any());
  const Verdict verdict = table_.authenticate(first.key.reveal());
  ASSERT_EQ(verdict.state, KeyState::kValid);
  EXPECT_EQ(verdict.principal->tenant, "acme");
  EXPECT_EQ(verdict.principal->key_id, first.record.id);
  EXPECT_EQ(verdict.principal->models, std::vector<std::string>{"smol"});
  EXPECT_EQ(verdict.principal->weight, 3u);
  EXPECT_FALSE(verdict.principal->is_local());

  const auto second = create();
  later();
  EXPECT_EQ(state(first), KeyState::kValid);
  EXPECT_EQ(state(second), KeyState::kValid);
  EXPECT_EQ(table_.active(), 2u);
  ASSERT_TRUE(store_.revoke(first.record.id).ok());
  later();
  EXPECT_EQ(state(first), KeyState::kInvalid);
  EXPECT_EQ(state(second), KeyState::kValid);
  ASSERT_TRUE(store_.revoke(second.record.id).ok());
  later();
  EXPECT_EQ(table_.active(), 0u);
  EXPECT_TRUE(table_.any()) << "no key is left, and still keys are needed";
}

TEST_F(KeyTableTest, ExpiryIsToldOnlyToWhoHasTheSecret) {
  const auto key = create(1'750'000'010);
  ASSERT_TRUE(table_.load().ok());
  clock_.advance(std::chrono::seconds(9));
  EXPECT_EQ(state(key), KeyState::kValid);
  clock_.advance(std::chrono::seconds(1));
  EXPECT_EQ(state(key), KeyState::kExpired);
  // The same id with another secret, well formed.
  KeyIdBytes id{};
  KeySecretBytes secret{};
  std::string forged = format_key(id, secret).reveal();
  EXPECT_EQ(table_.authenticate(forged).state, KeyState::kInvalid);
}

TEST_F(KeyTableTest, RightIdWithWrongSecretAndTheReverse) {
  std::vector<CreatedKey> keys;
  for (int i = 0; i < 40; ++i) keys.push_back(create());
  ASSERT_TRUE(table_.load().ok());
  for (const CreatedKey& key : keys) EXPECT_EQ(state(key), KeyState::kValid);
  KeySecretBytes secret;
  secret.fill(std::byte{1});
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const KeyIdBytes id = id_bytes(keys[i].record.id);
    const auto forged = format_key(id, secret);
    ASSERT_EQ(parse_key(forged.reveal())->id, keys[i].record.id);
    EXPECT_EQ(table_.authenticate(forged.reveal()).state, KeyState::kInvalid);
    // The secret of one key under the id of the next,: the checksum is wrong.
    const std::string& text = keys[i].key.reveal();
    std::string mixed = text;
    mixed.replace(3, kKeyIdLength, keys[(i + 1) % keys.size()].record.id);
    EXPECT_EQ(table_.authenticate(mixed).state, KeyState::kInvalid);
  }
  for (int i = 0; i < 256; ++i) {
    KeyIdBytes id;
    id.fill(static_cast<std::byte>(i));
    EXPECT_EQ(table_.authenticate(format_key(id, secret).reveal()).state, KeyState::kInvalid);
  }
}

TEST_F(KeyTableTest, UnreadableFilesCloseTheDoor) {
  const auto key = create();
  ASSERT_TRUE(table_.load().ok());
  ASSERT_EQ(state(key), KeyState::kValid);
  ASSERT_TRUE(files_.corrupt_byte("/keys/keys.json", 3, 0xff).ok());
  // The simulated damage leaves the times as they were; a real editor renames or rewrites.
  clock_.advance(std::chrono::seconds(1));
  ASSERT_TRUE(
      platform::write_file_atomic(files_, "/keys/keys.json", as_bytes_view("{broken"), 0600).ok());
  EXPECT_EQ(table_.refresh().error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(state(key), KeyState::kInvalid);
  EXPECT_TRUE(table_.any());
  clock_.advance(std::chrono::seconds(1));
  EXPECT_TRUE(table_.refresh().ok()) << "one file, one message";
  EXPECT_EQ(state(key), KeyState::kInvalid);
  ASSERT_TRUE(files_.remove("/keys/keys.json").ok());
  later();
  EXPECT_TRUE(table_.any());
  KeyTable fresh(files_, "/keys", clock_);
  ASSERT_TRUE(fresh.load().ok());
  EXPECT_FALSE(fresh.any());
}

TEST_F(KeyTableTest, DamageAtStartIsAnError) {
  ASSERT_TRUE(files_.make_dirs("/keys", 0700).ok());
  ASSERT_TRUE(
      platform::write_file_atomic(files_, "/keys/keys.json", as_bytes_view("{}"), 0600).ok());
  EXPECT_FALSE(table_.load().ok());
}

NewKey acme() {
  NewKey key;
  key.tenant = "acme";
  return key;
}

// Whoever has the pepper, here in the same process.
class Elsewhere final : public Verifiers {
 public:
  Result<crypto::Sha256Digest> verifier(const ParsedKey& key) override {
    ++asked;
    if (!answers) return unavailable("sealed");
    return key_verifier(pepper_, key);
  }
  bool answers = true;
  int asked = 0;

 private:
  Pepper pepper_{std::byte{7}};
};

TEST_F(KeyTableTest, APepperThatLiesElsewhereIsAskedOnceForAValidKey) {
  Elsewhere elsewhere;
  KeyStore store(files_, "/keys", entropy_, clock_, &elsewhere);
  KeyTable table(files_, "/keys", clock_, &elsewhere);
  const CreatedKey key = *store.create(acme());
  EXPECT_FALSE(files_.exists("/keys/pepper"));
  ASSERT_TRUE(table.load().ok());
  elsewhere.asked = 0;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(table.authenticate(key.key.reveal()).state, KeyState::kValid);
  EXPECT_EQ(elsewhere.asked, 1);
  // A wrong key is remembered by nobody.
  const observe::SecretText wrong = format_key({}, {});
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(table.authenticate(wrong.reveal()).state, KeyState::kInvalid);
  EXPECT_EQ(elsewhere.asked, 4);
  elsewhere.answers = false;
  EXPECT_EQ(table.authenticate(wrong.reveal()).state, KeyState::kUnknown);
  EXPECT_EQ(table.authenticate(key.key.reveal()).state, KeyState::kValid);
  EXPECT_EQ(store.create(acme()).error().code(), ErrorCode::kUnavailable);
  // What is remembered is the verifier, not the answer: a revoked key is refused at once.
  ASSERT_TRUE(store.revoke(key.record.id).ok());
  clock_.advance(std::chrono::nanoseconds(kRefreshNs));
  ASSERT_TRUE(table.refresh().ok());
  EXPECT_NE(table.authenticate(key.key.reveal()).state, KeyState::kValid);
}

}  // namespace
}  // namespace holdfast::identity
