// Which kernel computes with each tensor of a model: for `holdfast doctor --model`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/kernels/kernel_table.h"
#include "holdfast/vault/pack_format.h"

namespace holdfast::cli {

// "blk.12.attn_q.weight" is of class "attn_q", "token_embd.weight" of "token_embd".
std::string tensor_class(std::string_view name);

enum class KernelPath : std::uint8_t {
  kFast,     // vector instructions, in the tiles of its type
  kWidened,  // fast, but as 8 bits: more bytes than the source had
  kGeneric,  // plain C++: slow
  kNone,     // a vector of floats; no matrix kernel works on it
};

// The tensors of one class and type.
struct TensorPath {
  std::string tensors;  // their class
  std::string type;     // "P4_K"
  std::size_t count = 0;
  std::uint64_t bytes = 0;
  KernelPath path = KernelPath::kNone;
  std::string kernel;  // "avx2 int8 dots", "avx2 f32 fma", "vectors of float32"
};

// Sorted by class, then type.
std::vector<TensorPath> tensor_paths(const vault::PackIndex& index,
                                     const kernels::KernelTable& table);

}  // namespace holdfast::cli
