// Import of a pack that another instance made: it gets a seal and a key of this one. The side that
// the command line calls; keys and plaintext are in a jailed child alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "holdfast/importer/importer.h"
#include "holdfast/platform/file.h"

namespace holdfast::importer {

struct PackImport {
  // The pack lies in [offset, offset + length) of the file, whose bytes the caller has verified:
  // `digest` is their SHA-256.
  const platform::OpenFile* file = nullptr;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  crypto::Sha256Digest digest{};
  // A socket that brings the pack's content keys; invalid: it is not sealed.
  platform::UniqueFd source_keys;
  // Where the new pack's key comes from; null: it will not be sealed.
  PackKeys* keys = nullptr;
  // What the manifest will say. The variant is that of the pack as it is; whether it is sealed is
  // put right.
  registry::Publication publication;
  SignPack sign;               // as ImportOptions
  std::string engine_program;  // as ImportOptions
  std::function<void(const Progress&)> on_progress;
  const std::atomic<bool>* cancel = nullptr;
};

struct PackImportResult {
  registry::ModelRecord model;
  bool was_there = false;        // the same source had been imported in the same way
  std::uint64_t bytes_kept = 0;  // of an interrupted import of the same pack
};

// Killed at any point it leaves no model; what was sealed until then is kept for the next call with
// the same pack (not for packs that are not to be sealed, or are damaged). Errors: kCorrupt for a
// damaged pack or keys of another, as registry::Store::publish, and as reseal_model().
Result<PackImportResult> import_pack(registry::Store& store, PackImport import);

}  // namespace holdfast::importer
