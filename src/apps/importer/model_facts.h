// What a model file says about itself: the metadata object of a pack, and the short facts for
// lists.
#pragma once

#include <span>
#include <string>

#include "holdfast/base/bytes.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/json/json.h"
#include "holdfast/registry/store.h"

namespace holdfast::importer {

// Revision of the conversion: a change that writes other bytes for the same source raises it.
inline constexpr int kConverterRevision = 1;

struct SourceFile {
  std::uint64_t size = 0;
  crypto::Sha256Digest digest{};
  std::string name = {};  // of a file of a safetensors folder; empty for a part of a GGUF model
};

struct FactsInput {
  const gguf::GgufFile* file = nullptr;
  std::span<const SourceFile> files;
  bool vocab_only = false;
  bool is_checkpoint = false;  // a folder in safetensors form
  bool has_template = false;
  std::string template_source;  // "model", or the name of a bundled one
};

// Texts are cut to what a list can show and cleaned of control characters.
registry::ModelFacts model_facts(const FactsInput& input);
// docs/formats/pack.md, object kind 4.
std::string metadata_json(const FactsInput& input);

// Licence text, where the file holds the text and not just its name; empty otherwise.
std::string license_text(const gguf::GgufFile& file);

// Valid UTF-8 without control characters, at most `bytes_max`.
std::string clean_text(std::string_view text, std::size_t bytes_max);

}  // namespace holdfast::importer
