// The store of imported models: packs by content address, names that point to them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/crypto/sha256.h"
#include "holdfast/json/json.h"
#include "holdfast/platform/clock.h"
#include "holdfast/platform/filesystem.h"
#include "holdfast/registry/model_name.h"
#include "holdfast/registry/provenance.h"
#include "holdfast/vault/wrap_slot.h"

namespace holdfast::registry {

// What lists show of a model without opening its pack.
struct ModelFacts {
  std::string architecture;          // "llama"
  std::uint64_t context_length = 0;  // tokens, as trained
  std::string quantization;          // "Q4_K_M"
  std::uint64_t parameters = 0;
  std::string license;  // as the model states it; may be empty
  bool has_template = false;
  bool vocab_only = false;
};

// A name in the store and the pack it points to. Value.
struct ModelRecord {
  ModelName name;
  crypto::Sha256Digest pack{};    // content address
  crypto::Sha256Digest source{};  // of the imported files
  std::string variant;  // what else the pack's bytes depend on: converter revision, options
  std::uint64_t size_bytes = 0;   // of the pack
  std::int64_t created_unix = 0;  // when the name was made
  ModelFacts facts;
  Stage stage = Stage::kProduction;
  std::optional<Provenance> provenance = {};  // none: imported by a version without it
  json::Object others = {};                   // members of the manifest that other modules define
};

// What publish() writes into the manifest beside what it finds out itself.
struct Publication {
  ModelName name;
  crypto::Sha256Digest source{};
  std::string variant;
  ModelFacts facts = {};
  Stage stage = Stage::kProduction;
  std::optional<Provenance> provenance = {};
  json::Object others = {};
};

struct Listing {
  std::vector<ModelRecord> models;   // sorted by name
  std::vector<std::string> damaged;  // manifests that could not be read
};

class Store;

// A pack that is being written. Removed on destruction unless it was published or is resumable.
// Holds the lock of
// its source, so two processes never convert the same file at once. Owned by one thread.
class Staging {
 public:
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Empty, or what an earlier stage_resumable() left; its descriptor may be handed to another
  // process, which writes the pack into it.
  platform::OpenFile& file() { return *file_; }
  // What is resumable is worth nothing: it goes with this object after all.
  void give_up() { keep_ = false; }

 private:
  friend class Store;
  Staging(platform::FileSystem& fs, std::string path, std::unique_ptr<platform::FileLock> lock,
          std::unique_ptr<platform::OpenFile> file, bool keep = false)
      : fs_(fs),
        path_(std::move(path)),
        lock_(std::move(lock)),
        file_(std::move(file)),
        keep_(keep) {}
  platform::FileSystem& fs_;
  std::string path_;
  std::unique_ptr<platform::FileLock> lock_;
  std::unique_ptr<platform::OpenFile> file_;
  bool keep_;  // to go on with another time
  bool published_ = false;
};

// Layout below the data directory:
//   packs/<hex of header digest>.hfc   packs/<hex>.{partial,resumable}   models/<name>/<tag>.json
//   locks/
// Every change is atomic and durable when the call returns; killed at any point, it leaves the old
// or the new state. Files nobody points to are removed when the store is opened. Any number of
// processes may use one store. A pack that is removed while an engine has it open stays readable
// there. Thread-safe.
class Store {
 public:
  // Creates what is missing of `data_dir` (mode 0700). `fs` and `clock` must outlive the store.
  static Result<std::unique_ptr<Store>> open(platform::FileSystem& fs, const platform::Clock& clock,
                                             std::string data_dir);

  Result<Listing> list() const;
  // "name" means "name:latest"; where there is no such tag but exactly one other, that one.
  // kNotFound names the nearest name in its hint; kInvalidArgument for a malformed name; kCorrupt
  // for a damaged manifest.
  Result<ModelRecord> resolve(std::string_view name) const;
  // Other names of the same pack.
  Result<std::vector<ModelName>> aliases_of(const ModelRecord& model) const;
  // The pack, whose header was compared with its address. kCorrupt, kNotFound.
  Result<std::unique_ptr<platform::OpenFile>> open_pack(const ModelRecord& model) const;

  // Makes `to` another name of the same pack; an existing name is replaced.
  Result<ModelRecord> copy(std::string_view from, std::string_view to);
  // Removes a name, and the pack with its last name. kNotFound as resolve().
  Result<ModelRecord> remove(std::string_view name);

  // A model imported before from the same bytes in the same way; nullopt if there is none.
  Result<std::optional<ModelRecord>> find_source(const crypto::Sha256Digest& source,
                                                 std::string_view variant) const;
  // Gives a found model another name (or the same again).
  Result<ModelRecord> add_name(const ModelRecord& model, const ModelName& name);
  Result<ModelRecord> set_stage(std::string_view name, Stage stage);
  // Makes `signature` the member of that name of every manifest that points to the model's pack.
  Status set_signature(const ModelRecord& model, const json::Object& signature);
  // Begins an import of about `bytes_expected`. kUnavailable while another process imports the same
  // source; kExhausted where the disk has no room.
  Result<std::unique_ptr<Staging>> stage(const crypto::Sha256Digest& source,
                                         std::uint64_t bytes_expected);
  // As stage(), but what an earlier call with the same `work` left is kept and given again, and a
  // Staging that was not published leaves it. Leftovers of more than a week are removed when the
  // store is opened. kUnavailable while another process does the same work.
  Result<std::unique_ptr<Staging>> stage_resumable(const crypto::Sha256Digest& work,
                                                   std::uint64_t bytes_expected);
  // Syncs the staged pack, verifies its header (and index, where it is not sealed), moves it to its
  // address and makes `name` point to it. kInternal for a sealed pack without a wrap slot.
  Result<ModelRecord> publish(std::unique_ptr<Staging> staging, Publication publication);

  // Makes the wrap slots of a sealed pack equal to `slots`, in place (vault/pack_slots.h).
  Status rewrite_slots(const ModelRecord& model, const vault::WrapSlots& slots);

  const std::string& data_dir() const { return data_dir_; }

 private:
  Store(platform::FileSystem& fs, const platform::Clock& clock, std::string data_dir)
      : fs_(fs), clock_(clock), data_dir_(std::move(data_dir)) {}

  std::string pack_path(const crypto::Sha256Digest& pack) const;
  std::string manifest_dir(const ModelName& name) const;
  std::string manifest_path(const ModelName& name) const;
  Result<std::unique_ptr<platform::FileLock>> lock_store() const;
  Result<ModelRecord> read_manifest(const ModelName& name) const;
  Status write_manifest(const ModelRecord& record);
  Status remove_unreferenced_packs();
  Status collect_garbage();
  Status remove_stale_partials();
  Status remove_stale_resumables();
  Status remove_stale_manifests();
  Status check_room(std::uint64_t bytes_expected) const;
  Error no_such_model(const ModelName& wanted) const;

  platform::FileSystem& fs_;
  const platform::Clock& clock_;
  std::string data_dir_;
};

}  // namespace holdfast::registry
