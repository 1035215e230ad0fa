// Digests of files that were hashed before, so that importing the same file again is instant.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "holdfast/crypto/sha256.h"
#include "holdfast/json/json.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::importer {

// A file is recognised by device, inode, size and time of change. That is good enough to find a
// model that was imported before, and never the origin of a digest that is written into a pack: a
// file that is converted is always hashed. Kept as one small JSON file; losing it costs time only,
// so reading and writing it never fails an import. Owned by one import.
class DigestCache {
 public:
  DigestCache(platform::FileSystem& fs, const platform::Clock& clock, std::string path);

  std::optional<crypto::Sha256Digest> find(const platform::FileInfo& file) const;
  // Files that changed a moment ago are not kept: they may change again within the same tick of
  // their clock.
  void add(const platform::FileInfo& file, const crypto::Sha256Digest& digest);
  void save();

 private:
  platform::FileSystem& fs_;
  const platform::Clock& clock_;
  std::string path_;
  json::Object digests_;
  bool changed_ = false;
};

}  // namespace holdfast::importer
