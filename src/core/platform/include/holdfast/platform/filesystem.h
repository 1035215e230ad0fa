// FileSystem: names, directories and durability behind a seam, so that crashes and full disks can
// be simulated.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/platform/file.h"

namespace holdfast::platform {

enum class FileKind : std::uint8_t { kRegular, kDirectory, kSymlink, kOther };

struct FileInfo {
  FileKind kind = FileKind::kOther;
  std::uint64_t size = 0;
  unsigned mode = 0;                  // permission bits
  std::int64_t modified_unix_ns = 0;  // wall clock
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
};

struct DirectoryEntry {
  std::string name;
  FileKind kind = FileKind::kOther;
};

// A held advisory lock; released on destruction, and by the kernel when the process dies.
class FileLock {
 public:
  FileLock() = default;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  virtual ~FileLock() = default;
};

// Thread-safe. Absent is kNotFound, forbidden kDenied, full kExhausted, everything else kIo unless
// said.
class FileSystem {
 public:
  FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;
  virtual ~FileSystem() = default;

  // Regular files only (kInvalidArgument otherwise).
  virtual Result<std::unique_ptr<OpenFile>> open_read(const std::string& path) = 0;
  // As open_read for `relative` below directory `root`: "..", absolute paths and every symbolic
  // link on the way below `root` are refused (kDenied).
  virtual Result<std::unique_ptr<OpenFile>> open_beneath(const std::string& root,
                                                         const std::string& relative) = 0;
  // kConflict where the name exists.
  virtual Result<std::unique_ptr<OpenFile>> create_exclusive(const std::string& path,
                                                             unsigned mode) = 0;
  // Replaces `to` atomically.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  // A file or symbolic link.
  virtual Status remove(const std::string& path) = 0;
  // An empty directory.
  virtual Status remove_dir(const std::string& path) = 0;
  // Names created, renamed and removed in `path` are on the device when this returns.
  virtual Status sync_dir(const std::string& path) = 0;
  // Creates what is missing of `path`, each with `mode` (umask applies).
  virtual Status make_dirs(const std::string& path, unsigned mode) = 0;
  // Sorted by name, without "." and "..". kExhausted above kDirectoryEntriesMax.
  virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) = 0;
  // Follows symbolic links.
  virtual Result<FileInfo> stat(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;
  // Free for an unprivileged process on the device that holds `path`.
  virtual Result<std::uint64_t> free_bytes(const std::string& path) = 0;
  // Creates the lock file if needed. kUnavailable while another process holds it.
  virtual Result<std::unique_ptr<FileLock>> try_lock(const std::string& path) = 0;
};

// A listing is held in memory; a directory of more entries is not one of ours.
inline constexpr std::size_t kDirectoryEntriesMax = 1u << 20;

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<OpenFile>> open_read(const std::string& path) override;
  Result<std::unique_ptr<OpenFile>> open_beneath(const std::string& root,
                                                 const std::string& relative) override;
  Result<std::unique_ptr<OpenFile>> create_exclusive(const std::string& path,
                                                     unsigned mode) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status remove_dir(const std::string& path) override;
  Status sync_dir(const std::string& path) override;
  Status make_dirs(const std::string& path, unsigned mode) override;
  Result<std::vector<DirectoryEntry>> list(const std::string& path) override;
  Result<FileInfo> stat(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::uint64_t> free_bytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> try_lock(const std::string& path) override;
};

// Writes a temporary file beside `path`, syncs it, renames it over `path`, syncs the directory.
// After a crash the name holds the old or the new content, whole. On an error the temporary file is
// removed as far as that is possible.
Status write_file_atomic(FileSystem& fs, const std::string& path, ByteView bytes, unsigned mode);

// Everything in a file. kExhausted above `bytes_max`.
Result<Bytes> read_file(FileSystem& fs, const std::string& path, std::uint64_t bytes_max);

// "a/b" of "a/b/c"; "." where there is no slash, "/" for a child of the root.
std::string parent_path(std::string_view path);
std::string_view base_name(std::string_view path);
// One slash between the two; an absolute `name` wins.
std::string join_path(std::string_view directory, std::string_view name);
// False for absolute paths, empty ones, and any component "", "." or "..".
bool is_plain_relative_path(std::string_view path);

}  // namespace holdfast::platform
