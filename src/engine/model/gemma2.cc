// Gemma 2: every second layer has a window, attention scores and logits are capped, norms before
// and after.
#include <cmath>

#include "family_parts.h"

namespace holdfast::model {

Result<Hyperparameters> read_gemma2(const gguf::GgufFile& file) {
  MetadataReader reader(file, "gemma2");
  Hyperparameters h = read_decoder(reader, "gemma2", RopeLayout::kHalves);
  h.activation = Activation::kGelu;
  h.post_norms = true;
  h.embedding_scale = std::sqrt(static_cast<float>(h.n_embd));
  h.attention_softcap = reader.f32_or("attn_logit_softcapping", 50.0f);
  h.logit_softcap = reader.f32_or("final_logit_softcapping", 30.0f);
  // Early files lack the key; all released models have this window.
  h.window = reader.u32_or("attention.sliding_window", 4096);
  if (h.window > 0) {
    h.windowed = reader.window_pattern("attention.sliding_window_pattern", 2, h.n_layers);
  }
  // The 27B model alone (46 layers) scales by the embedding's share per head, which its metadata
  // does not say.
  constexpr std::uint32_t kLayersOf27b = 46;
  if (h.n_layers == kLayersOf27b && h.n_heads > 0 && !reader.has("attention.scale")) {
    h.attention_scale = 1.0f / std::sqrt(static_cast<float>(h.n_embd / h.n_heads));
  }
  return finish(reader, std::move(h));
}

}  // namespace holdfast::model
