// OLMo 2 and 3: norms after attention and feed-forward only, norms over all heads of queries and of
// keys.
#include "family_parts.h"

namespace holdfast::model {

Result<Hyperparameters> read_olmo2(const gguf::GgufFile& file) {
  MetadataReader reader(file, "olmo2");
  Hyperparameters h = read_decoder(reader, "olmo2", RopeLayout::kHalves);
  h.pre_norms = false;
  h.post_norms = true;
  h.qk_norm = QkNorm::kWhole;
  h.window = reader.u32_or("attention.sliding_window", 0);
  if (h.window > 0) {
    h.windowed = reader.window_pattern("attention.sliding_window_pattern", 4, h.n_layers);
  }
  h.rope_local.scaling = RopeScaling::kNone;
  h.rope_local.factor = 1.0f;
  h.rope_local.magnitude_factor = 1.0f;
  return finish(reader, std::move(h));
}

}  // namespace holdfast::model
