#include "holdfast/platform/filesystem.h"

#include "holdfast/base/error.h"

namespace holdfast::platform {

Status write_file_atomic(FileSystem& fs, const std::string& path, ByteView bytes, unsigned mode) {
  const std::string temporary = path + ".tmp";
  // A leftover of a crashed writer: whoever writes `path` holds the lock of its directory.
  if (fs.exists(temporary)) HF_TRY(fs.remove(temporary));
  Status written = [&]() -> Status {
    HF_TRY_ASSIGN(std::unique_ptr<OpenFile> file, fs.create_exclusive(temporary, mode));
    HF_TRY(file->write_all(bytes));
    HF_TRY(file->sync());
    return fs.rename(temporary, path);
  }();
  if (!written.ok()) {
    ignore_error(fs.remove(temporary), "the first error is the one to report");
    return std::move(written).context("writing " + path);
  }
  return fs.sync_dir(parent_path(path)).context("writing " + path);
}

Result<Bytes> read_file(FileSystem& fs, const std::string& path, std::uint64_t bytes_max) {
  HF_TRY_ASSIGN(const std::unique_ptr<OpenFile> file, fs.open_read(path));
  return read_all(*file, bytes_max).context(path);
}

std::string parent_path(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string_view base_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string join_path(std::string_view directory, std::string_view name) {
  if (directory.empty() || name.starts_with('/')) return std::string(name);
  std::string out(directory);
  if (!out.ends_with('/')) out += '/';
  return out.append(name);
}

bool is_plain_relative_path(std::string_view path) {
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string_view::npos) {
      return false;
    }
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace holdfast::platform
