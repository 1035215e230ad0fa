#include "holdfast/identity/key_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "holdfast/platform/testing/simulated_filesystem.h"

namespace holdfast::identity {
namespace {

using platform::testing::CrashPolicy;
using platform::testing::SimulatedFileSystem;

class KeyStoreTest : public testing::Test {
 protected:
  static NewKey wanted(std::string tenant = "acme") {
    NewKey out;
    out.tenant = std::move(tenant);
    return out;
  }
  std::string text(const std::string& path) {
    const auto bytes = platform::read_file(files_, path, kKeyFileBytesMax);
    return bytes.ok() ? std::string(as_string_view(*bytes)) : "";
  }
  SimulatedFileSystem files_;
  platform::SeededEntropy entropy_{1};
  platform::ManualClock clock_;
  KeyStore store_{files_, "/data/keys", entropy_, clock_};
};

TEST_F(KeyStoreTest, CreatesListsAndRevokes) {
  EXPECT_TRUE(store_.list().value().empty());
  NewKey key = wanted();
  key.role = Role::kAdmin;
  key.models = {"smol", "org/name:q4"};
  key.label = "laptop";
  key.weight = 7;
  key.quotas = {60, 100'000};
  key.expires_at = 1'750'000'001;
  const auto created = store_.create(key);
  ASSERT_TRUE(created.ok()) << created.error().to_string();
  EXPECT_EQ(created->key.size(), kKeyLength);
  EXPECT_EQ(created->record.created_at, 1'750'000'000);
  const auto keys = store_.list().value();
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys[0], created->record);
  EXPECT_EQ(keys[0].models, key.models);
  EXPECT_TRUE(keys[0].active(1'750'000'000));
  EXPECT_FALSE(keys[0].active(1'750'000'001));

  const auto other = store_.create(wanted("other")).value();
  EXPECT_NE(other.record.id, keys[0].id);
  EXPECT_EQ(store_.find(keys[0].id.substr(0, 6)).value().id, keys[0].id);
  EXPECT_EQ(store_.find("").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(store_.find("zzzz").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(store_.find(other.key.reveal()).error().code(), ErrorCode::kInvalidArgument);

  clock_.advance(std::chrono::seconds(5));
  EXPECT_EQ(store_.revoke(other.record.id).value().revoked_at, 1'750'000'005);
  clock_.advance(std::chrono::seconds(5));
  EXPECT_EQ(store_.revoke(other.record.id).value().revoked_at, 1'750'000'005);
  EXPECT_EQ(store_.list().value()[1].revoked_at, 1'750'000'005);
}

TEST_F(KeyStoreTest, NoSecretIsStored) {
  const auto created = store_.create(wanted()).value();
  const std::string secret = created.key.reveal().substr(20, kKeySecretLength);
  for (const char* path : {"/data/keys/keys.json", "/data/keys/pepper"}) {
    EXPECT_NE(text(path), "") << path;
    EXPECT_EQ(text(path).find(secret), std::string::npos);
    EXPECT_EQ(files_.stat(path).value().mode & 0777, 0600u) << path;
  }
}

TEST_F(KeyStoreTest, ValuesAtAndBeyondTheirLimits) {
  const auto code = [&](auto change) {
    NewKey key = wanted();
    change(key);
    const auto made = store_.create(key);
    return made.ok() ? std::optional<ErrorCode>() : made.error().code();
  };
  const auto bad = ErrorCode::kInvalidArgument;
  EXPECT_EQ(code([](NewKey& k) { k.tenant = std::string(64, 'a'); }), std::nullopt);
  EXPECT_EQ(code([](NewKey& k) { k.tenant = std::string(65, 'a'); }), bad);
  for (const char* tenant : {"", "a/b", "a b", "ä", "a\n", "a:b"})
    EXPECT_EQ(code([&](NewKey& k) { k.tenant = tenant; }), bad) << tenant;
  EXPECT_EQ(code([](NewKey& k) { k.weight = 1000; }), std::nullopt);
  EXPECT_EQ(code([](NewKey& k) { k.weight = 1001; }), bad);
  EXPECT_EQ(code([](NewKey& k) { k.weight = 0; }), bad);
  EXPECT_EQ(code([](NewKey& k) { k.models.assign(256, "m"); }), std::nullopt);
  EXPECT_EQ(code([](NewKey& k) { k.models.assign(257, "m"); }), bad);
  EXPECT_EQ(code([](NewKey& k) { k.models = {""}; }), bad);
  EXPECT_EQ(code([](NewKey& k) { k.models = {std::string(257, 'm')}; }), bad);
  EXPECT_EQ(code([](NewKey& k) { k.label = std::string(128, 'l'); }), std::nullopt);
  EXPECT_EQ(code([](NewKey& k) { k.label = std::string(129, 'l'); }), bad);
  EXPECT_EQ(code([](NewKey& k) { k.label = "a\x1b[2J"; }), bad);
  EXPECT_EQ(code([](NewKey& k) { k.quotas.requests_per_minute = 1'000'000; }), std::nullopt);
  EXPECT_EQ(code([](NewKey& k) { k.quotas.requests_per_minute = 1'000'001; }), bad);
  EXPECT_EQ(code([](NewKey& k) { k.quotas.tokens_per_day = kTokensPerDayMax; }), std::nullopt);
  EXPECT_EQ(code([](NewKey& k) { k.quotas.tokens_per_day = kTokensPerDayMax + 1; }), bad);
  EXPECT_EQ(code([](NewKey& k) { k.expires_at = 1'750'000'000; }), bad);
  EXPECT_EQ(code([](NewKey& k) { k.expires_at = 1'750'000'001; }), std::nullopt);
}

TEST_F(KeyStoreTest, RotationKeepsWhatTheKeyMayDo) {
  NewKey key = wanted();
  key.models = {"smol"};
  key.quotas.tokens_per_day = 5;
  const auto first = store_.create(key).value();
  const auto second = store_.rotate(first.record.id, 0).value();
  EXPECT_NE(second.record.id, first.record.id);
  EXPECT_EQ(second.record.models, key.models);
  EXPECT_EQ(second.record.quotas, key.quotas);
  EXPECT_FALSE(store_.find(first.record.id).value().active(1'750'000'000));
  EXPECT_EQ(store_.rotate(first.record.id, 0).error().code(), ErrorCode::kConflict);

  const auto third = store_.rotate(second.record.id, 60).value();
  EXPECT_TRUE(store_.find(second.record.id).value().active(1'750'000'059));
  EXPECT_FALSE(store_.find(second.record.id).value().active(1'750'000'060));
  EXPECT_TRUE(store_.find(third.record.id).value().active(1'750'000'060));
}

// Filled through the file: ten thousand keys made one by one would write 15 GB.
TEST_F(KeyStoreTest, HoldsItsMaximumAndDropsTheOldestRevoked) {
  ASSERT_TRUE(store_.create(wanted()).ok());
  std::vector<KeyRecord> keys = store_.list().value();
  KeyRecord sample = keys.front();
  for (std::size_t i = 1; i < kKeysMax; ++i) {
    for (std::size_t j = 0, n = i; j < 4; ++j, n /= 26)
      sample.id[j] = static_cast<char>('a' + n % 26);
    sample.id[15] = sample.id[15] == 'b' ? 'c' : 'b';
    sample.id[4] = 'x';
    keys.push_back(sample);
  }
  const auto put = [&] {
    return platform::write_file_atomic(files_, "/data/keys/keys.json",
                                       as_bytes_view(encode_keys(keys)), 0600);
  };
  ASSERT_TRUE(put().ok());
  ASSERT_EQ(store_.list().value().size(), kKeysMax);
  EXPECT_EQ(store_.create(wanted()).error().code(), ErrorCode::kExhausted);
  keys[5].revoked_at = 200;
  keys[7].revoked_at = 100;
  ASSERT_TRUE(put().ok());
  ASSERT_TRUE(store_.create(wanted()).ok());
  EXPECT_EQ(store_.find(keys[7].id).error().code(), ErrorCode::kNotFound);
  EXPECT_TRUE(store_.find(keys[5].id).ok());
  keys.push_back(keys.back());
  keys.back().id[0] = '7';
  EXPECT_FALSE(decode_keys(encode_keys(keys)).ok()) << "one more than the maximum";
}

TEST_F(KeyStoreTest, DamageIsAnErrorAndNotAnEmptyStore) {
  const auto created = store_.create(wanted()).value();
  const std::string whole = text("/data/keys/keys.json");
  for (std::size_t n = 0; n + 1 < whole.size(); ++n)
    EXPECT_FALSE(decode_keys(whole.substr(0, n)).ok()) << n;
  ASSERT_TRUE(decode_keys(whole).ok());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = whole;
    changed.replace(changed.find(from), from.size(), to);
    return decode_keys(changed);
  };
  EXPECT_EQ(with("\"version\":1", "\"version\":2").error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(with("\"label\"", "\"only_from\":\"10.0.0.1\",\"label\"").error().code(),
            ErrorCode::kUnsupported);
  EXPECT_FALSE(with("\"inference\"", "\"owner\"").ok());
  EXPECT_FALSE(with("\"weight\":1", "\"weight\":0").ok());
  EXPECT_FALSE(with("\"weight\":1", "\"weight\":1001").ok());
  EXPECT_FALSE(with("\"revoked_at\":0", "\"revoked_at\":-1").ok());
  EXPECT_FALSE(with("\"acme\"", "\"a/b\"").ok());
  EXPECT_FALSE(with(created.record.id, created.record.id.substr(1) + "A").ok());

  ASSERT_TRUE(files_.remove("/data/keys/pepper").ok());
  EXPECT_EQ(store_.create(wanted()).error().code(), ErrorCode::kCorrupt)
      << "a new pepper would end every key";
}

TEST_F(KeyStoreTest, PepperThatOthersMayReadIsRefused) {
  ASSERT_TRUE(
      platform::write_file_atomic(files_, "/pepper", as_bytes_view(std::string(64, 'a')), 0640)
          .ok());
  EXPECT_EQ(read_pepper(files_, "").error().code(), ErrorCode::kDenied);
  ASSERT_TRUE(
      platform::write_file_atomic(files_, "/pepper", as_bytes_view(std::string(64, 'a')), 0600)
          .ok());
  EXPECT_TRUE(read_pepper(files_, "").ok());
}

// A crash at every operation of create, revoke and rotate leaves the old keys or the new, whole.
TEST(KeyStoreCrash, OldOrNewAtEveryOperation) {
  const auto script = [](SimulatedFileSystem& files) {
    platform::SeededEntropy entropy(3);
    platform::ManualClock clock;
    KeyStore store(files, "/keys", entropy, clock);
    NewKey key;
    key.tenant = "a";
    auto first = store.create(key);
    if (!first.ok()) return;
    if (!store.revoke(first->record.id).ok()) return;
    auto second = store.create(key);
    if (second.ok()) ignore_error(store.rotate(second->record.id, 0), "the crash may come here");
  };
  SimulatedFileSystem dry;
  script(dry);
  const std::uint64_t operations = dry.operations();
  ASSERT_GT(operations, 12u);
  std::size_t seen_most = 0;
  for (const CrashPolicy policy :
       {CrashPolicy::kDropUnsynced, CrashPolicy::kKeepAll, CrashPolicy::kRandom}) {
    for (std::uint64_t n = 0; n < operations; ++n) {
      SimulatedFileSystem files;
      files.crash_after(n);
      script(files);
      files.restart(policy, n);
      platform::SeededEntropy entropy(9);
      platform::ManualClock clock;
      KeyStore store(files, "/keys", entropy, clock);
      const auto keys = store.list();
      ASSERT_TRUE(keys.ok()) << n << " " << keys.error().to_string();
      seen_most = std::max(seen_most, keys->size());
      // A key that is listed has its pepper, and the store works on.
      if (!keys->empty()) {
        EXPECT_TRUE(read_pepper(files, "/keys").ok()) << n;
      }
      NewKey key;
      key.tenant = "b";
      EXPECT_TRUE(store.create(key).ok()) << n;
      EXPECT_EQ(store.list().value().size(), keys->size() + 1);
    }
  }
  EXPECT_EQ(seen_most, 3u);
}

}  // namespace
}  // namespace holdfast::identity
