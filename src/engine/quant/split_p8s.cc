// Types without a packed layout of their own: codes become signed bytes, scales one f32 per 16
// weights, both exact.
#include <bit>
#include <cstring>

#include "ggml_blocks.h"
#include "grids.h"
#include "holdfast/quant/half.h"
#include "split.h"

namespace holdfast::quant {
namespace {

template <typename Block>
Block load_block(const std::byte* p) {
  Block block;
  std::memcpy(&block, p, sizeof block);
  return block;
}

std::uint8_t biased(int value) { return static_cast<std::uint8_t>(value + 128); }

void both_halves(RowBlock& out, std::uint32_t b, float scale) {
  out.s[2 * b] = scale;
  out.s[2 * b + 1] = scale;
}

// Signs of eight weights in seven bits: the eighth makes their number even.
std::uint32_t even_signs(std::uint32_t seven) {
  return seven | (static_cast<std::uint32_t>(std::popcount(seven)) & 1) << 7;
}

constexpr int kIq2Magnitudes[4] = {8, 25, 43, 0};  // the fourth is in no grid
constexpr int kIq3XxsMagnitudes[8] = {4, 12, 20, 28, 36, 44, 52, 62};

void put_iq2(std::uint32_t point, std::uint32_t signs, std::uint8_t* q) {
  for (std::uint32_t i = 0; i < 8; ++i) {
    const int magnitude = kIq2Magnitudes[(point >> (2 * i)) & 3];
    q[i] = biased((signs >> i) & 1 ? -magnitude : magnitude);
  }
}

void put_iq3_xxs(std::uint32_t point, std::uint32_t signs, std::uint8_t* q) {
  for (std::uint32_t i = 0; i < 4; ++i) {
    const int magnitude = kIq3XxsMagnitudes[(point >> (4 * i)) & 7];
    q[i] = biased((signs >> i) & 1 ? -magnitude : magnitude);
  }
}

void put_iq3_s(std::uint32_t point, std::uint32_t signs, std::uint8_t* q) {
  for (std::uint32_t i = 0; i < 4; ++i) {
    const int magnitude = 2 * static_cast<int>((point >> (4 * i)) & 7) + 1;
    q[i] = biased((signs >> i) & 1 ? -magnitude : magnitude);
  }
}

// The weight is dl * (x +- 1/8) with x in -1..1, so dl / 8 times 8 x +- 1.
void put_iq1(std::uint32_t point, bool minus, std::uint8_t* q) {
  for (std::uint32_t i = 0; i < 8; ++i) {
    const int x = static_cast<int>((point >> (2 * i)) & 3) - 1;
    q[i] = biased(8 * x + (minus ? -1 : 1));
  }
}

void split_iq2_xxs(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockIQ2_XXS>(p);
  const float d = f16_to_f32(block.d);
  for (std::uint32_t b = 0; b < 8; ++b) {
    const std::uint32_t indices = block.qs[b][0];
    const std::uint32_t rest = block.qs[b][1];
    both_halves(out, b, d * (0.5f + static_cast<float>(rest >> 28)) * 0.25f);
    for (std::uint32_t i = 0; i < 4; ++i) {
      put_iq2(kGridIq2Xxs[(indices >> (8 * i)) & 255], even_signs((rest >> (7 * i)) & 127),
              out.q + 32 * b + 8 * i);
    }
  }
}

void split_iq2_xs(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockIQ2_XS>(p);
  const float d = f16_to_f32(block.d);
  for (std::uint32_t h = 0; h < 16; ++h) {
    const int scale = (block.scales[h / 2] >> (4 * (h % 2))) & 15;
    out.s[h] = d * (0.5f + static_cast<float>(scale)) * 0.25f;
  }
  for (std::uint32_t i = 0; i < 32; ++i) {
    const std::uint32_t code = block.qs[i];
    put_iq2(kGridIq2Xs[code & 511], even_signs(code >> 9), out.q + 8 * i);
  }
}

void split_iq2_s(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockIQ2_S>(p);
  const float d = f16_to_f32(block.d);
  for (std::uint32_t h = 0; h < 16; ++h) {
    const int scale = (block.scales[h / 2] >> (4 * (h % 2))) & 15;
    out.s[h] = d * (0.5f + static_cast<float>(scale)) * 0.25f;
  }
  for (std::uint32_t i = 0; i < 32; ++i) {
    const std::uint32_t high = (block.qh[i / 4] >> (2 * (i % 4))) & 3u;
    put_iq2(kGridIq2S[block.qs[i] | high << 8], block.signs[i], out.q + 8 * i);
  }
}

void split_iq3_xxs(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockIQ3_XXS>(p);
  const float d = f16_to_f32(block.d);
  for (std::uint32_t b = 0; b < 8; ++b) {
    const std::uint32_t rest = block.scales_and_signs[b];
    both_halves(out, b, d * (0.5f + static_cast<float>(rest >> 28)) * 0.5f);
    for (std::uint32_t i = 0; i < 8; ++i) {
      const std::uint32_t signs = even_signs((rest >> (7 * (i / 2))) & 127) >> (4 * (i % 2));
      put_iq3_xxs(kGridIq3Xxs[block.qs[8 * b + i]], signs, out.q + 32 * b + 4 * i);
    }
  }
}

void split_iq3_s(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockIQ3_S>(p);
  const float d = f16_to_f32(block.d);
  for (std::uint32_t b = 0; b < 8; ++b) {
    const int scale = (block.scales[b / 2] >> (4 * (b % 2))) & 15;
    both_halves(out, b, d * static_cast<float>(1 + 2 * scale));
  }
  for (std::uint32_t i = 0; i < 64; ++i) {
    const std::uint32_t high = (block.qh[i / 8] >> (i % 8)) & 1u;
    const std::uint32_t signs = static_cast<std::uint32_t>(block.signs[i / 2]) >> (4 * (i % 2));
    put_iq3_s(kGridIq3S[block.qs[i] | high << 8], signs, out.q + 4 * i);
  }
}

void split_iq1_s(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockIQ1_S>(p);
  const float d = f16_to_f32(block.d);
  for (std::uint32_t b = 0; b < 8; ++b) {
    const std::uint32_t high = block.qh[b];
    both_halves(out, b, d * static_cast<float>(2 * ((high >> 12) & 7) + 1) * 0.125f);
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t index = block.qs[4 * b + i] | ((high >> (3 * i)) & 7) << 8;
      put_iq1(kGridIq1S[index], (high & 0x8000) != 0, out.q + 32 * b + 8 * i);
    }
  }
}

void split_iq1_m(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockIQ1_M>(p);
  // The f16 scale lies in the top nibbles of the four words of scales.
  std::uint32_t d_bits = 0;
  for (std::uint32_t i = 0; i < 4; ++i) d_bits |= (block.scales[i] >> 12) << (4 * i);
  const float d = f16_to_f32(static_cast<std::uint16_t>(d_bits));
  for (std::uint32_t h = 0; h < 16; ++h) {
    const int scale = (block.scales[h / 4] >> (3 * (h % 4))) & 7;
    out.s[h] = d * static_cast<float>(2 * scale + 1) * 0.125f;
  }
  for (std::uint32_t i = 0; i < 32; ++i) {
    const std::uint32_t high = static_cast<std::uint32_t>(block.qh[i / 2]) >> (4 * (i % 2));
    put_iq1(kGridIq1S[block.qs[i] | (high & 7) << 8], (high & 8) != 0, out.q + 8 * i);
  }
}

// Five ternary digits to a byte, as the fraction byte / 256: multiplying by 3 pushes one digit out
// at the top.
void put_trits(const std::uint8_t* bytes, std::uint32_t n, std::uint32_t digits, std::uint8_t* q) {
  std::uint32_t power = 1;
  for (std::uint32_t digit = 0; digit < digits; ++digit, power *= 3) {
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t rest = (bytes[i] * power) & 255;
      q[n * digit + i] = biased(static_cast<int>((rest * 3) >> 8) - 1);
    }
  }
}

void split_tq1_0(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockTQ1_0>(p);
  for (std::uint32_t b = 0; b < 8; ++b) both_halves(out, b, f16_to_f32(block.d));
  put_trits(block.qs, 32, 5, out.q);
  put_trits(block.qs + 32, 16, 5, out.q + 160);
  put_trits(block.qh, 4, 4, out.q + 240);
}

void split_tq2_0(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockTQ2_0>(p);
  for (std::uint32_t b = 0; b < 8; ++b) both_halves(out, b, f16_to_f32(block.d));
  for (std::uint32_t k = 0; k < kSuperBlockK; ++k) {
    const int code = (block.qs[32 * (k / 128) + k % 32] >> (2 * (k % 128 / 32))) & 3;
    out.q[k] = biased(code - 1);
  }
}

void split_nvfp4(const std::byte* p, RowBlock& out) {
  const auto block = load_block<BlockNVFP4>(p);
  for (std::uint32_t h = 0; h < 4; ++h) {
    out.s[h] = ue4m3_half_to_f32(block.d[h]);
    for (std::uint32_t i = 0; i < 8; ++i) {
      out.q[16 * h + i] = biased(kE2m1Doubled[block.qs[h][i] & 15]);
      out.q[16 * h + 8 + i] = biased(kE2m1Doubled[block.qs[h][i] >> 4]);
    }
  }
}

}  // namespace

SplitFunction split_function_p8s(TensorType source) {
  switch (source) {
    case TensorType::kIQ1_S:
      return split_iq1_s;
    case TensorType::kIQ1_M:
      return split_iq1_m;
    case TensorType::kIQ2_XXS:
      return split_iq2_xxs;
    case TensorType::kIQ2_XS:
      return split_iq2_xs;
    case TensorType::kIQ2_S:
      return split_iq2_s;
    case TensorType::kIQ3_XXS:
      return split_iq3_xxs;
    case TensorType::kIQ3_S:
      return split_iq3_s;
    case TensorType::kTQ1_0:
      return split_tq1_0;
    case TensorType::kTQ2_0:
      return split_tq2_0;
    case TensorType::kNVFP4:
      return split_nvfp4;
    default:
      return nullptr;
  }
}

}  // namespace holdfast::quant
