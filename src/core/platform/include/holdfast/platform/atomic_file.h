// AtomicFile: a file that appears under its name complete or not at all.
#pragma once

#include <memory>
#include <string>

#include "holdfast/platform/filesystem.h"

namespace holdfast::platform {

// Collects content in a temporary file beside the name, for content too large for
// write_file_atomic(). Without commit() the temporary file is removed. `fs` outlives it.
// Thread-compatible.
class AtomicFile {
 public:
  enum class Existing : std::uint8_t { kRefuse, kReplace };

  // kConflict if the name is taken and `existing` refuses that; kInvalidArgument if it is taken by
  // anything but a file; errors of creating.
  static Result<AtomicFile> create(FileSystem& fs, std::string path, Existing existing,
                                   unsigned mode);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  OpenFile& file() { return *file_; }
  // Puts the content on the device and gives it its name. Once, as the last call. Errors as
  // create(), and of writing; then the name is as it was.
  Status commit();

 private:
  AtomicFile(FileSystem& fs, std::string path, Existing existing)
      : fs_(&fs), path_(std::move(path)), existing_(existing) {}
  Status check_name() const;

  FileSystem* fs_;
  std::string path_;
  Existing existing_;
  std::string temporary_;  // empty: there is none to remove
  std::unique_ptr<OpenFile> file_;
};

}  // namespace holdfast::platform
