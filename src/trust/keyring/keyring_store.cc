#include "holdfast/keyring/keyring_store.h"

#include <chrono>

#include "holdfast/keyring/keyring_file.h"
#include "holdfast/platform/clock.h"

namespace holdfast::keyring {
namespace {

constexpr unsigned kFileMode = 0600;
// A change of keys takes milliseconds, the rotation of many seconds.
constexpr auto kLockWait = std::chrono::seconds(10);
constexpr auto kLockPoll = std::chrono::milliseconds(10);

}  // namespace

Status check_private(platform::FileSystem& files, const std::string& path) {
  HF_TRY_ASSIGN(const platform::FileInfo info, files.stat(path));
  if ((info.mode & 077) == 0) return ok_status();
  return Error(ErrorCode::kDenied, "others can read or change " + path, "")
      .with_hint("chmod 600 " + path +
                 "; if others may have read it, rotate: holdfast seal rotate irk");
}

Result<Bytes> KeyringStore::read() const {
  HF_TRY(check_private(files_, path_));
  HF_TRY_ASSIGN(const platform::FileInfo directory, files_.stat(data_dir_));
  if ((directory.mode & 022) != 0) {
    return Error(ErrorCode::kDenied, "others can change files in " + data_dir_, "")
        .with_hint("chmod 700 " + data_dir_);
  }
  return platform::read_file(files_, path_, kKeyringBytesMax);
}

Status KeyringStore::write(ByteView file) {
  return platform::write_file_atomic(files_, path_, file, kFileMode);
}

Result<std::unique_ptr<platform::FileLock>> KeyringStore::lock() {
  const auto deadline = platform::Deadline::after(kLockWait);
  while (true) {
    auto held = files_.try_lock(platform::join_path(data_dir_, "keyring.lock"));
    if (held.ok() || held.error().code() != ErrorCode::kUnavailable) return held;
    if (deadline.passed()) {
      return unavailable("another holdfast process changes the keys of this data directory")
          .with_hint("wait until it is done, then try again");
    }
    platform::pause_for(kLockPoll);
  }
}

}  // namespace holdfast::keyring
