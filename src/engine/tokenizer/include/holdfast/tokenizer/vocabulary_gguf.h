// What the metadata of a GGUF file says about its tokenizer, as a Vocabulary with every default
// resolved.
#pragma once

#include "holdfast/base/result.h"
#include "holdfast/gguf/gguf.h"
#include "holdfast/tokenizer/vocabulary.h"

namespace holdfast::tokenizer {

// Reads the keys tokenizer.ggml.* (and general.name and general.architecture, on which the
// white-space rules of some special tokens depend). kUnsupported names a tokenizer model or
// pre-tokenizer that we do not have; kCorrupt names the key where arrays do not fit together, are
// missing or go over a limit. The result has passed validate().
Result<Vocabulary> vocabulary_from_gguf(const gguf::GgufFile& file);

}  // namespace holdfast::tokenizer
