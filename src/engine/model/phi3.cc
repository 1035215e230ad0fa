// Phi-3, Phi-3.5 and Phi-4-mini: fused projections, long and short rope factors.
#include "family_parts.h"

namespace holdfast::model {

// As with llama, a sliding window in the metadata is not applied.
Result<Hyperparameters> read_phi3(const gguf::GgufFile& file) {
  MetadataReader reader(file, "phi3");
  Hyperparameters h = read_decoder(reader, "phi3", RopeLayout::kHalves);
  h.fused_gate_up = true;
  return finish(reader, std::move(h));
}

}  // namespace holdfast::model
