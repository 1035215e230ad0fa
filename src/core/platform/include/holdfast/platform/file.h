// Files: the interface that real and simulated files share, and the real one.
#pragma once

#include <cstdint>
#include <string>

#include "holdfast/platform/byte_source.h"
#include "holdfast/platform/unique_fd.h"

namespace holdfast::platform {

// An open file. Reading is thread-safe; writing is thread-compatible (one writer, no reader at that
// moment).
class OpenFile : public ByteSource {
 public:
  // Appends at the write position, which starts at 0. kExhausted when the disk is full, else kIo; a
  // prefix may have been written.
  virtual Status write_all(ByteView bytes) = 0;
  // Writes at `offset`; the write position of write_all stays.
  virtual Status write_at(std::uint64_t offset, ByteView bytes) = 0;
  virtual Status truncate(std::uint64_t size) = 0;
  // Data and metadata are on the device when this returns. After an error the file's state is
  // unknown: never retry.
  virtual Status sync() = 0;
  // -1 for simulated files.
  virtual int fd() const = 0;
};

class File final : public OpenFile {
 public:
  // Regular files only: anything else is kInvalidArgument, absent is kNotFound, forbidden kDenied.
  static Result<File> open_read(const std::string& path);
  // Adopts an inherited descriptor. kInvalidArgument unless it is a regular file.
  static Result<File> from_fd(UniqueFd fd);
  // A new file for reading and writing; kConflict where it exists.
  static Result<File> create(const std::string& path, unsigned mode);
  // An existing regular file for reading and writing; as open_read otherwise.
  static Result<File> open_update(const std::string& path);
  // An existing or new file, cut to nothing.
  static Result<File> create_or_replace(const std::string& path, unsigned mode);

  File(File&&) noexcept;
  File& operator=(File&&) noexcept;

  std::uint64_t size() const override { return size_; }
  Status read_at(std::uint64_t offset, MutableBytes out) const override;
  Status write_all(ByteView bytes) override;
  Status write_at(std::uint64_t offset, ByteView bytes) override;
  Status truncate(std::uint64_t size) override;
  Status sync() override;
  int fd() const override { return fd_.get(); }
  UniqueFd release() && { return std::move(fd_); }

 private:
  explicit File(UniqueFd fd, std::uint64_t size) : fd_(std::move(fd)), size_(size) {}
  UniqueFd fd_;
  std::uint64_t size_ = 0;  // at the time of opening, then as written
  std::uint64_t position_ = 0;
};

// Another descriptor of the same open file, closed on exec. kExhausted when there are too many.
Result<UniqueFd> duplicate(const OpenFile& file);
// The place of a directory, to reach what is in it whatever its path is; nothing can be read from
// it. Errors as os_error().
Result<UniqueFd> open_place(const std::string& directory);

// Everything in a source, for small files. kExhausted above `bytes_max`.
Result<Bytes> read_all(const ByteSource& source, std::uint64_t bytes_max);

}  // namespace holdfast::platform
