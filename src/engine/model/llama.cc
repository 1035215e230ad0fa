// Llama 2 and 3.x, Mistral, SmolLM and others that publish themselves as "llama".
#include "family_parts.h"

namespace holdfast::model {

// A sliding window in the metadata (Mistral 7B v0.1) is not applied: the files in use were made
// for, and judged by, programs that let this architecture see everything.
Result<Hyperparameters> read_llama(const gguf::GgufFile& file) {
  MetadataReader reader(file, "llama");
  return finish(reader, read_decoder(reader, "llama", RopeLayout::kAdjacent));
}

}  // namespace holdfast::model
