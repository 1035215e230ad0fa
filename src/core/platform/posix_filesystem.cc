#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "holdfast/platform/filesystem.h"

namespace holdfast::platform {
namespace {

FileKind kind_of_mode(mode_t mode) {
  if (S_ISREG(mode)) return FileKind::kRegular;
  if (S_ISDIR(mode)) return FileKind::kDirectory;
  return S_ISLNK(mode) ? FileKind::kSymlink : FileKind::kOther;
}

FileKind kind_of_entry(int directory_fd, const dirent& entry) {
  switch (entry.d_type) {
    case DT_REG:
      return FileKind::kRegular;
    case DT_DIR:
      return FileKind::kDirectory;
    case DT_LNK:
      return FileKind::kSymlink;
    case DT_UNKNOWN:
      break;
    default:
      return FileKind::kOther;
  }
  struct stat st {};
  if (::fstatat(directory_fd, entry.d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) return FileKind::kOther;
  return kind_of_mode(st.st_mode);
}

Result<UniqueFd> open_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return os_error(errno, "open directory", path);
  return UniqueFd(fd);
}

Result<std::unique_ptr<OpenFile>> as_open_file(Result<File> file) {
  if (!file.ok()) return std::move(file).error();
  return std::unique_ptr<OpenFile>(std::make_unique<File>(std::move(file).value()));
}

// Component by component with O_NOFOLLOW: for kernels and sandboxes without openat2.
Result<UniqueFd> open_beneath_stepwise(UniqueFd directory, std::string_view relative) {
  while (true) {
    const std::size_t slash = relative.find('/');
    const std::string part(relative.substr(0, slash));
    const bool last = slash == std::string_view::npos;
    const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (last ? 0 : O_DIRECTORY);
    UniqueFd next(::openat(directory.get(), part.c_str(), flags));
    if (!next.valid()) {
      if (errno == ELOOP || (errno == ENOTDIR && !last)) errno = EACCES;
      return os_error(errno, "open", part);
    }
    if (last) return next;
    directory = std::move(next);
    relative.remove_prefix(slash + 1);
  }
}

class PosixLock final : public FileLock {
 public:
  explicit PosixLock(UniqueFd fd) : fd_(std::move(fd)) {}

 private:
  UniqueFd fd_;
};

}  // namespace

Result<std::unique_ptr<OpenFile>> PosixFileSystem::open_read(const std::string& path) {
  return as_open_file(File::open_read(path));
}

Result<std::unique_ptr<OpenFile>> PosixFileSystem::open_beneath(const std::string& root,
                                                                const std::string& relative) {
  if (!is_plain_relative_path(relative)) {
    return Error(ErrorCode::kDenied, "the name leaves its directory", relative);
  }
  HF_TRY_ASSIGN(UniqueFd directory, open_directory(root));
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(
      ::syscall(SYS_openat2, directory.get(), relative.c_str(), &how, sizeof how)));
  if (!fd.valid()) {
    if (errno == ENOSYS || errno == EPERM) {
      HF_TRY_ASSIGN(fd, open_beneath_stepwise(std::move(directory), relative));
    } else {
      const int error = errno == ELOOP || errno == EXDEV ? EACCES : errno;
      return os_error(error, "open", relative);
    }
  }
  return as_open_file(File::from_fd(std::move(fd)));
}

Result<std::unique_ptr<OpenFile>> PosixFileSystem::create_exclusive(const std::string& path,
                                                                    unsigned mode) {
  return as_open_file(File::create(path, mode));
}

Status PosixFileSystem::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return os_error(errno, "rename", from);
  return {};
}

Status PosixFileSystem::remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return os_error(errno, "remove", path);
  return {};
}

Status PosixFileSystem::remove_dir(const std::string& path) {
  if (::rmdir(path.c_str()) != 0) return os_error(errno, "remove directory", path);
  return {};
}

Status PosixFileSystem::sync_dir(const std::string& path) {
  HF_TRY_ASSIGN(const UniqueFd fd, open_directory(path));
  if (::fsync(fd.get()) != 0) return os_error(errno, "fsync", path);
  return {};
}

Status PosixFileSystem::make_dirs(const std::string& path, unsigned mode) {
  if (path.empty()) return invalid_argument("empty directory name");
  for (std::size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), mode) == 0 || errno == EEXIST) continue;
    // A parent that exists may refuse the attempt (read-only mounts) before saying that it exists.
    const int error = errno;
    struct stat st {};
    if (::stat(part.c_str(), &st) != 0) return os_error(error, "create directory", part);
  }
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return os_error(errno, "create directory", path);
  if (!S_ISDIR(st.st_mode)) return conflict("a file is in the way of a directory", path);
  return {};
}

Result<std::vector<DirectoryEntry>> PosixFileSystem::list(const std::string& path) {
  HF_TRY_ASSIGN(UniqueFd fd, open_directory(path));
  DIR* raw = ::fdopendir(fd.get());
  if (raw == nullptr) return os_error(errno, "list", path);
  const int directory_fd = fd.release();
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(raw, ::closedir);
  std::vector<DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) {
      if (errno != 0) return os_error(errno, "list", path);
      break;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (entries.size() == kDirectoryEntriesMax)
      return exhausted("too many files in a directory", path);
    entries.push_back({std::string(name), kind_of_entry(directory_fd, *entry)});
  }
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

Result<FileInfo> PosixFileSystem::stat(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return os_error(errno, "stat", path);
  FileInfo info;
  info.kind = kind_of_mode(st.st_mode);
  info.size = static_cast<std::uint64_t>(st.st_size);
  info.mode = st.st_mode & 07777u;
  info.modified_unix_ns = std::int64_t{st.st_mtim.tv_sec} * 1'000'000'000 + st.st_mtim.tv_nsec;
  info.device = st.st_dev;
  info.inode = st.st_ino;
  return info;
}

bool PosixFileSystem::exists(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0;
}

Result<std::uint64_t> PosixFileSystem::free_bytes(const std::string& path) {
  struct statvfs st {};
  if (::statvfs(path.c_str(), &st) != 0) return os_error(errno, "statvfs", path);
  return std::uint64_t{st.f_bavail} * st.f_frsize;
}

Result<std::unique_ptr<FileLock>> PosixFileSystem::try_lock(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return os_error(errno, "open lock", path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return unavailable("another process is using it", path);
    return os_error(errno, "lock", path);
  }
  return std::unique_ptr<FileLock>(std::make_unique<PosixLock>(std::move(fd)));
}

}  // namespace holdfast::platform
