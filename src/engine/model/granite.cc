// Granite 3 (dense): Llama with scales on embedding, residual, attention and logits.
#include "family_parts.h"

namespace holdfast::model {

Result<Hyperparameters> read_granite(const gguf::GgufFile& file) {
  MetadataReader reader(file, "granite");
  Hyperparameters h = read_decoder(reader, "granite", RopeLayout::kAdjacent);
  h.embedding_scale = reader.f32_or("embedding_scale", 1.0f);
  h.residual_scale = reader.f32_or("residual_scale", 1.0f);
  const float divisor = reader.f32("logit_scale");
  h.logit_scale = divisor != 0.0f ? 1.0f / divisor : 0.0f;
  return finish(reader, std::move(h));
}

}  // namespace holdfast::model
