#include "holdfast/platform/atomic_file.h"

#include <array>
#include <utility>

#include "holdfast/platform/entropy.h"

namespace holdfast::platform {

Status AtomicFile::check_name() const {
  if (!fs_->exists(path_)) return ok_status();
  if (existing_ == Existing::kRefuse) {
    return conflict("the file " + path_ + " exists already");
  }
  const auto info = fs_->stat(path_);
  if (info.ok() && info->kind != FileKind::kRegular) {
    return invalid_argument(path_ + " is not a file");
  }
  return ok_status();
}

Result<AtomicFile> AtomicFile::create(FileSystem& fs, std::string path, Existing existing,
                                      unsigned mode) {
  AtomicFile out(fs, std::move(path), existing);
  HF_TRY(out.check_name());
  // Writers of one name do not share a temporary file: the last to commit wins, whole.
  std::array<std::byte, 6> random{};
  HF_TRY(fill_random(random));
  std::string temporary = out.path_ + ".tmp-" + to_hex(random);
  HF_TRY_ASSIGN(out.file_, fs.create_exclusive(temporary, mode));
  out.temporary_ = std::move(temporary);
  return out;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : fs_(other.fs_),
      path_(std::move(other.path_)),
      existing_(other.existing_),
      temporary_(std::exchange(other.temporary_, {})),
      file_(std::move(other.file_)) {}

AtomicFile::~AtomicFile() {
  if (temporary_.empty()) return;
  file_.reset();
  ignore_error(fs_->remove(temporary_), "nothing more can be done about a leftover");
}

Status AtomicFile::commit() {
  HF_TRY(file_->sync());
  HF_TRY(check_name());
  HF_TRY(fs_->rename(temporary_, path_));
  temporary_.clear();
  return fs_->sync_dir(parent_path(path_));
}

}  // namespace holdfast::platform
