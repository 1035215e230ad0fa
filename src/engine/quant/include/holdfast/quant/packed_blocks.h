// Block structs of packed matrices: plain data alone, so that code compiled for one instruction set
// may include it.
//
// A matrix W of `rows` x `cols` (y = W x) is stored as groups of 16 consecutive rows; the last
// group is filled up with rows of zero bytes. Inside a group the blocks follow each other in order
// of k, each covering 32 (or 256, or 1) consecutive k for all 16 rows:
//
//   address of block b of group g = base + (g * blocks_per_group + b) * sizeof(Block)
//   blocks_per_group = cols / block_elements,  groups = ceil(rows / 16)
//
// There is no padding between blocks or groups; `base` is 64-byte aligned, blocks need not be.
//
// Notation. r = 0..15 is the row in the group. Inside 32 consecutive k the *quad* g = 0..7 is k =
// 4g..4g+3, and t = 0..3 the place in it: k = 4g + t. A *vector* is 64 bytes; its byte 4r + t
// belongs to (r, t). So one 32-bit lane holds one row, and a dot product adds up k in ascending
// order in that lane on every machine.
//
//   nibbles[j], j = 0..3:  low four bits  = quad j      (k = 4j + t)
//                          high four bits = quad 4 + j  (k = 16 + 4j + t)
//   pairs[v], v = 0..1:    bits 2i, 2i+1  = quad 4v + i (k = 16v + 4i + t), i = 0..3
//   bits:                  bit g          = quad g      (k = 4g + t)
//   bytes[g], g = 0..7:    the whole byte = quad g      (k = 4g + t)
//
// "f16" is an IEEE half in a little-endian std::uint16_t. Every formula is evaluated in f32, left
// to right, and each product of a scale and an integer in it is exact.
#pragma once

#include <cstdint>

namespace holdfast::quant {

constexpr std::uint32_t kGroupRows = 16;
constexpr std::uint32_t kBlockK = 32;
constexpr std::uint32_t kSuperBlockK = 256;
constexpr std::uint32_t kSubBlocks32 = kSuperBlockK / 32;
constexpr std::uint32_t kSubBlocks16 = kSuperBlockK / 16;
constexpr std::uint32_t kVectorBytes = kGroupRows * 4;

// Values of the four-bit codes of IQ4_NL and IQ4_XS. Not `inline`: a weak symbol must not leave an
// ISA folder.
constexpr std::int8_t kNl4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};
// Twice the E2M1 values of MXFP4 and NVFP4; the scale carries the half.
constexpr std::int8_t kE2m1Doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Float formats: one k of 16 rows.   [0, 64) f32 w[r]
struct BlockPF32 {
  float w[kGroupRows];
};
static_assert(sizeof(BlockPF32) == kGroupRows * 4);

// [0, 32) f16 w[r]
struct BlockPF16 {
  std::uint16_t w[kGroupRows];
};
static_assert(sizeof(BlockPF16) == kGroupRows * 2);

// [0, 32) bf16 w[r]: the upper half of an f32
struct BlockPBF16 {
  std::uint16_t w[kGroupRows];
};
static_assert(sizeof(BlockPBF16) == kGroupRows * 2);

// w = d * (q - 8)
//   [0, 32) f16 d[r] | [32, 288) nibbles q
struct BlockP4_0 {
  std::uint16_t d[kGroupRows];
  std::uint8_t nibbles[4][kVectorBytes];
};
static_assert(sizeof(BlockP4_0) == kGroupRows * 2 + kGroupRows * kBlockK / 2);

// w = d * q + m
//   [0, 32) f16 d[r] | [32, 64) f16 m[r] | [64, 320) nibbles q
struct BlockP4_1 {
  std::uint16_t d[kGroupRows];
  std::uint16_t m[kGroupRows];
  std::uint8_t nibbles[4][kVectorBytes];
};
static_assert(sizeof(BlockP4_1) == kGroupRows * (2 + 2) + kGroupRows * kBlockK / 2);

// w = d * (q - 16), q = nibble | bit << 4
//   [0, 32) f16 d[r] | [32, 288) nibbles | [288, 352) bits
struct BlockP5_0 {
  std::uint16_t d[kGroupRows];
  std::uint8_t nibbles[4][kVectorBytes];
  std::uint8_t bits[kVectorBytes];
};
static_assert(sizeof(BlockP5_0) == kGroupRows * 2 + kGroupRows * kBlockK * 5 / 8);

// w = d * q + m, q = nibble | bit << 4
//   [0, 32) f16 d[r] | [32, 64) f16 m[r] | [64, 320) nibbles | [320, 384) bits
struct BlockP5_1 {
  std::uint16_t d[kGroupRows];
  std::uint16_t m[kGroupRows];
  std::uint8_t nibbles[4][kVectorBytes];
  std::uint8_t bits[kVectorBytes];
};
static_assert(sizeof(BlockP5_1) == kGroupRows * (2 + 2) + kGroupRows * kBlockK * 5 / 8);

// w = d * (u - 128); u is unsigned because the x86 dot-product instructions want one unsigned
// operand
//   [0, 32) f16 d[r] | [32, 544) bytes u
struct BlockP8_0 {
  std::uint16_t d[kGroupRows];
  std::uint8_t bytes[8][kVectorBytes];
};
static_assert(sizeof(BlockP8_0) == kGroupRows * 2 + kGroupRows * kBlockK);

// w = d * kNl4Values[q]
//   [0, 32) f16 d[r] | [32, 288) nibbles q
struct BlockPNL4 {
  std::uint16_t d[kGroupRows];
  std::uint8_t nibbles[4][kVectorBytes];
};
static_assert(sizeof(BlockPNL4) == kGroupRows * 2 + kGroupRows * kBlockK / 2);

// w = 2^(e - 128) * kE2m1Doubled[q]. e = 0 and 1 make the scale a subnormal f32 (2^-128, 2^-127); e
// = 255 is 2^127, not a NaN, as ggml has it.
//   [0, 16) u8 e[r] | [16, 272) nibbles q
struct BlockPMX4 {
  std::uint8_t e[kGroupRows];
  std::uint8_t nibbles[4][kVectorBytes];
};
static_assert(sizeof(BlockPMX4) == kGroupRows + kGroupRows * kBlockK / 2);

// w = s[h] * (u - 128), h = k / 16 within the block. The target of every type without a layout of
// its own.
//   [0, 128) f32 s[h][r], h = 0..1 | [128, 640) bytes u
struct BlockP8S {
  float s[2][kGroupRows];
  std::uint8_t bytes[8][kVectorBytes];
};
static_assert(sizeof(BlockP8S) == 2 * kGroupRows * 4 + kGroupRows * kBlockK);

// Superblocks of 256 k. b = 0..7 counts its parts of 32 k, h = 0..15 those of 16 k (h = 2b + (k %
// 32) / 16).

// w = (d * scale) * q - (dmin * min), scale = scales[h] & 15, min = scales[h] >> 4, q = 2-bit code,
// 0..3
//   [0, 32) f16 d[r] | [32, 64) f16 dmin[r] | [64, 320) u8 scales[h][r] | [320, 1344) pairs[b][v]
struct BlockP2_K {
  std::uint16_t d[kGroupRows];
  std::uint16_t dmin[kGroupRows];
  std::uint8_t scales[kSubBlocks16][kGroupRows];
  std::uint8_t pairs[kSubBlocks32][2][kVectorBytes];
};
static_assert(sizeof(BlockP2_K) ==
              kGroupRows * (2 + 2 + kSubBlocks16) + kGroupRows * kSuperBlockK / 4);

// w = (d * sc[h]) * (q - 4), q = pair | bit << 2, -32 <= sc <= 31
//   [0, 32) f16 d[r] | [32, 288) s8 sc[h][r] | 8 x { 128 B pairs[v], 64 B bits }: part b at 288 +
//   192 b
struct BlockP3_K {
  struct Part {
    std::uint8_t pairs[2][kVectorBytes];
    std::uint8_t bits[kVectorBytes];
  };
  std::uint16_t d[kGroupRows];
  std::int8_t sc[kSubBlocks16][kGroupRows];
  Part parts[kSubBlocks32];
};
static_assert(sizeof(BlockP3_K) ==
              kGroupRows * (2 + kSubBlocks16) + kGroupRows * kSuperBlockK * 3 / 8);

// w = (d * sc[b]) * q - (dmin * mn[b]), 0 <= sc, mn <= 63, 0 <= q <= 15
//   [0, 32) f16 d[r] | [32, 64) f16 dmin[r] | [64, 192) u8 sc[b][r] | [192, 320) u8 mn[b][r] |
//   [320, 2368) nibbles[b][j]
struct BlockP4_K {
  std::uint16_t d[kGroupRows];
  std::uint16_t dmin[kGroupRows];
  std::uint8_t sc[kSubBlocks32][kGroupRows];
  std::uint8_t mn[kSubBlocks32][kGroupRows];
  std::uint8_t nibbles[kSubBlocks32][4][kVectorBytes];
};
static_assert(sizeof(BlockP4_K) ==
              kGroupRows * (2 + 2 + 2 * kSubBlocks32) + kGroupRows * kSuperBlockK / 2);

// w = (d * sc[b]) * q - (dmin * mn[b]), q = nibble | bit << 4, 0 <= sc, mn <= 63
//   [0, 320) as P4_K | 8 x { 256 B nibbles[j], 64 B bits }: part b at 320 + 320 b
struct BlockP5_K {
  struct Part {
    std::uint8_t nibbles[4][kVectorBytes];
    std::uint8_t bits[kVectorBytes];
  };
  std::uint16_t d[kGroupRows];
  std::uint16_t dmin[kGroupRows];
  std::uint8_t sc[kSubBlocks32][kGroupRows];
  std::uint8_t mn[kSubBlocks32][kGroupRows];
  Part parts[kSubBlocks32];
};
static_assert(sizeof(BlockP5_K) ==
              kGroupRows * (2 + 2 + 2 * kSubBlocks32) + kGroupRows * kSuperBlockK * 5 / 8);

// w = (d * sc[h]) * (q - 32), q = nibble | pair << 4, -128 <= sc <= 127. pairs[0] completes the low
// nibbles (quads 0..3), pairs[1] the high ones (quads 4..7).
//   [0, 32) f16 d[r] | [32, 288) s8 sc[h][r] | 8 x { 256 B nibbles[j], 128 B pairs[v] }: part b at
//   288 + 384 b
struct BlockP6_K {
  struct Part {
    std::uint8_t nibbles[4][kVectorBytes];
    std::uint8_t pairs[2][kVectorBytes];
  };
  std::uint16_t d[kGroupRows];
  std::int8_t sc[kSubBlocks16][kGroupRows];
  Part parts[kSubBlocks32];
};
static_assert(sizeof(BlockP6_K) ==
              kGroupRows * (2 + kSubBlocks16) + kGroupRows * kSuperBlockK * 6 / 8);

// w = (d * sc[b]) * kNl4Values[q], -32 <= sc <= 31
//   [0, 32) f16 d[r] | [32, 160) s8 sc[b][r] | [160, 2208) nibbles[b][j]
struct BlockP4_XS {
  std::uint16_t d[kGroupRows];
  std::int8_t sc[kSubBlocks32][kGroupRows];
  std::uint8_t nibbles[kSubBlocks32][4][kVectorBytes];
};
static_assert(sizeof(BlockP4_XS) ==
              kGroupRows * (2 + kSubBlocks32) + kGroupRows * kSuperBlockK / 2);

}  // namespace holdfast::quant
