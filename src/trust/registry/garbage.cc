// What nobody points to any more: left by an import or a removal that was interrupted.
#include <set>

#include "holdfast/registry/store.h"
#include "paths.h"

namespace holdfast::registry {
namespace {

// Long enough for a week's end; then the room is worth more than the work.
constexpr std::int64_t kResumableSeconds = 7 * 24 * 3600;
constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

}  // namespace

Status Store::collect_garbage() {
  // Another process that is changing the store cleans up after itself.
  const auto lock = fs_.try_lock(platform::join_path(data_dir_, kStoreLock));
  if (!lock.ok()) {
    return lock.error().code() == ErrorCode::kUnavailable ? ok_status() : Status(lock.error());
  }
  HF_TRY(remove_stale_partials());
  HF_TRY(remove_stale_resumables());
  HF_TRY(remove_stale_manifests());
  return remove_unreferenced_packs();
}

Status Store::remove_stale_partials() {
  const std::string packs = platform::join_path(data_dir_, kPacksDir);
  HF_TRY_ASSIGN(const auto entries, fs_.list(packs));
  for (const platform::DirectoryEntry& entry : entries) {
    if (!entry.name.ends_with(kPartialSuffix)) continue;
    const std::string stem = entry.name.substr(0, entry.name.size() - kPartialSuffix.size());
    const auto lock = fs_.try_lock(platform::join_path(data_dir_, import_lock(stem)));
    if (!lock.ok()) continue;  // its import is running
    HF_TRY(fs_.remove(packs + "/" + entry.name));
  }
  return ok_status();
}

// Work that nobody went on with.
Status Store::remove_stale_resumables() {
  const std::string packs = platform::join_path(data_dir_, kPacksDir);
  HF_TRY_ASSIGN(const auto entries, fs_.list(packs));
  const std::int64_t now = platform::unix_seconds(clock_.wall_time());
  for (const platform::DirectoryEntry& entry : entries) {
    if (!entry.name.ends_with(kResumableSuffix)) continue;
    const auto info = fs_.stat(packs + "/" + entry.name);
    if (!info.ok() || info->modified_unix_ns / kNanosecondsPerSecond > now - kResumableSeconds) {
      continue;
    }
    const std::string stem = entry.name.substr(0, entry.name.size() - kResumableSuffix.size());
    const auto lock = fs_.try_lock(platform::join_path(data_dir_, import_lock(stem)));
    if (!lock.ok()) continue;  // its import is running
    HF_TRY(fs_.remove(packs + "/" + entry.name));
  }
  return ok_status();
}

// Manifests are written under the store's lock, so an unfinished one that is seen under it was
// abandoned.
Status Store::remove_stale_manifests() {
  const std::string root = platform::join_path(data_dir_, kModelsDir);
  HF_TRY_ASSIGN(const auto names, fs_.list(root));
  for (const platform::DirectoryEntry& name : names) {
    const std::string dir = root + "/" + name.name;
    const auto files = fs_.list(dir);
    if (!files.ok()) continue;
    std::size_t left = files->size();
    for (const platform::DirectoryEntry& file : *files) {
      if (file.name.ends_with(kManifestSuffix)) continue;
      HF_TRY(fs_.remove(dir + "/" + file.name));
      --left;
    }
    if (left == 0) ignore_error(fs_.remove_dir(dir), "an empty directory does no harm");
  }
  return ok_status();
}

Status Store::remove_unreferenced_packs() {
  HF_TRY_ASSIGN(const Listing listing, list());
  // A manifest that cannot be read may point to any pack: nothing is removed while in doubt.
  if (!listing.damaged.empty()) return ok_status();
  std::set<std::string> referenced;
  for (const ModelRecord& model : listing.models) referenced.insert(pack_file_name(model.pack));
  const std::string packs = platform::join_path(data_dir_, kPacksDir);
  HF_TRY_ASSIGN(const auto entries, fs_.list(packs));
  for (const platform::DirectoryEntry& entry : entries) {
    if (!entry.name.ends_with(kPackSuffix) || referenced.contains(entry.name)) continue;
    HF_TRY(fs_.remove(packs + "/" + entry.name));
  }
  return ok_status();
}

}  // namespace holdfast::registry
