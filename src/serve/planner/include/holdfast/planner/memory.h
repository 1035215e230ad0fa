// Memory of a model that serves: specification, section 6.
#pragma once

#include <cstdint>

#include "holdfast/planner/device.h"
#include "holdfast/planner/model_shape.h"
#include "holdfast/planner/units.h"

namespace holdfast::planner {

// W. Exact where the file's size is known and the quant is the file's; else P times bits per
// weight.
Bytes weights_bytes(const ModelShape& shape, const Quant& quant);

// Bytes that one more token of context costs while no window is full. `element_bytes` is s.
BytesPerToken kv_bytes_per_token(const ModelShape& shape, double element_bytes);

// Bytes of the keys and values of one sequence of `tokens`, windows included, without rounding.
Bytes kv_bytes(const ModelShape& shape, double tokens, double element_bytes);
// The same, in whole pages of `page_tokens` (paged attention).
Bytes kv_bytes_paged(const ModelShape& shape, double tokens, double element_bytes,
                     std::uint32_t page_tokens = 16);

// max(ubatch (2 d_ff + 4 d) 4, ubatch V 4), plus what a CUDA context takes.
Bytes workspace_bytes(const ModelShape& shape, std::uint32_t ubatch, const Device& device);

struct MemoryNeed {
  Bytes weights;  // of all devices together
  Bytes kv;
  Bytes workspace;
  Bytes usable;  // u M n
  Bytes total() const { return weights + kv + workspace; }
  Bytes free() const { return usable - total(); }
  bool fits() const { return total() <= usable; }
};
// Weights are spread over `devices`; each has its own workspace.
MemoryNeed memory_need(const ModelShape& shape, const Quant& quant, const Device& device,
                       std::uint32_t devices, double sequences, double tokens_per_sequence,
                       double element_bytes, std::uint32_t ubatch = 512);

// Sequences that fit beside weights and workspace, each with `tokens` of context; below 1 none
// does.
double sequences_max(const ModelShape& shape, const Quant& quant, const Device& device,
                     std::uint32_t devices, double tokens_per_sequence, double element_bytes,
                     std::uint32_t ubatch = 512);

}  // namespace holdfast::planner
