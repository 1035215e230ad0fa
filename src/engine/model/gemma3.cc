// Gemma 3 (text): every sixth layer sees everything, the others have a window and a rotation of
// their own; norms of queries and keys per head, norms before and after.
#include <cmath>

#include "family_parts.h"

namespace holdfast::model {

Result<Hyperparameters> read_gemma3(const gguf::GgufFile& file) {
  MetadataReader reader(file, "gemma3");
  Hyperparameters h = read_decoder(reader, "gemma3", RopeLayout::kHalves);
  h.activation = Activation::kGelu;
  h.qk_norm = QkNorm::kPerHead;
  h.post_norms = true;
  h.embedding_scale = std::sqrt(static_cast<float>(h.n_embd));
  h.attention_softcap = reader.f32_or("attn_logit_softcapping", 0.0f);
  h.logit_softcap = reader.f32_or("final_logit_softcapping", 0.0f);
  h.window = reader.u32_or("attention.sliding_window", 0);
  if (h.window > 0) {
    h.windowed = reader.window_pattern("attention.sliding_window_pattern", 6, h.n_layers);
  }
  h.rope_local.base = reader.f32_or("rope.freq_base_swa", 10000.0f);
  h.rope_local.scaling = RopeScaling::kNone;
  h.rope_local.factor = 1.0f;
  // As in Gemma 2: the 27B model alone (62 layers) scales by the embedding's share per head.
  constexpr std::uint32_t kLayersOf27b = 62;
  if (h.n_layers == kLayersOf27b && h.n_heads > 0 && !reader.has("attention.scale")) {
    h.attention_scale = 1.0f / std::sqrt(static_cast<float>(h.n_embd / h.n_heads));
  }
  return finish(reader, std::move(h));
}

}  // namespace holdfast::model
