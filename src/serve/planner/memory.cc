#include "holdfast/planner/memory.h"

#include <algorithm>
#include <cmath>

namespace holdfast::planner {

namespace {

// The middle of 0.3 to 1.0 GB that were seen per CUDA device.
constexpr double kCudaContextBytes = 0.6e9;
constexpr double kHostContextBytes = 0.1e9;

double bytes_per_layer_token(const ModelShape& s, double element_bytes) {
  if (s.attention == Attention::kLatent)
    return (static_cast<double>(s.kv_latent) + s.rope_dim) * element_bytes;
  return 2.0 * s.kv_heads * s.head_dim * element_bytes;
}

bool on_cuda(const Device& device) {
  const MemoryFamily f = device.family();
  return f == MemoryFamily::kCudaGddr || f == MemoryFamily::kCudaHbm;
}

}  // namespace

Bytes weights_bytes(const ModelShape& shape, const Quant& quant) {
  if (shape.file_bytes && shape.quant == quant.name) return *shape.file_bytes;
  return Bytes(shape.params * quant.bits_per_weight / 8);
}

BytesPerToken kv_bytes_per_token(const ModelShape& shape, double element_bytes) {
  if (shape.attention == Attention::kStateSpace) return BytesPerToken(0);
  return BytesPerToken(shape.layers * bytes_per_layer_token(shape, element_bytes));
}

Bytes kv_bytes(const ModelShape& shape, double tokens, double element_bytes) {
  if (shape.attention == Attention::kStateSpace) return Bytes(shape.state_bytes);
  const double layer = bytes_per_layer_token(shape, element_bytes);
  const double whole = static_cast<double>(shape.layers) - shape.window_layers;
  const double seen = std::min<double>(tokens, shape.window);
  return Bytes(layer * (whole * tokens + shape.window_layers * seen));
}

Bytes kv_bytes_paged(const ModelShape& shape, double tokens, double element_bytes,
                     std::uint32_t page_tokens) {
  const double pages = std::ceil(tokens / page_tokens);
  return kv_bytes(shape, pages * page_tokens, element_bytes);
}

Bytes workspace_bytes(const ModelShape& shape, std::uint32_t ubatch, const Device& device) {
  const double layer = 2.0 * shape.ff_width + 4.0 * shape.width;
  const double rows = std::max<double>(layer, shape.vocab);
  return Bytes(ubatch * rows * 4 + (on_cuda(device) ? kCudaContextBytes : kHostContextBytes));
}

MemoryNeed memory_need(const ModelShape& shape, const Quant& quant, const Device& device,
                       std::uint32_t devices, double sequences, double tokens_per_sequence,
                       double element_bytes, std::uint32_t ubatch) {
  MemoryNeed need;
  need.weights = weights_bytes(shape, quant);
  need.kv = kv_bytes_paged(shape, tokens_per_sequence, element_bytes) * sequences;
  need.workspace = workspace_bytes(shape, ubatch, device) * devices;
  need.usable = device.memory * (device.usable_share() * devices);
  return need;
}

double sequences_max(const ModelShape& shape, const Quant& quant, const Device& device,
                     std::uint32_t devices, double tokens_per_sequence, double element_bytes,
                     std::uint32_t ubatch) {
  const MemoryNeed fixed = memory_need(shape, quant, device, devices, 0, 0, element_bytes, ubatch);
  const Bytes one = kv_bytes_paged(shape, std::max(1.0, tokens_per_sequence), element_bytes);
  if (fixed.free() <= Bytes(0)) return 0;
  return fixed.free() / one;
}

}  // namespace holdfast::planner
