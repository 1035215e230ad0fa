// AVX-512 as in avx512/vec.h, and the tiles of AMX-INT8 beside it. Private to this folder.
//
// Source: Intel, Architecture Instruction Set Extensions Programming Reference, chapter 3. Assembly
// rather than intrinsics: those of g++ 12 do not tell the compiler which memory a tile is loaded
// from or stored to. `volatile` keeps the order among them, since tiles are not known as operands.
#pragma once

#include "amx/tile_config.h"
#include "avx512/vec.h"

namespace holdfast::kernels {
namespace {

HF_INLINE Q q_set(int byte) { return _mm512_set1_epi8(static_cast<char>(byte)); }
HF_INLINE Q q_sub(Q a, Q b) { return _mm512_sub_epi8(a, b); }
HF_INLINE void q_store(std::int8_t* p, Q a) { _mm512_storeu_si512(p, a); }
HF_INLINE I i_load(const std::int32_t* p) { return _mm512_loadu_si512(p); }

#ifndef HF_EMULATED  // otherwise by tests/emulated/amx.h

HF_INLINE void tiles_configure(const TileConfig& config) {
  asm volatile("ldtilecfg %0" : : "m"(config));
}
// The tiles' contents need no longer be saved when threads are switched.
HF_INLINE void tiles_release() { asm volatile("tilerelease"); }

template <int kTile>
HF_INLINE void tile_zero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
// Rows of the tile from `p` on, `stride` bytes apart; all of them in `memory`.
template <int kTile, class Memory>
HF_INLINE void tile_load(const Memory& memory, const std::int8_t* p, std::size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(p), "r"(stride), "i"(kTile), "m"(memory));
}
template <int kTile, class Memory>
HF_INLINE void tile_store(Memory& to, std::size_t stride) {
  asm volatile("tilestored %%tmm%c3, (%1,%2,1)" : "=m"(to) : "r"(&to), "r"(stride), "i"(kTile));
}
// sum[m][n] += a[m][4 j + t] * b[j][4 n + t] over j and t: signed bytes, exact in 32 bits.
template <int kSum, int kA, int kB>
HF_INLINE void tile_dot() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
}

#endif

}  // namespace
}  // namespace holdfast::kernels
