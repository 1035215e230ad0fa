#include "holdfast/platform/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "holdfast/base/checked.h"

namespace holdfast::platform {
namespace {

Result<std::uint64_t> regular_file_size(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return os_error(errno, "stat");
  if (!S_ISREG(st.st_mode)) return invalid_argument("not a regular file");
  return static_cast<std::uint64_t>(st.st_size);
}

Result<UniqueFd> open_path(const std::string& path, int flags, unsigned mode) {
  // O_NONBLOCK: opening a FIFO must not wait for its other end; it has no effect on regular files.
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return os_error(errno, "open", path);
  return UniqueFd(fd);
}

}  // namespace

void UniqueFd::reset(int fd) {
  // Linux closes the descriptor even when close() says EINTR: a retry could close somebody else's.
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

File::File(File&& other) noexcept
    : fd_(std::move(other.fd_)), size_(other.size_), position_(other.position_) {}

File& File::operator=(File&& other) noexcept {
  fd_ = std::move(other.fd_);
  size_ = other.size_;
  position_ = other.position_;
  return *this;
}

Result<File> File::open_read(const std::string& path) {
  HF_TRY_ASSIGN(UniqueFd fd, open_path(path, O_RDONLY, 0));
  return from_fd(std::move(fd)).context(path);
}

Result<File> File::from_fd(UniqueFd fd) {
  HF_TRY_ASSIGN(const std::uint64_t size, regular_file_size(fd.get()));
  return File(std::move(fd), size);
}

Result<File> File::create(const std::string& path, unsigned mode) {
  HF_TRY_ASSIGN(UniqueFd fd, open_path(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  return File(std::move(fd), 0);
}

Result<File> File::open_update(const std::string& path) {
  HF_TRY_ASSIGN(UniqueFd fd, open_path(path, O_RDWR | O_NOFOLLOW, 0));
  return from_fd(std::move(fd)).context(path);
}

Result<File> File::create_or_replace(const std::string& path, unsigned mode) {
  HF_TRY_ASSIGN(UniqueFd fd, open_path(path, O_RDWR | O_CREAT | O_TRUNC, mode));
  return from_fd(std::move(fd)).context(path);
}

Status File::read_at(std::uint64_t offset, MutableBytes out) const {
  HF_TRY(check_range(offset, out.size(), size_));
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n =
        ::pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0) {
      if (errno == EINTR) continue;
      return os_error(errno, "read");
    }
    if (n == 0) return corrupt("the file became shorter while it was read");
    done += static_cast<std::size_t>(n);
  }
  return {};
}

Status File::write_all(ByteView bytes) {
  HF_TRY(write_at(position_, bytes));
  position_ += bytes.size();
  return {};
}

Status File::write_at(std::uint64_t offset, ByteView bytes) {
  const auto end = checked_add<std::uint64_t>(offset, bytes.size());
  if (!end || *end > static_cast<std::uint64_t>(INT64_MAX)) {
    return invalid_argument("file offset out of range");
  }
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pwrite(fd_.get(), bytes.data() + done, bytes.size() - done,
                               static_cast<off_t>(offset + done));
    if (n < 0) {
      if (errno == EINTR) continue;
      return os_error(errno, "write");
    }
    done += static_cast<std::size_t>(n);
    if (offset + done > size_) size_ = offset + done;
  }
  return {};
}

Status File::truncate(std::uint64_t size) {
  if (size > static_cast<std::uint64_t>(INT64_MAX))
    return invalid_argument("file size out of range");
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) return os_error(errno, "truncate");
  size_ = size;
  if (position_ > size) position_ = size;
  return {};
}

Status File::sync() {
  if (::fsync(fd_.get()) != 0) return os_error(errno, "fsync");
  return {};
}

Result<Bytes> read_all(const ByteSource& source, std::uint64_t bytes_max) {
  if (source.size() > bytes_max) {
    return exhausted(
        "the file is larger than allowed",
        std::to_string(source.size()) + " of at most " + std::to_string(bytes_max) + " bytes");
  }
  Bytes out(source.size());
  HF_TRY(source.read_at(0, out));
  return out;
}

Result<UniqueFd> open_place(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return os_error(errno, "open", directory);
  return UniqueFd(fd);
}

Result<UniqueFd> duplicate(const OpenFile& file) {
  const int fd = ::fcntl(file.fd(), F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return os_error(errno, "duplicate a descriptor");
  return UniqueFd(fd);
}

}  // namespace holdfast::platform
