// Number formats of cached keys and values, and what a head takes of a page in each. Kernels of
// every instruction set include this: functions are always inlined and leave no symbol, and no
// other header comes with it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace holdfast::footprint {

enum class KvType : std::uint8_t {
#define HF_KV_TYPE(enumerator, name) enumerator,
#include "holdfast/footprint/kv_types.def"
#undef HF_KV_TYPE
};

inline constexpr std::size_t kKvTypes = 0
#define HF_KV_TYPE(enumerator, name) +1
#include "holdfast/footprint/kv_types.def"
#undef HF_KV_TYPE
    ;

// Positions per page.
inline constexpr std::uint32_t kPageTokens = 32;
// Dimensions that share a scale in the quantised types.
inline constexpr std::uint32_t kKvBlock = 32;

[[gnu::always_inline]] constexpr bool kv_quantised(KvType type) {
  return type == KvType::kQ8_0 || type == KvType::kQ4_0;
}
// Whether heads of this size can be stored: quantised ones in whole blocks only.
[[gnu::always_inline]] constexpr bool kv_dim_fits(KvType type, std::uint32_t head_dim) {
  return head_dim > 0 && (!kv_quantised(type) || head_dim % kKvBlock == 0);
}
// Bytes of the keys, and as many of the values, of one KV head in a page. Quantised blocks have an
// f16 scale in front of their 32 numbers.
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

}  // namespace holdfast::footprint
