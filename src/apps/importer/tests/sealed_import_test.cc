// Imports into sealed packs, with the real child. Oracle: the pack of the same file that is not
// sealed.
#include <gmock/gmock.h>

#include "holdfast/importer/importer.h"
#include "holdfast/vault/pack_slots.h"
#include "pack_keys.h"
#include "working_folder.h"

namespace holdfast::importer {
namespace {

using ::testing::IsEmpty;

class SealedImport : public testing::WorkingFolder {
 protected:
  void SetUp() override {
    WorkingFolder::SetUp();
    if (dir_.empty()) return;
    auto store = registry::Store::open(fs_, platform::system_clock(), dir_ + "/data");
    ASSERT_TRUE(store.ok()) << store.error().to_string();
    store_ = *std::move(store);
    options_.path = put("model.gguf", testing::golden("llama-tied-ropefreqs"));
    options_.engine_program = testing::kChild;
    options_.threads = 2;
  }
  Bytes pack_of(const registry::ModelRecord& model) {
    const auto file = store_->open_pack(model);
    EXPECT_TRUE(file.ok());
    return *platform::read_all(**file, 1u << 30);
  }

  platform::PosixFileSystem fs_;
  std::unique_ptr<registry::Store> store_;
  testing::TestPackKeys keys_;
  ImportOptions options_;
};

Bytes payload_of(const Bytes& pack, std::optional<vault::ContentKeys> keys) {
  const platform::MemorySource source{ByteView(pack)};
  const auto reader = vault::PackReader::open(source, nullptr, std::move(keys));
  EXPECT_TRUE(reader.ok()) << reader.error().to_string();
  if (!reader.ok()) return {};
  EXPECT_TRUE(reader->verify_all().ok());
  Bytes payload(reader->payload_bytes());
  EXPECT_TRUE(reader->read_chunks(0, payload).ok());
  return payload;
}

TEST_F(SealedImport, HoldsWhatThePlainPackHolds) {
  const auto plain = import_model(*store_, options_);
  ASSERT_TRUE(plain.ok()) << plain.error().to_string();
  const Bytes plain_pack = pack_of(plain->model);
  options_.keys = &keys_;
  options_.name = "sealed";
  const auto sealed = import_model(*store_, options_);
  ASSERT_TRUE(sealed.ok()) << sealed.error().to_string();
  EXPECT_FALSE(sealed->was_there) << "a plain pack was taken for a sealed one";
  const Bytes pack = pack_of(sealed->model);
  EXPECT_NE(sealed->model.pack, plain->model.pack);
  const platform::MemorySource source{ByteView(pack)};
  EXPECT_EQ(vault::PackReader::open(source).error().code(), ErrorCode::kUnavailable);
  auto keys = keys_.keys_of(source);
  ASSERT_TRUE(keys.ok()) << keys.error().to_string();
  EXPECT_EQ(payload_of(pack, *std::move(keys)), payload_of(plain_pack, std::nullopt));
}

TEST_F(SealedImport, FindsItAgain) {
  options_.keys = &keys_;
  const auto first = import_model(*store_, options_);
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  options_.name = "again";
  const auto again = import_model(*store_, options_);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_TRUE(again->was_there);
  EXPECT_EQ(again->model.pack, first->model.pack);
  EXPECT_EQ(keys_.made, 1);
}

// Two packs of one file share neither key nor salt.
TEST_F(SealedImport, IsAnotherPackEachTime) {
  options_.keys = &keys_;
  const auto first = import_model(*store_, options_);
  ASSERT_TRUE(first.ok());
  const Bytes a = pack_of(first->model);
  ASSERT_TRUE(store_->remove("model").ok());
  const auto second = import_model(*store_, options_);
  ASSERT_TRUE(second.ok());
  const Bytes b = pack_of(second->model);
  EXPECT_NE(vault::decode_header(a)->salt, vault::decode_header(b)->salt);
  EXPECT_EQ(vault::decode_header(a)->model_id, vault::decode_header(b)->model_id);
  EXPECT_FALSE(std::equal(a.begin() + 8192, a.begin() + 8192 + 4096, b.begin() + 8192));
  EXPECT_EQ(keys_.made, 2);
}

TEST_F(SealedImport, AKeyHolderThatDiesIsAFailedImport) {
  options_.keys = &keys_;
  keys_.dead = true;
  const auto result = import_model(*store_, options_);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::kUnavailable) << result.error().to_string();
  EXPECT_THAT(*fs_.list(dir_ + "/data/packs"), IsEmpty());
}

}  // namespace
}  // namespace holdfast::importer
