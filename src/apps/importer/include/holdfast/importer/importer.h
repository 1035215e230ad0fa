// Import of model files into the store: the side that the command line calls. The files are parsed
// in a jailed child.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "holdfast/base/result.h"
#include "holdfast/platform/unique_fd.h"
#include "holdfast/registry/store.h"
#include "holdfast/vault/wrap_slot.h"

namespace holdfast::importer {

struct Progress {
  std::string phase;  // "hashing", "waiting", "converting", "finishing"
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
};

// Where the keys of sealed packs come from. Implemented over the key holder by the composition
// root; the process that imports sees none of them. Thread-compatible.
class PackKeys {
 public:
  PackKeys() = default;
  PackKeys(const PackKeys&) = delete;
  PackKeys& operator=(const PackKeys&) = delete;
  virtual ~PackKeys() = default;

  struct NewKey {
    // A socket from which a child reads one message with the key (vault::receive_data_key). The
    // other end is the key holder's, which has sent it already or will at once.
    platform::UniqueFd message;
    vault::WrapSlot slot;  // the key, wrapped for this model
  };
  // A new data key for a pack of that model.
  virtual Result<NewKey> new_key(const vault::ModelId& model_id) = 0;
};

// The manifest's member `signature` for a pack of that address, made before the pack is published:
// no name ever points to a pack that still lacks it.
using SignPack = std::function<Result<json::Object>(const crypto::Sha256Digest& pack)>;

// A publisher's signature over the files, which the caller has verified.
struct SourceSignature {
  crypto::Sha256Digest root{};
  std::string bundle;  // text
};

struct ImportOptions {
  // A GGUF file, any part of a split model, or a folder that holds one model, in GGUF or
  // safetensors form.
  std::string path;
  // "name" or "name:tag"; empty: made from the file's name.
  std::string name;
  // Only tokenizer and chat template, from any GGUF file whatever its architecture.
  bool vocab_only = false;
  // Replaces the model's chat template; with the name to record.
  std::optional<std::string> template_text;
  std::string template_name;
  unsigned threads = 1;
  // Seals the pack with a key from here; null: it is not sealed.
  PackKeys* keys = nullptr;
  // The program that is started as the jailed child (holdfast-engine); empty: beside the running
  // executable.
  std::string engine_program;
  // What the manifest says of a model that was not there before.
  registry::Stage stage = registry::Stage::kProduction;
  std::optional<registry::Provenance> provenance;
  std::optional<SourceSignature> signature;
  std::uint64_t model_version = 0;
  // Told the digest of each file by its path, before anything is converted; an error ends the
  // import. With it no digest is taken from the cache, and a file that changes until the pack is
  // published is kCorrupt: what was checked is what is converted.
  std::function<Status(const std::map<std::string, crypto::Sha256Digest>&)> check_files;
  json::Object others;  // further members of the manifest
  SignPack sign;        // where `others` has no signature; empty: nobody signs
  // Called from the importing thread, at most some ten times a second.
  std::function<void(const Progress&)> on_progress;
  // Set from elsewhere (a signal handler) to end the import with kCancelled.
  const std::atomic<bool>* cancel = nullptr;
};

struct ImportResult {
  registry::ModelRecord model;
  bool was_there = false;  // nothing was converted: the same bytes had been imported before, and
                           // sealed or not as is asked for now
};

// Errors: kNotFound, kInvalidArgument for the path; what the file deserves (kCorrupt, kUnsupported,
// kInvalidArgument), with the file's name; kExhausted for disk or memory; kInternal where the child
// died, naming file and cause.
Result<ImportResult> import_model(registry::Store& store, const ImportOptions& options);

}  // namespace holdfast::importer
