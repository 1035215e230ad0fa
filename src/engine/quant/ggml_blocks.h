// The blocks of GGUF's quantised types, as they lie in a file. Fields named after ggml's; bit
// layouts are read in split*.cc.
#pragma once

#include <cstdint>

#include "holdfast/quant/types.h"

namespace holdfast::quant {

#pragma pack(push, 1)
struct BlockQ4_0 {
  std::uint16_t d;
  std::uint8_t qs[16];  // i: low nibble k = i, high nibble k = i + 16
};
struct BlockQ4_1 {
  std::uint16_t d, m;
  std::uint8_t qs[16];
};
struct BlockQ5_0 {
  std::uint16_t d;
  std::uint32_t qh;  // bit k: fifth bit of k
  std::uint8_t qs[16];
};
struct BlockQ5_1 {
  std::uint16_t d, m;
  std::uint32_t qh;
  std::uint8_t qs[16];
};
struct BlockQ8_0 {
  std::uint16_t d;
  std::int8_t qs[32];
};
struct BlockQ2_K {
  std::uint8_t scales[16];
  std::uint8_t qs[64];
  std::uint16_t d, dmin;
};
struct BlockQ3_K {
  std::uint8_t hmask[32];
  std::uint8_t qs[64];
  std::uint8_t scales[12];
  std::uint16_t d;
};
struct BlockQ4_K {
  std::uint16_t d, dmin;
  std::uint8_t scales[12];
  std::uint8_t qs[128];
};
struct BlockQ5_K {
  std::uint16_t d, dmin;
  std::uint8_t scales[12];
  std::uint8_t qh[32];
  std::uint8_t qs[128];
};
struct BlockQ6_K {
  std::uint8_t ql[128];
  std::uint8_t qh[64];
  std::int8_t scales[16];
  std::uint16_t d;
};
struct BlockIQ4_XS {
  std::uint16_t d, scales_h;
  std::uint8_t scales_l[4];
  std::uint8_t qs[128];
};
struct BlockMXFP4 {
  std::uint8_t e;
  std::uint8_t qs[16];
};
struct BlockNVFP4 {
  std::uint8_t d[4];  // unsigned E4M3, one per 16 k
  std::uint8_t qs[4][8];
};
struct BlockIQ2_XXS {
  std::uint16_t d;
  std::uint32_t qs[8][2];  // four grid indices; four 7-bit signs and a 4-bit scale
};
struct BlockIQ2_XS {
  std::uint16_t d;
  std::uint16_t qs[32];  // 9 bits of grid index, 7 of signs
  std::uint8_t scales[8];
};
struct BlockIQ2_S {
  std::uint16_t d;
  std::uint8_t qs[32];
  std::uint8_t signs[32];
  std::uint8_t qh[8];
  std::uint8_t scales[8];
};
struct BlockIQ3_XXS {
  std::uint16_t d;
  std::uint8_t qs[64];
  std::uint32_t scales_and_signs[8];
};
struct BlockIQ3_S {
  std::uint16_t d;
  std::uint8_t qs[64];
  std::uint8_t qh[8];
  std::uint8_t signs[32];
  std::uint8_t scales[4];
};
struct BlockIQ1_S {
  std::uint16_t d;
  std::uint8_t qs[32];
  std::uint16_t qh[8];
};
struct BlockIQ1_M {
  std::uint8_t qs[32];
  std::uint8_t qh[16];
  std::uint16_t scales[4];
};
struct BlockTQ1_0 {
  std::uint8_t qs[48];
  std::uint8_t qh[4];
  std::uint16_t d;
};
struct BlockTQ2_0 {
  std::uint8_t qs[64];
  std::uint16_t d;
};
#pragma pack(pop)
using BlockIQ4_NL = BlockQ4_0;  // same fields; the codes index a table

// The structs above against the formulas of the type table.
constexpr std::uint32_t ggml_block_bytes(TensorType type) {
  switch (type) {
#define HF_GGML_TYPE(name, number, elements, bytes, type_class, packed) \
  case TensorType::k##name:                                             \
    return bytes;
#include "holdfast/quant/types.def"
#undef HF_GGML_TYPE
    default:
      return 0;
  }
}
#define HF_BLOCK_SIZE(name) \
  static_assert(sizeof(Block##name) == ggml_block_bytes(TensorType::k##name))
HF_BLOCK_SIZE(Q4_0);
HF_BLOCK_SIZE(Q4_1);
HF_BLOCK_SIZE(Q5_0);
HF_BLOCK_SIZE(Q5_1);
HF_BLOCK_SIZE(Q8_0);
HF_BLOCK_SIZE(Q2_K);
HF_BLOCK_SIZE(Q3_K);
HF_BLOCK_SIZE(Q4_K);
HF_BLOCK_SIZE(Q5_K);
HF_BLOCK_SIZE(Q6_K);
HF_BLOCK_SIZE(IQ4_NL);
HF_BLOCK_SIZE(IQ4_XS);
HF_BLOCK_SIZE(MXFP4);
HF_BLOCK_SIZE(NVFP4);
HF_BLOCK_SIZE(IQ2_XXS);
HF_BLOCK_SIZE(IQ2_XS);
HF_BLOCK_SIZE(IQ2_S);
HF_BLOCK_SIZE(IQ3_XXS);
HF_BLOCK_SIZE(IQ3_S);
HF_BLOCK_SIZE(IQ1_S);
HF_BLOCK_SIZE(IQ1_M);
HF_BLOCK_SIZE(TQ1_0);
HF_BLOCK_SIZE(TQ2_0);
#undef HF_BLOCK_SIZE

}  // namespace holdfast::quant
