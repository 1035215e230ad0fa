// A model named on the command line: a name in the store, or a GGUF file that is imported first.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "context.h"
#include "holdfast/backend/engine_process.h"
#include "holdfast/base/result.h"
#include "holdfast/importer/importer.h"
#include "holdfast/registry/store.h"
#include "holdfast/vault/pack_reader.h"

namespace holdfast::cli {

// The store of this user; created on first use.
Result<std::unique_ptr<registry::Store>> open_store(const Context& context);

// True for what is meant as a file: it has a slash that starts a path, ends in .gguf, or exists.
bool looks_like_path(const std::string& model);

// kDenied for a retired model, which is kept but not used.
Status check_stage(const registry::ModelRecord& model);
// One record for each pack, whatever names it has.
std::vector<registry::ModelRecord> one_per_pack(const std::vector<registry::ModelRecord>& models);

struct ImportFlags {
  std::string name;  // empty: from the file's name
  bool vocab_only = false;
  std::string template_name;  // a bundled family, or a file
  bool unsealed = false;      // for a store that is thrown away
  std::uint64_t model_version = 0;
  // Where the file is from, if not from the path that it has now.
  std::optional<registry::Provenance> provenance = {};
  // In place of a progress bar.
  std::function<void(const importer::Progress&)> on_progress = {};
  const std::atomic<bool>* cancel = nullptr;
};

// Imports with a progress bar. The result tells whether it was there before.
Result<registry::ModelRecord> import_path(const Context& context, registry::Store& store,
                                          const std::string& path, const ImportFlags& flags,
                                          bool* was_there = nullptr);

// A store and a model in it. A private store is removed with this object. The context outlives it.
class LocalModel {
 public:
  // A name, or a path that is imported into the user's store (`run`).
  static Result<LocalModel> open(const Context& context, const std::string& model);
  // A name, or a path that is imported into a temporary store (`eval`).
  static Result<LocalModel> open_private(const Context& context, const std::string& model,
                                         bool vocab_only);

  const registry::ModelRecord& record() const { return record_; }
  Result<platform::UniqueFd> open_pack() const;
  // A socket with its keys; invalid where it is not sealed (keyring.h).
  Result<platform::UniqueFd> open_keys() const;
  // An object of the pack; kNotFound if it has none.
  Result<Bytes> read_object(vault::ObjectKind kind) const;
  // Its objects and tensors.
  Result<vault::PackIndex> read_index() const;
  // Of all objects, tensors and the padding between them.
  Result<std::uint64_t> payload_bytes() const;
  // An engine child with this model, loaded. `config` as engine_config() makes it.
  Result<std::unique_ptr<backend::EngineProcess>> start_engine(const Context& context,
                                                               json::Object config) const;

 private:
  struct TemporaryFolder {
    explicit TemporaryFolder(std::string p) : path(std::move(p)) {}
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    std::string path;
  };
  explicit LocalModel(const Context& context) : context_(&context) {}
  Status add_draft(const Context& context, backend::EngineProcessOptions& options) const;
  const Context* context_;                   // outlives it
  std::shared_ptr<TemporaryFolder> folder_;  // destroyed after the store
  std::shared_ptr<registry::Store> store_;
  registry::ModelRecord record_;
};

// Text of `--template X`: a bundled family by name, or a file. kNotFound lists the families.
Result<std::string> template_text(const std::string& name_or_file);

}  // namespace holdfast::cli
