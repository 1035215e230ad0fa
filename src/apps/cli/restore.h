// Backups of a data directory, and the way back.
#pragma once

#include <string>
#include <vector>

#include "context.h"
#include "holdfast/base/result.h"
#include "holdfast/bundle/backup.h"

namespace holdfast::cli {

// Where the parts of an instance lie.
struct InstancePlaces {
  std::string data_dir;
  std::string store_dir;  // models and packs
  std::string keyring;    // file
};
InstancePlaces instance_places(const Context& context);

struct BackedUp {
  bundle::BackupFacts facts;
  std::uint64_t bytes = 0;
  std::size_t models = 0;
};

// A consistent copy of keyring, state database, API keys and catalogue, and of the packs if wanted,
// while a server may run. Written whole or not at all, and read back before it gets its name.
// kNotFound where there is nothing to back up; kConflict for an output that exists; kCorrupt where
// something changed meanwhile.
Result<BackedUp> write_backup_file(const Context& context, const std::string& output,
                                   bool with_models);

struct Restored {
  bundle::BackupFacts facts;
  std::size_t models = 0;
  std::size_t packs = 0;
  std::vector<std::string> key_files;  // that slots of the keyring need, and that no backup holds
};

// Into a data directory without an instance, or one where a restore was interrupted. Everything is
// verified before the first file is written; the keyring comes last. kCorrupt for a damaged backup;
// kConflict where there is an instance.
Result<Restored> restore_backup_file(const Context& context, const std::string& path);

}  // namespace holdfast::cli
