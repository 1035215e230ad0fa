// From the files of a model to a pack: pure conversion, without processes or the store.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "holdfast/platform/file.h"
#include "holdfast/vault/pack_writer.h"
#include "model_facts.h"

namespace holdfast::importer {

struct ConvertOptions {
  std::vector<SourceFile> files;  // one per source, in order
  bool vocab_only = false;
  std::optional<std::string> template_text;  // instead of the file's own
  std::string template_name;
  bool sealed = false;        // convert() gets the key besides
  std::uint64_t created = 0;  // of a sealed pack, Unix seconds
  // Of a publisher's signature over the files: what the pack's header is bound to, and the bundle.
  crypto::Sha256Digest oms_root{};
  std::string oms_bundle;
  std::uint64_t model_version = 0;
  unsigned threads = 1;
};

struct ConvertResult {
  registry::ModelFacts facts;
  crypto::Sha256Digest pack{};
  std::uint64_t pack_bytes = 0;
};

// Called with source bytes done and to do.
using ConvertProgress = std::function<Status(std::uint64_t done, std::uint64_t total)>;

// Writes the pack into the empty `out`; the caller syncs it. The bytes depend on the parts and the
// options but not on `threads`, and in a sealed pack on key and salt. Errors: what
// open_source() and model::inspect return, kCorrupt for a vector that holds a value that is not
// finite, what writing returns and what `progress` returns.
Result<ConvertResult> convert(std::span<const platform::ByteSource* const> parts,
                              platform::OpenFile& out, const ConvertOptions& options,
                              const ConvertProgress& progress,
                              const vault::SealPlan* seal = nullptr);

}  // namespace holdfast::importer
