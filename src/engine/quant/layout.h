// One row's share of a packed block, written and read: the bit layouts of packed_blocks.h in one
// place.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "split.h"

namespace holdfast::quant {

// The four codes of quad g of a row, one per byte. `q` points at 32 codes.
inline std::uint32_t quad(const std::uint8_t* q, std::uint32_t g) {
  std::uint32_t word;
  std::memcpy(&word, q + 4 * g, 4);
  return word;
}
inline void set_quad(std::uint8_t* q, std::uint32_t g, std::uint32_t word) {
  std::memcpy(q + 4 * g, &word, 4);
}
constexpr std::uint32_t every_byte(std::uint32_t mask) { return mask * 0x01010101u; }

using Vector = std::uint8_t[kVectorBytes];

// nibbles: the low four bits of the codes.
inline void put_nibbles(const std::uint8_t* q, std::uint32_t r, Vector* nibbles) {
  for (std::uint32_t j = 0; j < 4; ++j) {
    const std::uint32_t low = quad(q, j) & every_byte(15);
    const std::uint32_t high = quad(q, 4 + j) & every_byte(15);
    set_quad(nibbles[j], r, low | high << 4);
  }
}
inline void get_nibbles(const Vector* nibbles, std::uint32_t r, std::uint8_t* q) {
  for (std::uint32_t j = 0; j < 4; ++j) {
    const std::uint32_t word = quad(nibbles[j], r);
    set_quad(q, j, word & every_byte(15));
    set_quad(q, 4 + j, (word >> 4) & every_byte(15));
  }
}

// pairs: the two bits of the codes from bit `shift` on.
inline void put_pairs(const std::uint8_t* q, std::uint32_t shift, std::uint32_t r, Vector* pairs) {
  for (std::uint32_t v = 0; v < 2; ++v) {
    std::uint32_t word = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
      word |= ((quad(q, 4 * v + i) >> shift) & every_byte(3)) << (2 * i);
    }
    set_quad(pairs[v], r, word);
  }
}
// Adds the pairs to codes that hold their other bits already.
inline void add_pairs(const Vector* pairs, std::uint32_t shift, std::uint32_t r, std::uint8_t* q) {
  for (std::uint32_t g = 0; g < 8; ++g) {
    const std::uint32_t two = (quad(pairs[g / 4], r) >> (2 * (g % 4))) & every_byte(3);
    set_quad(q, g, quad(q, g) | two << shift);
  }
}

// bits: the bit `shift` of the codes.
inline void put_bits(const std::uint8_t* q, std::uint32_t shift, std::uint32_t r, Vector& bits) {
  std::uint32_t word = 0;
  for (std::uint32_t g = 0; g < 8; ++g) word |= ((quad(q, g) >> shift) & every_byte(1)) << g;
  set_quad(bits, r, word);
}
inline void add_bits(const Vector& bits, std::uint32_t shift, std::uint32_t r, std::uint8_t* q) {
  for (std::uint32_t g = 0; g < 8; ++g) {
    set_quad(q, g, quad(q, g) | ((quad(bits, r) >> g) & every_byte(1)) << shift);
  }
}

// place() writes row r's share of a block; gather() reads it back. `part` is which 32 k of `row`
// the block takes (always 0 but for P8S, where a source block of 64 or 256 becomes several).
template <typename Block>
concept HasD = requires(Block b) {
  b.d;
};
template <typename Block>
concept HasM = requires(Block b) {
  b.m;
};
template <typename Block>
concept HasDmin = requires(Block b) {
  b.dmin;
};
template <typename Block>
concept HasSc = requires(Block b) {
  b.sc;
};
template <typename Block>
concept HasMn = requires(Block b) {
  b.mn;
};
template <typename Block>
concept HasParts = requires(Block b) {
  b.parts;
};

template <typename Block>
void place_scales(const RowBlock& row, std::uint32_t r, Block& block) {
  if constexpr (HasD<Block>) block.d[r] = row.d;
  if constexpr (HasM<Block>) block.m[r] = row.m;
  if constexpr (HasDmin<Block>) block.dmin[r] = row.m;
  if constexpr (HasSc<Block>) {
    for (std::uint32_t i = 0; i < sizeof block.sc / kGroupRows; ++i) {
      block.sc[i][r] = static_cast<std::remove_reference_t<decltype(block.sc[0][0])>>(row.sc[i]);
    }
  }
  if constexpr (HasMn<Block>) {
    for (std::uint32_t b = 0; b < kSubBlocks32; ++b) block.mn[b][r] = row.mn[b];
  }
}

template <typename Block>
void gather_scales(const Block& block, std::uint32_t r, RowBlock& row) {
  if constexpr (HasD<Block>) row.d = block.d[r];
  if constexpr (HasM<Block>) row.m = block.m[r];
  if constexpr (HasDmin<Block>) row.m = block.dmin[r];
  if constexpr (HasSc<Block>) {
    for (std::uint32_t i = 0; i < sizeof block.sc / kGroupRows; ++i) {
      row.sc[i] = static_cast<std::int8_t>(block.sc[i][r]);
    }
  }
  if constexpr (HasMn<Block>) {
    for (std::uint32_t b = 0; b < kSubBlocks32; ++b) row.mn[b] = block.mn[b][r];
  }
}

// Nibbles of 32 k, with a fifth bit or two high bits where the holder has them.
template <typename Holder>
void place_nibbles(const std::uint8_t* q, std::uint32_t r, Holder& holder) {
  put_nibbles(q, r, holder.nibbles);
  if constexpr (requires { holder.bits; }) put_bits(q, 4, r, holder.bits);
  if constexpr (requires { holder.pairs; }) put_pairs(q, 4, r, holder.pairs);
}
template <typename Holder>
void gather_nibbles(const Holder& holder, std::uint32_t r, std::uint8_t* q) {
  get_nibbles(holder.nibbles, r, q);
  if constexpr (requires { holder.bits; }) add_bits(holder.bits, 4, r, q);
  if constexpr (requires { holder.pairs; }) add_pairs(holder.pairs, 4, r, q);
}

// P4_0, P4_1, P5_0, P5_1, PNL4, P5_K, P6_K.
template <typename Block>
void place(const RowBlock& row, std::uint32_t /*part*/, std::uint32_t r, Block& block) {
  place_scales(row, r, block);
  if constexpr (HasParts<Block>) {
    for (std::uint32_t b = 0; b < kSubBlocks32; ++b) {
      place_nibbles(row.q + kBlockK * b, r, block.parts[b]);
    }
  } else {
    place_nibbles(row.q, r, block);
  }
}
template <typename Block>
void gather(const Block& block, std::uint32_t r, RowBlock& row) {
  gather_scales(block, r, row);
  if constexpr (HasParts<Block>) {
    for (std::uint32_t b = 0; b < kSubBlocks32; ++b) {
      gather_nibbles(block.parts[b], r, row.q + kBlockK * b);
    }
  } else {
    gather_nibbles(block, r, row.q);
  }
}

inline void place(const RowBlock& row, std::uint32_t /*part*/, std::uint32_t r, BlockPMX4& block) {
  block.e[r] = static_cast<std::uint8_t>(row.d);
  place_nibbles(row.q, r, block);
}
inline void gather(const BlockPMX4& block, std::uint32_t r, RowBlock& row) {
  row.d = block.e[r];
  gather_nibbles(block, r, row.q);
}

inline void place(const RowBlock& row, std::uint32_t /*part*/, std::uint32_t r, BlockP8_0& block) {
  place_scales(row, r, block);
  for (std::uint32_t g = 0; g < 8; ++g) set_quad(block.bytes[g], r, quad(row.q, g));
}
inline void gather(const BlockP8_0& block, std::uint32_t r, RowBlock& row) {
  gather_scales(block, r, row);
  for (std::uint32_t g = 0; g < 8; ++g) set_quad(row.q, g, quad(block.bytes[g], r));
}

inline void place(const RowBlock& row, std::uint32_t part, std::uint32_t r, BlockP8S& block) {
  for (std::uint32_t h = 0; h < 2; ++h) block.s[h][r] = row.s[2 * part + h];
  for (std::uint32_t g = 0; g < 8; ++g) {
    set_quad(block.bytes[g], r, quad(row.q + kBlockK * part, g));
  }
}
inline void gather(const BlockP8S& block, std::uint32_t r, RowBlock& row) {
  for (std::uint32_t h = 0; h < 2; ++h) row.s[h] = block.s[h][r];
  for (std::uint32_t g = 0; g < 8; ++g) set_quad(row.q, g, quad(block.bytes[g], r));
}

inline void place(const RowBlock& row, std::uint32_t /*part*/, std::uint32_t r, BlockP2_K& block) {
  block.d[r] = row.d;
  block.dmin[r] = row.m;
  for (std::uint32_t h = 0; h < kSubBlocks16; ++h) {
    block.scales[h][r] = static_cast<std::uint8_t>(row.sc[h] | row.mn[h] << 4);
  }
  for (std::uint32_t b = 0; b < kSubBlocks32; ++b) {
    put_pairs(row.q + kBlockK * b, 0, r, block.pairs[b]);
  }
}
inline void gather(const BlockP2_K& block, std::uint32_t r, RowBlock& row) {
  row.d = block.d[r];
  row.m = block.dmin[r];
  for (std::uint32_t h = 0; h < kSubBlocks16; ++h) {
    row.sc[h] = static_cast<std::int8_t>(block.scales[h][r] & 15);
    row.mn[h] = block.scales[h][r] >> 4;
  }
  std::memset(row.q, 0, sizeof row.q);
  for (std::uint32_t b = 0; b < kSubBlocks32; ++b) {
    add_pairs(block.pairs[b], 0, r, row.q + kBlockK * b);
  }
}

inline void place(const RowBlock& row, std::uint32_t /*part*/, std::uint32_t r, BlockP3_K& block) {
  place_scales(row, r, block);
  for (std::uint32_t b = 0; b < kSubBlocks32; ++b) {
    put_pairs(row.q + kBlockK * b, 0, r, block.parts[b].pairs);
    put_bits(row.q + kBlockK * b, 2, r, block.parts[b].bits);
  }
}
inline void gather(const BlockP3_K& block, std::uint32_t r, RowBlock& row) {
  gather_scales(block, r, row);
  std::memset(row.q, 0, sizeof row.q);
  for (std::uint32_t b = 0; b < kSubBlocks32; ++b) {
    add_pairs(block.parts[b].pairs, 0, r, row.q + kBlockK * b);
    add_bits(block.parts[b].bits, 2, r, row.q + kBlockK * b);
  }
}

template <typename Block>
concept PlainNibbleSuperBlock =
    std::is_same_v<Block, BlockP4_K> || std::is_same_v<Block, BlockP4_XS>;

template <PlainNibbleSuperBlock Block>
void place(const RowBlock& row, std::uint32_t /*part*/, std::uint32_t r, Block& block) {
  place_scales(row, r, block);
  for (std::uint32_t b = 0; b < kSubBlocks32; ++b) {
    put_nibbles(row.q + kBlockK * b, r, block.nibbles[b]);
  }
}
template <PlainNibbleSuperBlock Block>
void gather(const Block& block, std::uint32_t r, RowBlock& row) {
  gather_scales(block, r, row);
  for (std::uint32_t b = 0; b < kSubBlocks32; ++b) {
    get_nibbles(block.nibbles[b], r, row.q + kBlockK * b);
  }
}

}  // namespace holdfast::quant
