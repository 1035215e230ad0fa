// A backup: the keyring, the state database and the catalogue of one data directory, and its packs
// if wanted, in one file whose every byte is under a digest. Format: docs/formats/backup.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/bundle/bundle.h"
#include "holdfast/bundle/tar.h"
#include "holdfast/crypto/sha256.h"

namespace holdfast::bundle {

// A million models and their packs would be more than one machine has.
inline constexpr std::size_t kBackupFilesMax = 100'000;

struct BackupFile {
  std::string name;  // is_backup_name()
  std::unique_ptr<platform::ByteSource> content;
};

struct BackupFacts {
  std::int64_t created_unix = 0;
  std::string instance;          // of the keyring, hexadecimal; empty: there is none
  std::uint64_t generation = 0;  // of the keyring
  bool with_models = false;
};

// Reads every file twice, in pieces. kCorrupt where one changed between the two; errors of reading,
// of writing and of `progress`.
Status write_backup(const std::vector<BackupFile>& files, const BackupFacts& facts,
                    platform::OpenFile& out, const BundleProgress& progress = {});

struct BackupEntry {
  std::string name;
  Blob blob;
};

// Thread-compatible; the file outlives it.
class Backup {
 public:
  // kCorrupt, kUnsupported, kExhausted. The list of files is verified, their content is not until
  // verify() was called.
  static Result<Backup> open(const platform::ByteSource& file);
  // kCorrupt names the entry; errors of reading and of `progress`.
  Status verify(const BundleProgress& progress = {}) const;

  const BackupFacts& facts() const { return facts_; }
  const std::vector<BackupEntry>& entries() const { return entries_; }
  // Everything in an entry. kExhausted above `bytes_max`.
  Result<Bytes> read(const BackupEntry& entry, std::uint64_t bytes_max) const;
  // Hands its bytes to `sink`, in order.
  Status each(const BackupEntry& entry, const std::function<Status(ByteView)>& sink) const;

 private:
  explicit Backup(const platform::ByteSource& file) : file_(&file) {}
  Status read_list(ByteView text);

  const platform::ByteSource* file_;
  BackupFacts facts_;
  std::vector<BackupEntry> entries_;
};

// "keyring.hfk", "state.db", "keys/keys.json", "keys/pepper", "models/<number>.json" and
// "packs/<digest>.hfc", and the two that describe them.
bool is_backup_name(std::string_view name);

}  // namespace holdfast::bundle
