// Another seal for a model that is in the store: sealing what was imported without, another key, or
// none. The side that the command line calls; keys and plaintext are in a jailed child alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "holdfast/importer/importer.h"

namespace holdfast::importer {

struct ResealOptions {
  // A socket that brings the content keys of the model's pack as it is; invalid: it is not sealed.
  platform::UniqueFd source_keys;
  // Where the new pack's key comes from; null: it will not be sealed.
  PackKeys* keys = nullptr;
  SignPack sign;               // replaces the model's signature; empty: it stays
  std::string engine_program;  // as ImportOptions
  std::function<void(std::uint64_t done, std::uint64_t total)> on_progress;
  const std::atomic<bool>* cancel = nullptr;  // set from elsewhere to end with kCancelled
};

// Writes the model's pack anew and makes all its names point to the new one; the old one is removed
// once no name points to it, and stays readable where it is open. Killed at any point, each name
// points to the whole old or the whole new pack, and both can be opened. Plaintext reaches no file,
// unless the new pack is not sealed. Errors: those of the old pack (kCorrupt, kUnavailable for a
// sealed one without keys), of disk and memory (kExhausted), kCancelled; kInternal where the child
// died.
Result<registry::ModelRecord> reseal_model(registry::Store& store,
                                           const registry::ModelRecord& model,
                                           ResealOptions options);

}  // namespace holdfast::importer
