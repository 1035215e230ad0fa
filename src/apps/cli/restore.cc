#include "restore.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "holdfast/custody/key_table.h"
#include "holdfast/keyring/keyring_file.h"
#include "holdfast/keyring/keyring_store.h"
#include "holdfast/keyring/slot_params.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/registry/manifest.h"
#include "holdfast/vault/pack_reader.h"
#include "output.h"

namespace holdfast::cli {

namespace {

constexpr unsigned kDirMode = 0700;
constexpr unsigned kFileMode = 0600;
constexpr std::string_view kStaging = "restore.partial";
constexpr std::size_t kKeyringBytesMax = 1u << 20;

platform::FileSystem& real_files() {
  static platform::PosixFileSystem files;
  return files;
}

bool any_file(const std::string& directory, std::string_view suffix) {
  const auto entries = real_files().list(directory);
  return entries.ok() && std::ranges::any_of(*entries, [&](const platform::DirectoryEntry& e) {
           return e.name.ends_with(suffix);
         });
}

// What an earlier run of a restore has not finished is not an instance. With its last step, the
// keyring, it has.
bool is_unfinished(const InstancePlaces& places) {
  return real_files().exists(platform::join_path(places.data_dir, kStaging)) &&
         !real_files().exists(places.keyring);
}

bool has_instance(const InstancePlaces& places) {
  return real_files().exists(places.keyring) ||
         real_files().exists(platform::join_path(places.data_dir, "state.db")) ||
         real_files().exists(platform::join_path(places.data_dir, "keys/keys.json")) ||
         any_file(platform::join_path(places.store_dir, "models"), "") ||
         any_file(platform::join_path(places.store_dir, "packs"), ".hfc");
}

Status check_target(const InstancePlaces& places, const bundle::BackupFacts& facts) {
  if (is_unfinished(places) || !has_instance(places)) return ok_status();
  const auto file = platform::read_file(real_files(), places.keyring, kKeyringBytesMax);
  const auto own =
      file.ok() ? keyring::decode_keyring(*file) : Result<keyring::DecodedKeyring>(file.error());
  if (own.ok() && to_hex(own->keyring.instance_id) == facts.instance &&
      own->keyring.generation > facts.generation) {
    return conflict("the keyring here is newer than the backup (generation " +
                        std::to_string(own->keyring.generation) + ", " +
                        std::to_string(facts.generation) + " in the backup)",
                    places.data_dir)
        .with_hint(
            "going back would revive keys and slots that were removed since; to look into "
            "the backup, restore it elsewhere: --data-dir DIR");
  }
  return conflict("there is an instance in the data directory already", places.data_dir)
      .with_hint("restore into an empty one (--data-dir DIR), or move this one away first");
}

struct KeyringFacts {
  bundle::BackupFacts facts;
  std::vector<std::string> key_files;
};

Result<KeyringFacts> keyring_facts(ByteView file) {
  HF_TRY_ASSIGN(const keyring::DecodedKeyring decoded, keyring::decode_keyring(file));
  KeyringFacts out;
  out.facts.instance = to_hex(decoded.keyring.instance_id);
  out.facts.generation = decoded.keyring.generation;
  for (const keyring::Slot& slot : decoded.keyring.slots) {
    for (const keyring::Factor& factor : slot.plan.factors) {
      if (factor.kind != keyring::FactorKind::kFile) continue;
      HF_TRY_ASSIGN(std::string path, keyring::decode_text_params(factor.params));
      out.key_files.push_back(std::move(path));
    }
  }
  return out;
}

// Where an entry goes, below which of the two directories.
struct Place {
  std::string root;
  std::string relative;

  std::string path() const { return platform::join_path(root, relative); }
  std::string staged() const {
    return platform::join_path(root, std::string(kStaging) + "/" + relative);
  }
};

// Files that come back. Owner: restore_backup_file().
class Restore {
 public:
  Restore(const InstancePlaces& places, const bundle::Backup& backup)
      : places_(places), backup_(backup) {}

  Result<Restored> run() {
    HF_TRY(remove_staging());
    for (const bundle::BackupEntry& entry : backup_.entries()) HF_TRY(stage(entry));
    HF_TRY(check_keyring());
    // The keyring is the last: until then nothing here takes itself for an instance.
    std::ranges::stable_sort(staged_, {}, [&](const Place& p) { return is_keyring(p); });
    for (const Place& place : staged_) HF_TRY(move(place));
    HF_TRY(remove_staging());
    result_.facts = backup_.facts();
    return std::move(result_);
  }

 private:
  bool is_keyring(const Place& place) const { return place.path() == places_.keyring; }

  Result<Place> place_of(const bundle::BackupEntry& entry) {
    if (entry.name == "keyring.hfk")
      return Place{platform::parent_path(places_.keyring),
                   std::string(platform::base_name(places_.keyring))};
    if (entry.name.starts_with("packs/")) return Place{places_.store_dir, entry.name};
    if (!entry.name.starts_with("models/")) return Place{places_.data_dir, entry.name};
    HF_TRY_ASSIGN(const Bytes text, backup_.read(entry, registry::kManifestBytesMax));
    HF_TRY_ASSIGN(const json::Value manifest,
                  json::parse(as_string_view(text), {.bytes_max = registry::kManifestBytesMax}));
    const json::Value* name = manifest.find("name");
    if (name == nullptr || !name->is_string())
      return corrupt("the backup is damaged", entry.name + " has no name");
    HF_TRY_ASSIGN(const registry::ModelName parsed, registry::parse_model_name(name->as_string()));
    HF_TRY(registry::decode_manifest(as_string_view(text), parsed));
    return Place{places_.store_dir, registry::manifest_place(parsed)};
  }

  Status stage(const bundle::BackupEntry& entry) {
    HF_TRY_ASSIGN(Place place, place_of(entry));
    const std::string path = place.staged();
    HF_TRY(real_files().make_dirs(platform::parent_path(path), kDirMode));
    HF_TRY_ASSIGN(const auto file, real_files().create_exclusive(path, kFileMode));
    crypto::Sha256 hash;
    const auto take = [&](ByteView piece) {
      hash.update(piece);
      return file->write_all(piece);
    };
    HF_TRY(backup_.each(entry, take));
    if (hash.finish() != entry.blob.digest)
      return corrupt("the backup changed while it was read", entry.name);
    HF_TRY(file->sync());
    if (entry.name.starts_with("packs/")) HF_TRY(check_pack(entry.name, *file));
    result_.models += entry.name.starts_with("models/") ? 1 : 0;
    staged_.push_back(std::move(place));
    return ok_status();
  }

  Status check_pack(const std::string& name, const platform::ByteSource& file) {
    HF_TRY_ASSIGN(const vault::PackHeader header, vault::read_pack_header(file));
    const std::string address = to_hex(vault::header_digest(vault::encode_header(header)));
    if (name != "packs/" + address + ".hfc")
      return corrupt("the backup is damaged", name + " is another pack");
    ++result_.packs;
    return ok_status();
  }

  // Keyring and database belong together.
  Status check_keyring() {
    const auto at = std::ranges::find_if(staged_, [&](const Place& p) { return is_keyring(p); });
    if (at == staged_.end()) return ok_status();
    HF_TRY_ASSIGN(const Bytes file,
                  platform::read_file(real_files(), at->staged(), kKeyringBytesMax));
    HF_TRY_ASSIGN(const KeyringFacts found, keyring_facts(file));
    result_.key_files = found.key_files;
    const std::string staging = platform::join_path(places_.data_dir, kStaging);
    if (!real_files().exists(custody::KeyTable::path(staging))) return ok_status();
    HF_TRY_ASSIGN(custody::KeyTable table, custody::KeyTable::open(staging));
    HF_TRY_ASSIGN(const std::uint64_t generation, table.generation());
    if (found.facts.generation >= generation) return ok_status();
    return corrupt("the backup's keyring is older than its database")
        .with_hint("use another copy of the backup");
  }

  Status move(const Place& place) {
    const std::string parent = platform::parent_path(place.path());
    HF_TRY(real_files().make_dirs(parent, kDirMode));
    HF_TRY(real_files().rename(place.staged(), place.path()));
    return real_files().sync_dir(parent);
  }

  Status remove_staging() {
    for (const std::string& root :
         {places_.data_dir, places_.store_dir, platform::parent_path(places_.keyring)}) {
      std::error_code ec;
      std::filesystem::remove_all(platform::join_path(root, kStaging), ec);
      if (ec) return os_error(ec.value(), "remove what an interrupted restore left", root);
    }
    return ok_status();
  }

  const InstancePlaces& places_;
  const bundle::Backup& backup_;
  std::vector<Place> staged_;
  Restored result_;
};

}  // namespace

InstancePlaces instance_places(const Context& context) {
  InstancePlaces places{context.data_dir, context.settings.text(config::Setting::store_dir),
                        context.settings.text(config::Setting::keyring_file)};
  if (places.store_dir.empty()) places.store_dir = places.data_dir;
  if (places.keyring.empty()) places.keyring = platform::join_path(places.data_dir, "keyring.hfk");
  return places;
}

Result<Restored> restore_backup_file(const Context& context, const std::string& path) {
  HF_TRY_ASSIGN(const auto file, real_files().open_read(path));
  HF_TRY_ASSIGN(const bundle::Backup backup, bundle::Backup::open(*file));
  Progress bar(context, "verifying " + std::string(platform::base_name(path)));
  HF_TRY(backup.verify([&](std::uint64_t done, std::uint64_t total) {
    bar.update(done, total);
    return ok_status();
  }));
  bar.finish();
  const InstancePlaces places = instance_places(context);
  HF_TRY(check_target(places, backup.facts()));
  HF_TRY(real_files().make_dirs(places.data_dir, kDirMode));
  return Restore(places, backup).run();
}

}  // namespace holdfast::cli
