// The part of the tar format (POSIX ustar) that bundles and backups use: regular files with names
// that the caller allows, and folders around them. Nothing is ever extracted by name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/bytes.h"
#include "holdfast/base/result.h"
#include "holdfast/platform/byte_source.h"
#include "holdfast/platform/file.h"

namespace holdfast::bundle {

inline constexpr std::uint64_t kTarBlockBytes = 512;
inline constexpr std::size_t kTarNameBytesMax = 100;  // without ustar's prefix field

// A file inside an archive.
struct TarEntry {
  std::string name;
  std::uint64_t offset = 0;  // of its first byte in the archive
  std::uint64_t size = 0;
};

// Whether a file of that name may be in the archive. What it refuses is an error.
using NameAllowed = std::function<bool(std::string_view name)>;

// True for what may be an archive of ours: the magic of ustar stands where it belongs.
bool looks_like_tar(const platform::ByteSource& file);

// All files of the archive, in its order, every header checked: checksum, type, name, sizes against
// the archive's end, zeros in all padding. Folders are passed over where they are parents of an
// allowed name's path; links, devices, extensions and duplicates are refused. kCorrupt names the
// entry (never its text, which may be anything); kUnsupported for tar features that this reader
// does not know; kExhausted above `entries_max`.
Result<std::vector<TarEntry>> read_tar(const platform::ByteSource& file, const NameAllowed& allowed,
                                       std::size_t entries_max);

// Writes an archive in one pass. The bytes depend on names and content alone: mode 0644, no owner,
// time 0. Thread-compatible; `out` outlives it.
class TarWriter {
 public:
  explicit TarWriter(platform::OpenFile& out) : out_(&out) {}

  // Precondition: the entry before is complete; a name of 1 to 100 bytes.
  Status begin(std::string_view name, std::uint64_t size);
  // Precondition: no more than the current entry lacks.
  Status append(ByteView bytes);
  // Precondition: every entry is complete.
  Status finish();

  Status add(std::string_view name, ByteView content);

 private:
  platform::OpenFile* out_;
  std::uint64_t left_ = 0;     // of the current entry
  std::uint64_t padding_ = 0;  // behind it
};

}  // namespace holdfast::bundle
