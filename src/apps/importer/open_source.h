// The parsed source of a conversion: a GGUF model, or a folder in safetensors form that was turned
// into what a GGUF file would say.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "holdfast/checkpoint/checkpoint.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/tokenizer/vocabulary.h"

namespace holdfast::importer {

struct OpenedSource {
  checkpoint::Checkpoint model;  // of a GGUF model only `file` and `parts`
  bool is_checkpoint = false;

  // Errors of vocabulary_from_gguf() or of checkpoint::vocabulary().
  Result<tokenizer::Vocabulary> vocabulary() const;
};

// `sources` outlive the result. `names` are those of a folder's files, one for each source, or
// empty for the parts of a GGUF model. Errors of gguf::parse() or of checkpoint::open().
Result<OpenedSource> open_source(std::span<const platform::ByteSource* const> sources,
                                 const std::vector<std::string>& names, bool vocab_only);

}  // namespace holdfast::importer
