// Where the keyring file lives: keyring.hfk in the data directory, replaced as a whole, changed by
// one process at a time.
#pragma once

#include <memory>
#include <string>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/platform/filesystem.h"

namespace holdfast::keyring {

// Thread-compatible. `files` outlives it.
class KeyringStore {
 public:
  KeyringStore(platform::FileSystem& files, std::string path, std::string data_dir)
      : files_(files), path_(std::move(path)), data_dir_(std::move(data_dir)) {}

  bool exists() const { return files_.exists(path_); }
  const std::string& path() const { return path_; }
  // kNotFound; kDenied where file or data directory can be changed, or the file read, by others;
  // kExhausted for a file too long to be a keyring.
  Result<Bytes> read() const;
  // Durable when it returns; on an error the file is the old one, or whole the new one.
  Status write(ByteView file);
  // Waits for some seconds: kUnavailable while another process changes keys of this data directory.
  Result<std::unique_ptr<platform::FileLock>> lock();

 private:
  platform::FileSystem& files_;
  std::string path_;
  std::string data_dir_;
};

// kDenied unless only the owner can read and write it, with the command that mends it.
Status check_private(platform::FileSystem& files, const std::string& path);

}  // namespace holdfast::keyring
