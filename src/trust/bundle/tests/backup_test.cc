// Oracle: what went in comes out, and every changed bit is refused.
#include "holdfast/bundle/backup.h"

#include "archive_files.h"

namespace holdfast::bundle {
namespace {

using testing::bytes_of;
using testing::tar_of;
using testing::untar;
using testing::written;

Bytes sample() {
  std::vector<BackupFile> files;
  files.push_back({"keyring.hfk", std::make_unique<platform::MemorySource>(bytes_of("keys"))});
  files.push_back({"state.db", std::make_unique<platform::MemorySource>(Bytes(3000))});
  files.push_back({"models/0.json", std::make_unique<platform::MemorySource>(bytes_of("{}"))});
  return written([&](platform::OpenFile& out) {
    return write_backup(files, {1'750'000'000, "aa", 7, false}, out);
  });
}

Status check(const Bytes& archive) {
  const platform::MemorySource file{ByteView(archive)};
  HF_TRY_ASSIGN(const Backup backup, Backup::open(file));
  return backup.verify();
}

TEST(Backup, WhatGoesInComesOut) {
  const Bytes archive = sample();
  const platform::MemorySource file{ByteView(archive)};
  const auto backup = Backup::open(file);
  ASSERT_TRUE(backup.ok()) << backup.error().to_string();
  ASSERT_TRUE(backup->verify().ok());
  EXPECT_EQ(backup->facts().generation, 7u);
  EXPECT_EQ(backup->facts().instance, "aa");
  ASSERT_EQ(backup->entries().size(), 3u);
  EXPECT_EQ(*backup->read(backup->entries()[0], 100), bytes_of("keys"));
  EXPECT_FALSE(backup->read(backup->entries()[1], 100).ok());
  EXPECT_EQ(sample(), archive);
}

TEST(Backup, EveryChangedByteIsRefused) {
  const Bytes archive = sample();
  for (std::size_t at = 0; at < archive.size(); ++at) {
    Bytes changed = archive;
    changed[at] ^= std::byte{4};
    const Status status = check(changed);
    ASSERT_FALSE(status.ok()) << "byte " << at;
    EXPECT_TRUE(status.error().code() == ErrorCode::kCorrupt ||
                status.error().code() == ErrorCode::kUnsupported)
        << status.error().to_string();
  }
}

TEST(Backup, EveryTruncationIsRefused) {
  const Bytes archive = sample();
  for (std::size_t n = 0; n < archive.size(); n += 37)
    EXPECT_FALSE(
        check(Bytes(archive.begin(), archive.begin() + static_cast<std::ptrdiff_t>(n))).ok());
}

TEST(Backup, FilesThatItDoesNotListAreRefused) {
  auto entries = untar(sample());
  entries.emplace_back("models/1.json", bytes_of("{}"));
  EXPECT_FALSE(check(tar_of(entries)).ok());
  entries = untar(sample());
  entries.pop_back();
  EXPECT_FALSE(check(tar_of(entries)).ok());
}

TEST(Backup, Names) {
  for (const char* good : {"keyring.hfk", "models/0.json", "models/12345678.json"})
    EXPECT_TRUE(is_backup_name(good)) << good;
  EXPECT_TRUE(is_backup_name("packs/" + std::string(64, '0') + ".hfc"));
  for (const char* bad : {"", "models/.json", "models/../x.json", "models/x.json", "/state.db",
                          "packs/x.hfc", "packs/../keyring.hfk", "models/123456789.json",
                          "keys/other", "keyring.hfk/", "./keyring.hfk"})
    EXPECT_FALSE(is_backup_name(bad)) << bad;
}

}  // namespace
}  // namespace holdfast::bundle
