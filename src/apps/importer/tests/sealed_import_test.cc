// Imports into sealed packs, with the real child. Oracle: the pack of the same file that is not
// sealed.
#include <gmock/gmock.h>

#include <algorithm>

#include "holdfast/importer/import_pack.h"
#include "holdfast/importer/reseal.h"
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

class Reseal : public SealedImport {
 protected:
  // What the key holder would send for the pack as it is.
  platform::UniqueFd source_keys(const registry::ModelRecord& model) {
    const Bytes pack = pack_of(model);
    const auto keys = keys_.keys_of(platform::MemorySource(ByteView(pack)));
    EXPECT_TRUE(keys.ok());
    auto pair = platform::make_socket_pair();
    EXPECT_TRUE(vault::send_content_keys(pair->ours.get(), *keys,
                                         platform::Deadline::after(std::chrono::seconds(5)))
                    .ok());
    return std::move(pair->theirs);
  }
  Result<registry::ModelRecord> reseal(const registry::ModelRecord& model, PackKeys* keys,
                                       bool sealed_before) {
    ResealOptions options;
    options.engine_program = testing::kChild;
    options.keys = keys;
    if (sealed_before) options.source_keys = source_keys(model);
    return reseal_model(*store_, model, std::move(options));
  }
  std::size_t packs() { return fs_.list(dir_ + "/data/packs")->size(); }
};

TEST_F(Reseal, SealsReencryptsAndTakesTheSealOff) {
  const auto plain = import_model(*store_, options_);
  ASSERT_TRUE(plain.ok());
  ASSERT_TRUE(store_->copy("model", "alias:v2").ok());
  const Bytes plain_pack = pack_of(plain->model);

  const auto sealed = reseal(plain->model, &keys_, false);
  ASSERT_TRUE(sealed.ok()) << sealed.error().to_string();
  EXPECT_EQ(store_->resolve("model")->pack, sealed->pack);
  EXPECT_EQ(store_->resolve("alias:v2")->pack, sealed->pack);
  EXPECT_EQ(packs(), 1u) << "the plain pack is still there";
  const Bytes sealed_pack = pack_of(*sealed);
  auto keys = keys_.keys_of(platform::MemorySource(ByteView(sealed_pack)));
  ASSERT_TRUE(keys.ok());
  EXPECT_EQ(payload_of(sealed_pack, *std::move(keys)), payload_of(plain_pack, std::nullopt));
  // An import of the same file finds it.
  options_.keys = &keys_;
  EXPECT_TRUE(import_model(*store_, options_)->was_there);

  const auto again = reseal(*sealed, &keys_, true);
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_NE(again->pack, sealed->pack);
  EXPECT_EQ(packs(), 1u);

  const auto unsealed = reseal(*again, nullptr, true);
  ASSERT_TRUE(unsealed.ok()) << unsealed.error().to_string();
  EXPECT_EQ(pack_of(*unsealed), plain_pack);
  EXPECT_EQ(unsealed->variant, plain->model.variant);
}

TEST_F(Reseal, WithoutTheOldKeysNothingChanges) {
  options_.keys = &keys_;
  const auto sealed = import_model(*store_, options_);
  ASSERT_TRUE(sealed.ok());
  const auto result = reseal(sealed->model, &keys_, false);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), ErrorCode::kUnavailable) << result.error().to_string();
  EXPECT_EQ(store_->resolve("model")->pack, sealed->model.pack);
  EXPECT_EQ(packs(), 1u);
}

// A pack inside a larger file, as a bundle holds it, for another instance.
class ImportPack : public Reseal {
 protected:
  static constexpr std::uint64_t kOffset = 1536;

  void SetUp() override {
    Reseal::SetUp();
    if (dir_.empty()) return;
    options_.keys = &keys_;
    const auto sealed = import_model(*store_, options_);
    ASSERT_TRUE(sealed.ok()) << sealed.error().to_string();
    model_ = sealed->model;
    pack_ = pack_of(model_);
    Bytes whole(kOffset + pack_.size() + 700, std::byte{0x5a});
    std::ranges::copy(pack_, whole.begin() + kOffset);
    file_ = *fs_.open_read(put("bundle", whole));
    auto other = registry::Store::open(fs_, platform::system_clock(), dir_ + "/other");
    ASSERT_TRUE(other.ok());
    other_ = *std::move(other);
  }

  PackImport import(PackKeys* keys) {
    PackImport out;
    out.file = file_.get();
    out.offset = kOffset;
    out.length = pack_.size();
    out.digest = crypto::sha256(pack_);
    out.source_keys = source_keys(model_);
    out.keys = keys;
    out.publication.name = *registry::parse_model_name("travelled");
    out.publication.source = model_.source;
    out.publication.variant = model_.variant;
    out.publication.facts = model_.facts;
    out.engine_program = testing::kChild;
    return out;
  }

  registry::ModelRecord model_;
  Bytes pack_;
  std::unique_ptr<platform::OpenFile> file_;
  std::unique_ptr<registry::Store> other_;
  testing::TestPackKeys other_keys_;
};

TEST_F(ImportPack, IsSealedAnewAndHoldsTheSame) {
  const auto done = import_pack(*other_, import(&other_keys_));
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_FALSE(done->was_there);
  EXPECT_EQ(done->model.source, model_.source);
  EXPECT_NE(done->model.pack, model_.pack);
  const auto file = other_->open_pack(done->model);
  ASSERT_TRUE(file.ok());
  const Bytes sealed = *platform::read_all(**file, 1u << 30);
  const platform::MemorySource source{ByteView(sealed)};
  EXPECT_FALSE(keys_.keys_of(source).ok()) << "the first instance's key opens it";
  auto theirs = other_keys_.keys_of(source);
  auto ours = keys_.keys_of(platform::MemorySource(ByteView(pack_)));
  ASSERT_TRUE(theirs.ok() && ours.ok());
  EXPECT_EQ(payload_of(sealed, *std::move(theirs)), payload_of(pack_, *std::move(ours)));
  EXPECT_TRUE(import_pack(*other_, import(&other_keys_))->was_there);
}

TEST_F(ImportPack, WithoutASealWhereNoneIsWanted) {
  const auto done = import_pack(*other_, import(nullptr));
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(done->model.variant, "gguf/1");
  const auto file = other_->open_pack(done->model);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(vault::PackReader::open(**file)->verify_all().ok());
}

TEST_F(ImportPack, RefusesWhatDoesNotFit) {
  const auto code = [&](PackImport wanted) {
    const auto done = import_pack(*other_, std::move(wanted));
    EXPECT_TRUE(other_->list()->models.empty());
    if (!done.ok() && done.error().code() == ErrorCode::kCorrupt) {
      EXPECT_THAT(*fs_.list(dir_ + "/other/packs"), IsEmpty());
    }
    return done.ok() ? ErrorCode::kInternal : done.error().code();
  };
  PackImport beyond = import(&other_keys_);
  beyond.length += 4096;
  EXPECT_EQ(code(std::move(beyond)), ErrorCode::kCorrupt);
  PackImport beside = import(&other_keys_);
  beside.offset += 1;
  EXPECT_EQ(code(std::move(beside)), ErrorCode::kCorrupt);
  PackImport without = import(&other_keys_);
  without.source_keys.reset();
  EXPECT_EQ(code(std::move(without)), ErrorCode::kUnavailable);
  PackImport another = import(&other_keys_);
  another.publication.source = crypto::sha256(as_bytes_view("another"));
  EXPECT_EQ(code(std::move(another)), ErrorCode::kInternal);
}

}  // namespace
}  // namespace holdfast::importer
