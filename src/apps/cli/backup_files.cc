// The way into a backup (restore.h).
#include <algorithm>
#include <set>

#include "holdfast/custody/key_table.h"
#include "holdfast/keyring/keyring_file.h"
#include "holdfast/keyring/keyring_store.h"
#include "holdfast/platform/atomic_file.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/registry/manifest.h"
#include "local_model.h"
#include "model_facts_text.h"
#include "output.h"
#include "restore.h"

namespace holdfast::cli {

namespace {

constexpr unsigned kFileMode = 0600;
constexpr std::size_t kKeyFileBytesMax = 64u << 20;

platform::FileSystem& real_files() {
  static platform::PosixFileSystem files;
  return files;
}

// A file that is there only while the backup is written.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  ~TemporaryFile() { ignore_error(real_files().remove(path_), "the next backup removes it"); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Collects what goes into one backup. Owner: write_backup_file().
class Collector {
 public:
  Collector(const Context& context, const InstancePlaces& places)
      : context_(context),
        places_(places),
        state_copy_(platform::join_path(places.data_dir, "state.db.backup")) {}

  // Keyring and database under the keyring's lock, so that they belong together.
  Status keys() {
    keyring::KeyringStore store(real_files(), places_.keyring, places_.data_dir);
    HF_TRY_ASSIGN(const auto lock, store.lock());
    if (store.exists()) {
      HF_TRY_ASSIGN(Bytes file, store.read());
      HF_TRY_ASSIGN(const keyring::DecodedKeyring decoded, keyring::decode_keyring(file));
      facts_.instance = to_hex(decoded.keyring.instance_id);
      facts_.generation = decoded.keyring.generation;
      add("keyring.hfk", std::move(file));
    }
    for (const char* name : {"keys/keys.json", "keys/pepper"}) {
      const std::string path = platform::join_path(places_.data_dir, name);
      if (!real_files().exists(path)) continue;
      HF_TRY_ASSIGN(Bytes file, platform::read_file(real_files(), path, kKeyFileBytesMax));
      add(name, std::move(file));
    }
    // Behind the pepper's file: a server may be moving it into the database now.
    if (!real_files().exists(custody::KeyTable::path(places_.data_dir))) return ok_status();
    return copy_state();
  }

  Status models(bool with_packs) {
    HF_TRY_ASSIGN(const std::unique_ptr<registry::Store> store, open_store(context_));
    HF_TRY_ASSIGN(const registry::Listing listing, store->list());
    if (!listing.damaged.empty()) {
      return corrupt("the entry " + listing.damaged.front() + " of the store is damaged")
          .with_hint("holdfast rm " + listing.damaged.front() + ", then repeat the backup");
    }
    std::set<crypto::Sha256Digest> packs;
    for (const registry::ModelRecord& model : listing.models) {
      const std::string text = registry::encode_manifest(model);
      const ByteView bytes = as_bytes_view(text);
      add("models/" + std::to_string(models_++) + ".json", Bytes(bytes.begin(), bytes.end()));
      if (!with_packs || !packs.insert(model.pack).second) continue;
      HF_TRY_ASSIGN(std::unique_ptr<platform::OpenFile> pack, store->open_pack(model));
      files_.push_back({"packs/" + to_hex(model.pack) + ".hfc", std::move(pack)});
    }
    facts_.with_models = with_packs;
    return ok_status();
  }

  const std::vector<bundle::BackupFile>& files() const { return files_; }
  bundle::BackupFacts facts() const {
    bundle::BackupFacts out = facts_;
    out.created_unix = act_now(context_).at_unix;
    return out;
  }
  std::size_t model_count() const { return models_; }

 private:
  void add(std::string name, Bytes content) {
    files_.push_back(
        {std::move(name), std::make_unique<platform::MemorySource>(std::move(content))});
  }

  // As SQLite writes it anew: consistent while others write, and without what was deleted.
  Status copy_state() {
    const std::string& path = state_copy_.path();
    if (real_files().exists(path)) HF_TRY(real_files().remove(path));
    // Made here, so that its mode is ours; SQLite takes an empty file.
    HF_TRY_ASSIGN(const auto empty, real_files().create_exclusive(path, kFileMode));
    HF_TRY_ASSIGN(custody::KeyTable table, custody::KeyTable::open(places_.data_dir));
    HF_TRY_ASSIGN(db::Statement copy, table.database().prepare("VACUUM INTO ?"));
    HF_TRY(copy.bind(std::string_view(path)).run());
    HF_TRY_ASSIGN(std::unique_ptr<platform::OpenFile> file, real_files().open_read(path));
    files_.push_back({"state.db", std::move(file)});
    return ok_status();
  }

  const Context& context_;
  const InstancePlaces& places_;
  TemporaryFile state_copy_;  // removed after files_, which reads it
  bundle::BackupFacts facts_;
  std::vector<bundle::BackupFile> files_;
  std::size_t models_ = 0;
};

// What was written is read back: a backup that cannot be restored is none.
Status read_back(const platform::ByteSource& file) {
  HF_TRY_ASSIGN(const bundle::Backup backup, bundle::Backup::open(file));
  return backup.verify();
}

}  // namespace

Result<BackedUp> write_backup_file(const Context& context, const std::string& output,
                                   bool with_models) {
  const InstancePlaces places = instance_places(context);
  if (!real_files().exists(places.data_dir)) {
    return not_found("there is no data directory to back up", places.data_dir)
        .with_hint("name it with --data-dir DIR");
  }
  HF_TRY_ASSIGN(platform::AtomicFile out,
                platform::AtomicFile::create(real_files(), output,
                                             platform::AtomicFile::Existing::kRefuse, kFileMode));
  Collector collector(context, places);
  HF_TRY(collector.keys());
  HF_TRY(collector.models(with_models));
  if (collector.files().empty()) return not_found("there is nothing to back up", places.data_dir);
  Progress bar(context, "backing up");
  const bundle::BackupFacts facts = collector.facts();
  HF_TRY(bundle::write_backup(collector.files(), facts, out.file(),
                              [&](std::uint64_t done, std::uint64_t total) {
                                bar.update(done, total);
                                return ok_status();
                              }));
  bar.finish();
  HF_TRY(read_back(out.file()));
  const std::uint64_t bytes = out.file().size();
  HF_TRY(out.commit());
  return BackedUp{facts, bytes, collector.model_count()};
}

}  // namespace holdfast::cli
