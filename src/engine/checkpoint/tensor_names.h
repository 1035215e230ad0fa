// Names of tensors in checkpoints, and what becomes of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/result.h"

namespace holdfast::checkpoint {

// What has to happen to the bytes of a tensor.
enum class Change : std::uint8_t {
  kNone,
  kQueryRows,  // rows of each head from halves to pairs, as the rotation of these families wants
  kKeyRows,    // likewise, for the heads of keys
  kPlusOne,    // the file holds the norm's weight less one
  kDrop,       // a copy of another tensor
};

// Where the norms of a layer sit.
enum class Norms : std::uint8_t {
  kBefore,      // input_layernorm, post_attention_layernorm: both before what they are named for
  kAround,      // Gemma: before and after
  kBehindOnly,  // OLMo 2
};

struct NameRules {
  Norms norms = Norms::kBefore;
  bool fused = false;  // qkv_proj and gate_up_proj
  bool pairs = false;  // q and k want kQueryRows and kKeyRows
  bool norms_less_one = false;
  bool tied_output = false;  // lm_head, if it is there, is a copy
  std::uint32_t n_layers = 0;
};

struct MappedName {
  std::string name;  // GGUF's
  Change change = Change::kNone;
};

// kUnsupported for a name that the family does not know; kCorrupt for a layer that there is not.
Result<MappedName> map_tensor_name(std::string_view name, const NameRules& rules);

}  // namespace holdfast::checkpoint
