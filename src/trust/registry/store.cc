#include "holdfast/registry/store.h"

#include <algorithm>
#include <chrono>

#include "holdfast/base/units.h"
#include "holdfast/registry/manifest.h"
#include "holdfast/vault/pack_reader.h"
#include "holdfast/vault/pack_slots.h"
#include "paths.h"

namespace holdfast::registry {
namespace {

constexpr unsigned kDirMode = 0700;
constexpr unsigned kFileMode = 0600;

// Changes take milliseconds; a lock held longer belongs to a process that hangs.
constexpr auto kLockPatience = std::chrono::seconds(10);
constexpr auto kLockPoll = std::chrono::milliseconds(5);

// Beyond the pack itself: manifests, directories, and so that an import does not fill the disk to
// the last byte.
constexpr std::uint64_t kDiskReserveBytes = 16 * kMiB;

constexpr std::size_t kSuggestionDistanceMax = 3;

// A sealed pack can be opened by an engine alone, which verifies it; what is checked here is that
// it can be opened at all.
Result<vault::PackHeader> check_staged(const platform::ByteSource& file) {
  HF_TRY_ASSIGN(const vault::PackHeader header, vault::read_pack_header(file));
  if (!header.seal) {
    const auto pack = vault::PackReader::open(file);
    if (!pack.ok()) return pack.error();
    return header;
  }
  if (std::ranges::none_of(header.slots, [](const vault::WrapSlot& s) { return s.used; })) {
    return internal_error("the sealed pack has no wrap slot");
  }
  return header;
}

Result<std::unique_ptr<platform::FileLock>> lock_import(platform::FileSystem& fs,
                                                        const std::string& data_dir,
                                                        const crypto::Sha256Digest& work) {
  auto lock = fs.try_lock(platform::join_path(data_dir, import_lock(to_hex(work))));
  if (!lock.ok() && lock.error().code() == ErrorCode::kUnavailable) {
    return unavailable("another process is importing the same model");
  }
  return lock;
}

}  // namespace

Staging::~Staging() {
  if (published_ || keep_) return;
  file_.reset();
  ignore_error(fs_.remove(path_), "a leftover is removed when the store is opened next");
}

Result<std::unique_ptr<Store>> Store::open(platform::FileSystem& fs, const platform::Clock& clock,
                                           std::string data_dir) {
  auto store = std::unique_ptr<Store>(new Store(fs, clock, std::move(data_dir)));
  bool created = false;
  for (const std::string_view sub : {kPacksDir, kModelsDir, kLocksDir}) {
    const std::string path = platform::join_path(store->data_dir_, sub);
    if (fs.exists(path)) continue;
    HF_TRY(fs.make_dirs(path, kDirMode).context("creating the data directory"));
    created = true;
  }
  if (created) HF_TRY(fs.sync_dir(store->data_dir_));
  HF_TRY(store->collect_garbage());
  return store;
}

std::string Store::pack_path(const crypto::Sha256Digest& pack) const {
  return platform::join_path(data_dir_, std::string(kPacksDir) + "/" + pack_file_name(pack));
}

std::string Store::manifest_dir(const ModelName& name) const {
  return platform::join_path(data_dir_, std::string(kModelsDir) + "/" + encode_name(name.name));
}

std::string Store::manifest_path(const ModelName& name) const {
  return manifest_dir(name) + "/" + name.tag + std::string(kManifestSuffix);
}

Result<std::unique_ptr<platform::FileLock>> Store::lock_store() const {
  const std::string path = platform::join_path(data_dir_, kStoreLock);
  const auto give_up = platform::Deadline::after(kLockPatience);
  while (true) {
    auto lock = fs_.try_lock(path);
    if (lock.ok() || lock.error().code() != ErrorCode::kUnavailable) return lock;
    if (give_up.passed()) {
      return unavailable("the model store is locked by another process", path);
    }
    platform::pause_for(kLockPoll);
  }
}

Result<ModelRecord> Store::read_manifest(const ModelName& name) const {
  HF_TRY_ASSIGN(const Bytes bytes,
                platform::read_file(fs_, manifest_path(name), kManifestBytesMax));
  return decode_manifest(as_string_view(bytes), name).context(name.full());
}

Status Store::write_manifest(const ModelRecord& record) {
  const std::string dir = manifest_dir(record.name);
  if (!fs_.exists(dir)) {
    HF_TRY(fs_.make_dirs(dir, kDirMode));
    HF_TRY(fs_.sync_dir(platform::join_path(data_dir_, kModelsDir)));
  }
  const std::string text = encode_manifest(record);
  return platform::write_file_atomic(fs_, manifest_path(record.name), as_bytes_view(text),
                                     kFileMode);
}

Result<Listing> Store::list() const {
  const std::string root = platform::join_path(data_dir_, kModelsDir);
  HF_TRY_ASSIGN(const auto names, fs_.list(root));
  Listing listing;
  for (const platform::DirectoryEntry& entry : names) {
    const auto tags = fs_.list(root + "/" + entry.name);
    if (!tags.ok()) continue;  // removed at this moment, or no directory
    for (const platform::DirectoryEntry& tag : *tags) {
      if (!tag.name.ends_with(kManifestSuffix)) continue;
      const std::string stem = tag.name.substr(0, tag.name.size() - kManifestSuffix.size());
      const auto name = parse_model_name(decode_name(entry.name) + ":" + stem);
      if (!name.ok()) continue;
      auto record = read_manifest(*name);
      if (record.ok()) {
        listing.models.push_back(*std::move(record));
      } else if (record.error().code() != ErrorCode::kNotFound) {
        listing.damaged.push_back(name->full());
      }
    }
  }
  std::sort(listing.models.begin(), listing.models.end(),
            [](const ModelRecord& a, const ModelRecord& b) { return a.name < b.name; });
  return listing;
}

Error Store::no_such_model(const ModelName& wanted) const {
  Error error = not_found("there is no model \"" + wanted.shown() + "\"");
  const auto listing = list();
  if (!listing.ok()) return error;
  std::string nearest;
  std::size_t best = kSuggestionDistanceMax + 1;
  for (const ModelRecord& model : listing->models) {
    for (const std::string& candidate : {model.name.shown(), model.name.full()}) {
      const std::size_t distance = edit_distance(wanted.shown(), candidate, best);
      if (distance >= best) continue;
      best = distance;
      nearest = candidate;
    }
  }
  if (!nearest.empty()) return std::move(error).with_hint("Did you mean \"" + nearest + "\"?");
  if (listing->models.empty()) {
    return std::move(error).with_hint("The store is empty: holdfast import FILE.");
  }
  return std::move(error).with_hint("holdfast ls lists the models.");
}

Result<ModelRecord> Store::resolve(std::string_view text) const {
  HF_TRY_ASSIGN(ModelName name, parse_model_name(text));
  if (fs_.exists(manifest_path(name))) return read_manifest(name);
  if (text.find(':') != std::string_view::npos) return no_such_model(name);
  const auto tags = fs_.list(manifest_dir(name));
  if (!tags.ok()) return no_such_model(name);
  std::vector<ModelName> found;
  for (const platform::DirectoryEntry& tag : *tags) {
    if (!tag.name.ends_with(kManifestSuffix)) continue;
    const std::string stem = tag.name.substr(0, tag.name.size() - kManifestSuffix.size());
    if (auto other = parse_model_name(name.name + ":" + stem); other.ok()) {
      found.push_back(*std::move(other));
    }
  }
  if (found.size() != 1) return no_such_model(name);
  return read_manifest(found.front());
}

Result<std::vector<ModelName>> Store::aliases_of(const ModelRecord& model) const {
  HF_TRY_ASSIGN(const Listing listing, list());
  std::vector<ModelName> names;
  for (const ModelRecord& other : listing.models) {
    if (other.pack == model.pack && other.name != model.name) names.push_back(other.name);
  }
  return names;
}

Result<std::unique_ptr<platform::OpenFile>> Store::open_pack(const ModelRecord& model) const {
  auto opened =
      fs_.open_beneath(platform::join_path(data_dir_, kPacksDir), pack_file_name(model.pack));
  if (!opened.ok() && opened.error().code() == ErrorCode::kNotFound) {
    return corrupt("the weights of model \"" + model.name.shown() + "\" are missing from the store")
        .with_hint("Import the model again.");
  }
  HF_TRY_ASSIGN(auto file, std::move(opened));
  Bytes header(vault::kHeaderDigestedBytes);
  HF_TRY(file->read_at(0, header));
  if (vault::header_digest(header) != model.pack) {
    return corrupt("the weights of model \"" + model.name.shown() + "\" are damaged")
        .with_hint("Import the model again.");
  }
  return file;
}

Result<ModelRecord> Store::add_name(const ModelRecord& model, const ModelName& name) {
  HF_TRY_ASSIGN(const auto lock, lock_store());
  if (!fs_.exists(pack_path(model.pack))) {
    return not_found("the model was removed at this moment").with_hint("Import it again.");
  }
  ModelRecord record = model;
  if (name == model.name && fs_.exists(manifest_path(name))) return record;
  record.name = name;
  record.created_unix = platform::unix_seconds(clock_.wall_time());
  HF_TRY(write_manifest(record));
  ignore_error(remove_unreferenced_packs(), "the next opening of the store tries again");
  return record;
}

Result<ModelRecord> Store::copy(std::string_view from, std::string_view to) {
  HF_TRY_ASSIGN(const ModelName name, parse_model_name(to));
  HF_TRY_ASSIGN(const ModelRecord model, resolve(from));
  return add_name(model, name);
}

Result<ModelRecord> Store::remove(std::string_view text) {
  HF_TRY_ASSIGN(const auto lock, lock_store());
  auto resolved = resolve(text);
  // A damaged manifest can be removed too: otherwise nothing could.
  ModelRecord record;
  if (resolved.ok()) {
    record = *std::move(resolved);
  } else {
    if (resolved.error().code() != ErrorCode::kCorrupt) return resolved.error();
    HF_TRY_ASSIGN(record.name, parse_model_name(text));
  }
  HF_TRY(fs_.remove(manifest_path(record.name)));
  HF_TRY(fs_.sync_dir(manifest_dir(record.name)));
  ignore_error(fs_.remove_dir(manifest_dir(record.name)), "other tags are in it");
  ignore_error(remove_unreferenced_packs(), "the next opening of the store tries again");
  return record;
}

Result<std::optional<ModelRecord>> Store::find_source(const crypto::Sha256Digest& source,
                                                      std::string_view variant) const {
  HF_TRY_ASSIGN(Listing listing, list());
  for (ModelRecord& model : listing.models) {
    if (model.source != source || model.variant != variant) continue;
    // A name whose pack is gone or damaged is no reason to skip the import.
    if (open_pack(model).ok()) return std::optional<ModelRecord>(std::move(model));
  }
  return std::optional<ModelRecord>();
}

Status Store::check_room(std::uint64_t bytes_expected) const {
  const std::string packs = platform::join_path(data_dir_, kPacksDir);
  HF_TRY_ASSIGN(const std::uint64_t room, fs_.free_bytes(packs));
  if (room >= bytes_expected + kDiskReserveBytes) return ok_status();
  return exhausted("not enough room on the disk: the import needs " +
                       format_bytes(bytes_expected + kDiskReserveBytes) + ", " +
                       format_bytes(room) + " are free",
                   packs);
}

Result<std::unique_ptr<Staging>> Store::stage(const crypto::Sha256Digest& source,
                                              std::uint64_t bytes_expected) {
  HF_TRY(check_room(bytes_expected));
  HF_TRY_ASSIGN(auto lock, lock_import(fs_, data_dir_, source));
  const std::string path = platform::join_path(data_dir_, kPacksDir) + "/" + to_hex(source) +
                           std::string(kPartialSuffix);
  if (fs_.exists(path)) HF_TRY(fs_.remove(path));
  HF_TRY_ASSIGN(auto file, fs_.create_exclusive(path, kFileMode));
  return std::unique_ptr<Staging>(new Staging(fs_, path, std::move(lock), std::move(file)));
}

Result<std::unique_ptr<Staging>> Store::stage_resumable(const crypto::Sha256Digest& work,
                                                        std::uint64_t bytes_expected) {
  HF_TRY_ASSIGN(auto lock, lock_import(fs_, data_dir_, work));
  const std::string path = platform::join_path(data_dir_, kPacksDir) + "/" + to_hex(work) +
                           std::string(kResumableSuffix);
  std::unique_ptr<platform::OpenFile> file;
  std::uint64_t there = 0;
  if (fs_.exists(path)) {
    HF_TRY_ASSIGN(platform::File left, platform::File::open_update(path));
    there = left.size();
    file = std::make_unique<platform::File>(std::move(left));
  }
  HF_TRY(check_room(bytes_expected - std::min(there, bytes_expected)));
  if (!file) {
    HF_TRY_ASSIGN(file, fs_.create_exclusive(path, kFileMode));
  }
  return std::unique_ptr<Staging>(new Staging(fs_, path, std::move(lock), std::move(file), true));
}

Status Store::rewrite_slots(const ModelRecord& model, const vault::WrapSlots& slots) {
  HF_TRY_ASSIGN(platform::File file, platform::File::open_update(pack_path(model.pack)));
  return vault::rewrite_wrap_slots(file, slots);
}

Result<ModelRecord> Store::publish(std::unique_ptr<Staging> staging, Publication p) {
  HF_TRY(staging->file_->sync().context("saving the imported model"));
  ModelRecord record{p.name,
                     {},
                     p.source,
                     p.variant,
                     0,
                     0,
                     p.facts,
                     p.stage,
                     std::move(p.provenance),
                     std::move(p.others)};
  {
    HF_TRY_ASSIGN(const auto file, fs_.open_read(staging->path_));
    HF_TRY_ASSIGN(const vault::PackHeader header, check_staged(*file));
    record.pack = vault::header_digest(vault::encode_header(header));
    record.size_bytes = file->size();
    if (header.source_digest != record.source) {
      return internal_error("the imported pack names another source");
    }
  }
  HF_TRY_ASSIGN(const auto lock, lock_store());
  record.created_unix = platform::unix_seconds(clock_.wall_time());
  HF_TRY(fs_.rename(staging->path_, pack_path(record.pack)));
  staging->published_ = true;
  HF_TRY(fs_.sync_dir(platform::join_path(data_dir_, kPacksDir)));
  HF_TRY(write_manifest(record));
  ignore_error(remove_unreferenced_packs(), "the next opening of the store tries again");
  return record;
}

Result<ModelRecord> Store::set_stage(std::string_view name, Stage stage) {
  HF_TRY_ASSIGN(const auto lock, lock_store());
  HF_TRY_ASSIGN(ModelRecord record, resolve(name));
  if (record.stage == stage) return record;
  record.stage = stage;
  HF_TRY(write_manifest(record));
  return record;
}

Status Store::set_signature(const ModelRecord& model, const json::Object& signature) {
  HF_TRY_ASSIGN(const auto lock, lock_store());
  HF_TRY_ASSIGN(Listing listing, list());
  for (ModelRecord& record : listing.models) {
    if (record.pack != model.pack) continue;
    record.others.set("signature", signature);
    HF_TRY(write_manifest(record));
  }
  return ok_status();
}

}  // namespace holdfast::registry
