// The size of a page of keys and values, and pages of a context.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "holdfast/base/checked.h"
#include "holdfast/footprint/kv_types.h"

namespace holdfast::footprint {

// Keys and values of a layer start at cache lines.
inline constexpr std::uint64_t kKvAlignment = 64;

// As settings spell them; nullopt for another word.
std::string_view kv_type_name(KvType type);
std::optional<KvType> find_kv_type(std::string_view name);

// What one token stores. All layers are alike.
struct KvLayout {
  std::uint32_t n_layers = 0;
  std::uint32_t n_kv_heads = 0;
  std::uint32_t k_dim = 0;  // floats per key head
  std::uint32_t v_dim = 0;  // floats per value head
  KvType type = KvType::kF16;
};

// Bytes of one layer's keys (k_dim) or values (v_dim) in a page, up to the next cache line.
constexpr std::uint64_t kv_block_bytes(const KvLayout& layout, std::uint32_t dim) {
  return round_up(layout.n_kv_heads * std::uint64_t{kv_head_bytes(layout.type, dim)}, kKvAlignment);
}
// Bytes of one page: 32 tokens of all layers. Does not overflow for dimensions and heads below
// 2^16 and layers below 2^20.
constexpr std::uint64_t kv_page_bytes(const KvLayout& layout) {
  return layout.n_layers *
         (kv_block_bytes(layout, layout.k_dim) + kv_block_bytes(layout, layout.v_dim));
}
// Pages that hold so many tokens of one sequence.
constexpr std::uint64_t kv_pages_for(std::uint64_t tokens) {
  return ceil_div(tokens, std::uint64_t{kPageTokens});
}

}  // namespace holdfast::footprint
