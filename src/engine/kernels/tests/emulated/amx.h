// The tile instructions that amx/vec.h takes from AMX-INT8, in plain C++, over the emulated
// AVX-512, so that the kernels of that folder are tested on machines without them. Put before each
// of their files by the compiler's -include. Oracle: the pseudocode of each instruction.
#pragma once

#include <cstddef>
#include <cstdint>

#include "amx/tile_config.h"
#include "avx512.h"

namespace holdfast::kernels {
namespace {

HF_EMULATED_INLINE __m512i emulated_sub_epi8(__m512i a, __m512i b) {
  return emulated::join(_mm256_sub_epi8(emulated::half(a, 0), emulated::half(b, 0)),
                        _mm256_sub_epi8(emulated::half(a, 1), emulated::half(b, 1)));
}

struct EmulatedTiles {
  TileConfig config;
  alignas(64) std::uint8_t bytes[8][16][64];
};
thread_local EmulatedTiles emulated_tiles;

inline void tiles_configure(const TileConfig& config) {
  emulated_tiles = {};
  emulated_tiles.config = config;
}
inline void tiles_release() { emulated_tiles = {}; }

template <int kTile>
void tile_zero() {
  for (auto& row : emulated_tiles.bytes[kTile]) __builtin_memset(row, 0, sizeof row);
}
// Rows and bytes beyond the tile's shape become zero.
template <int kTile, class Memory>
void tile_load(const Memory&, const std::int8_t* p, std::size_t stride) {
  tile_zero<kTile>();
  for (int row = 0; row < emulated_tiles.config.rows[kTile]; ++row) {
    __builtin_memcpy(emulated_tiles.bytes[kTile][row], p + row * stride,
                     emulated_tiles.config.row_bytes[kTile]);
  }
}
template <int kTile, class Memory>
void tile_store(Memory& to, std::size_t stride) {
  auto* p = reinterpret_cast<std::uint8_t*>(&to);
  for (int row = 0; row < emulated_tiles.config.rows[kTile]; ++row) {
    __builtin_memcpy(p + row * stride, emulated_tiles.bytes[kTile][row],
                     emulated_tiles.config.row_bytes[kTile]);
  }
}
template <int kSum, int kA, int kB>
void tile_dot() {
  const TileConfig& config = emulated_tiles.config;
  for (int m = 0; m < config.rows[kSum]; ++m) {
    for (int n = 0; n < config.row_bytes[kSum] / 4; ++n) {
      std::int32_t sum;
      __builtin_memcpy(&sum, &emulated_tiles.bytes[kSum][m][4 * n], 4);
      for (int k = 0; k < config.row_bytes[kA]; ++k) {
        sum += static_cast<std::int8_t>(emulated_tiles.bytes[kA][m][k]) *
               static_cast<std::int8_t>(emulated_tiles.bytes[kB][k / 4][4 * n + k % 4]);
      }
      __builtin_memcpy(&emulated_tiles.bytes[kSum][m][4 * n], &sum, 4);
    }
  }
}

}  // namespace
}  // namespace holdfast::kernels

#define _mm512_sub_epi8 emulated_sub_epi8
#define _mm512_storeu_si512(p, a) __builtin_memcpy(p, &(a), 64)
