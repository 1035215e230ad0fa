// Number formats of cached keys and values, and what a KV head takes of a page in each.
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

#include <cstddef>
#include <cstdint>

namespace holdfast::kernels {

enum class KvType : std::uint8_t {
#define HF_KV_TYPE(enumerator, name) enumerator,
#include "holdfast/kernels/kv_types.def"
#undef HF_KV_TYPE
};

inline constexpr std::size_t kKvTypes = 0
#define HF_KV_TYPE(enumerator, name) +1
#include "holdfast/kernels/kv_types.def"
#undef HF_KV_TYPE
    ;

// Positions per KV page.
inline constexpr std::uint32_t kPageTokens = 32;
// Keys are laid out in groups of 16 positions, so that one vector lane is one key.
inline constexpr std::uint32_t kKeyGroup = 16;
// Dimensions that share a scale in the quantised types.
inline constexpr std::uint32_t kKvBlock = 32;

// The functions of this header are compiled for every instruction set: always inlined, they leave
// no symbol.
[[gnu::always_inline]] constexpr bool kv_quantised(KvType type) {
  return type == KvType::kQ8_0 || type == KvType::kQ4_0;
}
// Whether heads of this size can be stored: quantised ones in whole blocks only.
[[gnu::always_inline]] constexpr bool kv_dim_fits(KvType type, std::uint32_t head_dim) {
  return head_dim > 0 && (!kv_quantised(type) || head_dim % kKvBlock == 0);
}
// Bytes of the keys, and as many of the values, of one KV head in a page.
[[gnu::always_inline]] constexpr std::size_t kv_head_bytes(KvType type, std::uint32_t head_dim) {
  const std::size_t blocks = head_dim / kKvBlock;
  switch (type) {
    case KvType::kF16:
      return std::size_t{kPageTokens} * head_dim * 2;
    case KvType::kF32:
      return std::size_t{kPageTokens} * head_dim * 4;
    case KvType::kQ8_0:
      return kPageTokens * blocks * (2 + kKvBlock);
    case KvType::kQ4_0:
      return kPageTokens * blocks * (2 + kKvBlock / 2);
  }
  return 0;
}

}  // namespace holdfast::kernels
