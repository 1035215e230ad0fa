// Qwen 1.5, 2 and 2.5 (dense): biases on queries, keys and values.
#include "family_parts.h"

namespace holdfast::model {

Result<Hyperparameters> read_qwen2(const gguf::GgufFile& file) {
  MetadataReader reader(file, "qwen2");
  return finish(reader, read_decoder(reader, "qwen2", RopeLayout::kHalves));
}

}  // namespace holdfast::model
