// How keys and values lie in a page, in each number format; sizes: footprint/kv_types.h.
//
// Of one layer and KV head a page holds 32 positions:
//
//   f16, f32  keys   [2][head_dim][16 positions]          values [32 positions][head_dim]
//   q8_0      keys   [2][head_dim / 32] BlockP8_0         values f16 d[32][head_dim / 32],
//                    (a row of the block is a position)          then s8 q[32][head_dim]; d q
//   q4_0      keys   [2][head_dim / 32] BlockP4_0         values f16 d[32][head_dim / 32], then
//                                                                u8 [32][head_dim / 32][16]: dims
//                                                                0..15 low, 16..31 high nibbles;
//                                                                d (q - 8)
//
// Scales are per position and 32 dimensions, as in the GGML formats of these names.
#pragma once

#include "holdfast/footprint/kv_types.h"

namespace holdfast::kernels {

using footprint::kKvBlock;
using footprint::kKvTypes;
using footprint::kPageTokens;
using footprint::kv_dim_fits;
using footprint::kv_head_bytes;
using footprint::kv_quantised;
using footprint::KvType;

// Keys are laid out in groups of 16 positions, so that one vector lane is one key.
inline constexpr std::uint32_t kKeyGroup = 16;

}  // namespace holdfast::kernels
