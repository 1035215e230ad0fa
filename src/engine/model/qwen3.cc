// Qwen 3 (dense): norms of queries and keys per head.
#include "family_parts.h"

namespace holdfast::model {

Result<Hyperparameters> read_qwen3(const gguf::GgufFile& file) {
  MetadataReader reader(file, "qwen3");
  Hyperparameters h = read_decoder(reader, "qwen3", RopeLayout::kHalves);
  h.qk_norm = QkNorm::kPerHead;
  return finish(reader, std::move(h));
}

}  // namespace holdfast::model
