// Encoders of the formats with blocks of 256: parts of 16 or 32 whose scales are integers times a
// common f16.
//
// The parts are fitted alone first. Their scales, rounded to multiples of a common one, are then
// improved together: for each part the neighbouring integers are tried, and for the choice made the
// common scale is a least-squares problem again.
#include "encode_row.h"
#include "ggml_blocks.h"

namespace holdfast::quant {
namespace {

constexpr int kRounds = 3;

// ---- parts with a scale alone

template <int kSize>
struct ScaledBlock {
  static constexpr int kParts = 256 / kSize;
  float d = 0;
  std::array<int, kParts> scales{};
  std::array<Levels<kSize>, kParts> levels{};
  float error = INFINITY;
};

template <typename Grid, int kSize, int kScaleLow, int kScaleHigh>
class ScaledFit {
 public:
  static constexpr int kParts = 256 / kSize;
  using Block = ScaledBlock<kSize>;

  explicit ScaledFit(const BlockInput& in) {
    const float spread = root_mean_square(in.x, 256);
    for (int j = 0; j < kParts; ++j) {
      parts_[j] = make_part<kSize>(in, kSize * j, spread);
      fitted_[j] = fit_scale<Grid>(parts_[j]);
    }
  }

  Block run() const {
    float largest = 0;
    for (const float s : fitted_) {
      if (std::abs(s) > std::abs(largest)) largest = s;
    }
    if (std::abs(largest) < kScaleMin) return choose(0.0f, {}, 0);
    Block best;
    // Few bits: where the largest scale lands decides how well the others are met.
    constexpr bool kCoarse = kScaleHigh < 64;
    constexpr std::array kEnds = {static_cast<float>(kScaleLow), static_cast<float>(kScaleHigh),
                                  kScaleLow * 0.93f};
    for (std::size_t i = 0; i < (kCoarse ? kEnds.size() : 1); ++i) {
      Block block = improve(largest / kEnds[i]);
      if (block.error < best.error) best = block;
    }
    return best;
  }

 private:
  static int to_scale(float v) {
    return static_cast<int>(std::clamp(std::nearbyint(v), static_cast<float>(kScaleLow),
                                       static_cast<float>(kScaleHigh)));
  }

  Block improve(float d) const {
    std::array<int, kParts> scales;
    for (int j = 0; j < kParts; ++j) scales[j] = to_scale(fitted_[j] / d);
    Block best;
    for (int round = 0; round < kRounds; ++round) {
      const Block block = choose(d, scales, 1);
      if (!(block.error < best.error)) break;
      best = block;
      scales = block.scales;
      d = common_scale(block);
    }
    return best;
  }

  // Codes for the common scale `d` as the file will hold it, with scales up to `reach` from those
  // given.
  Block choose(float d, const std::array<int, kParts>& scales, int reach) const {
    Block block;
    block.d = through_f16(d);
    block.error = 0;
    Levels<kSize> levels;
    for (int j = 0; j < kParts; ++j) {
      float best = INFINITY;
      for (int scale = scales[j] - reach; scale <= scales[j] + reach; ++scale) {
        if (scale < kScaleLow || scale > kScaleHigh) continue;
        const float error =
            choose_levels<Grid>(parts_[j], block.d * static_cast<float>(scale), levels);
        if (!(error < best)) continue;
        best = error;
        block.scales[j] = scale;
        block.levels[j] = levels;
      }
      block.error += best;
    }
    return block;
  }

  float common_scale(const Block& block) const {
    float xl = 0;
    float ll = 0;
    for (int j = 0; j < kParts; ++j) {
      const Moments k = moments(parts_[j], block.levels[j]);
      const auto scale = static_cast<float>(block.scales[j]);
      xl += scale * k.xl;
      ll += scale * scale * k.ll;
    }
    return ll > 0 ? xl / ll : block.d;
  }

  std::array<Part<kSize>, kParts> parts_;
  std::array<float, kParts> fitted_;
};

template <typename Grid, int kSize>
std::array<std::uint8_t, 256> codes_of(const ScaledBlock<kSize>& block) {
  std::array<std::uint8_t, 256> codes;
  for (int k = 0; k < 256; ++k) {
    codes[k] = Grid::code(block.levels[k / kSize][k % kSize / 4][k % 4]);
  }
  return codes;
}

// ---- parts with a scale and an offset

template <int kMax>
class AffineFit {
 public:
  static constexpr int kParts = 8;
  static constexpr int kScaleMax = 63;
  struct Block {
    float d = 0;
    float dmin = 0;
    std::array<int, kParts> scales{};
    std::array<int, kParts> mins{};
    std::array<Levels<32>, kParts> levels{};
    float error = INFINITY;
  };

  explicit AffineFit(const BlockInput& in) {
    for (int j = 0; j < kParts; ++j) {
      parts_[j] = make_part<32>(in, 32 * j, root_mean_square(in.x + 32 * j, 32));
      fitted_[j] = fit_affine<kMax>(parts_[j], false);
    }
  }

  Block run() const {
    float s = 0;
    float m = 0;
    for (const Affine& a : fitted_) {
      s = std::max(s, a.s);
      m = std::max(m, -a.m);
    }
    Block guess;
    guess.d = s / kScaleMax;
    guess.dmin = m / kScaleMax;
    for (int j = 0; j < kParts; ++j) {
      guess.scales[j] = to_scale(fitted_[j].s, guess.d);
      guess.mins[j] = to_scale(-fitted_[j].m, guess.dmin);
    }
    Block best;
    for (int round = 0; round < kRounds; ++round) {
      Block block = choose(guess);
      if (!(block.error < best.error)) break;
      best = block;
      guess = block;
      solve(guess);
    }
    return best;
  }

 private:
  static int to_scale(float v, float unit) {
    if (unit < kScaleMin) return 0;
    return static_cast<int>(std::clamp(std::nearbyint(v / unit), 0.0f, 63.0f));
  }

  Block choose(const Block& guess) const {
    Block block = guess;
    block.d = through_f16(guess.d);
    block.dmin = through_f16(guess.dmin);
    block.error = 0;
    for (int j = 0; j < kParts; ++j) block.error += choose_part(guess, j, block);
    return block;
  }

  float choose_part(const Block& guess, int j, Block& block) const {
    Levels<32> levels;
    float best = INFINITY;
    for (int scale = guess.scales[j] - 1; scale <= guess.scales[j] + 1; ++scale) {
      for (int min = guess.mins[j] - 1; min <= guess.mins[j] + 1; ++min) {
        if (scale < 0 || scale > kScaleMax || min < 0 || min > kScaleMax) continue;
        const Affine a{block.d * static_cast<float>(scale), -block.dmin * static_cast<float>(min)};
        const float error = choose_levels<kMax>(parts_[j], a, levels);
        if (!(error < best)) continue;
        best = error;
        block.scales[j] = scale;
        block.mins[j] = min;
        block.levels[j] = levels;
      }
    }
    return best;
  }

  // d and dmin for the block's codes: x is met by d * (scale * level) - dmin * min.
  void solve(Block& block) const {
    double aa = 0, bb = 0, ab = 0, xa = 0, xb = 0;
    for (int j = 0; j < kParts; ++j) {
      const Moments k = moments(parts_[j], block.levels[j]);
      const double scale = block.scales[j];
      const double min = block.mins[j];
      aa += scale * scale * static_cast<double>(k.ll);
      bb += min * min * static_cast<double>(k.w);
      ab -= scale * min * static_cast<double>(k.l);
      xa += scale * static_cast<double>(k.xl);
      xb -= min * static_cast<double>(k.x);
    }
    const double determinant = aa * bb - ab * ab;
    if (determinant > 1e-9 * aa * bb) {
      block.d = static_cast<float>((bb * xa - ab * xb) / determinant);
      block.dmin = static_cast<float>((aa * xb - ab * xa) / determinant);
    } else if (aa > 0) {
      block.d = static_cast<float>(xa / aa);
    }
    block.d = std::max(block.d, 0.0f);
    block.dmin = std::max(block.dmin, 0.0f);
  }

  std::array<Part<32>, kParts> parts_;
  std::array<Affine, kParts> fitted_;
};

// ---- bit layouts, the inverse of split.cc

// 64 codes become 32 bytes: low nibbles the first 32, high ones the next.
void put_nibbles(const std::uint8_t* codes, int half, std::uint8_t* out) {
  for (int i = 0; i < half; ++i) {
    out[i] = static_cast<std::uint8_t>((codes[i] & 15) | (codes[half + i] & 15) << 4);
  }
}
// Two bits of 128 codes, from bit `shift` on: 32 bytes of four runs of 32.
void put_pairs(const std::uint8_t* codes, int shift, std::uint8_t* out) {
  for (int i = 0; i < 32; ++i) {
    unsigned byte = 0;
    for (int run = 0; run < 4; ++run) byte |= ((codes[32 * run + i] >> shift) & 3u) << (2 * run);
    out[i] = static_cast<std::uint8_t>(byte);
  }
}
// One bit of 256 codes: 32 bytes of eight runs of 32.
void put_bits(const std::uint8_t* codes, int shift, std::uint8_t* out) {
  for (int i = 0; i < 32; ++i) {
    unsigned byte = 0;
    for (int run = 0; run < 8; ++run) byte |= ((codes[32 * run + i] >> shift) & 1u) << run;
    out[i] = static_cast<std::uint8_t>(byte);
  }
}

void put_scales_6(const std::array<int, 8>& scales, const std::array<int, 8>& mins,
                  std::uint8_t* out) {
  for (int b = 0; b < 4; ++b) {
    out[b] = static_cast<std::uint8_t>(scales[b] | (scales[4 + b] >> 4) << 6);
    out[4 + b] = static_cast<std::uint8_t>(mins[b] | (mins[4 + b] >> 4) << 6);
    out[8 + b] = static_cast<std::uint8_t>((scales[4 + b] & 15) | (mins[4 + b] & 15) << 4);
  }
}

template <int kMax, typename Block>
void encode_45_k(const BlockInput& in, std::byte* out) {
  const auto fit = AffineFit<kMax>(in).run();
  Block block;
  block.d = f32_to_f16(fit.d);
  block.dmin = f32_to_f16(fit.dmin);
  put_scales_6(fit.scales, fit.mins, block.scales);
  std::array<std::uint8_t, 256> codes;
  for (int k = 0; k < 256; ++k) {
    codes[k] = static_cast<std::uint8_t>(fit.levels[k / 32][k % 32 / 4][k % 4]);
  }
  for (int c = 0; c < 4; ++c) put_nibbles(codes.data() + 64 * c, 32, block.qs + 32 * c);
  if constexpr (requires { block.qh; }) put_bits(codes.data(), 4, block.qh);
  store_block(block, out);
}

void encode_q6_k(const BlockInput& in, std::byte* out) {
  using Grid = UniformGrid<-32, 31, 17>;
  const auto fit = ScaledFit<Grid, 16, -128, 127>(in).run();
  const auto codes = codes_of<Grid>(fit);
  BlockQ6_K block;
  block.d = f32_to_f16(fit.d);
  for (int h = 0; h < 16; ++h) block.scales[h] = static_cast<std::int8_t>(fit.scales[h]);
  for (int c = 0; c < 2; ++c) {
    put_nibbles(codes.data() + 128 * c, 64, block.ql + 64 * c);
    put_pairs(codes.data() + 128 * c, 4, block.qh + 32 * c);
  }
  store_block(block, out);
}

void encode_q3_k(const BlockInput& in, std::byte* out) {
  using Grid = UniformGrid<-4, 3, 15>;
  const auto fit = ScaledFit<Grid, 16, -32, 31>(in).run();
  const auto codes = codes_of<Grid>(fit);
  BlockQ3_K block{};
  block.d = f32_to_f16(fit.d);
  for (int h = 0; h < 16; ++h) {
    const int scale = fit.scales[h] + 32;
    block.scales[h % 8] |= static_cast<std::uint8_t>((scale & 15) << (4 * (h / 8)));
    block.scales[8 + h % 4] |= static_cast<std::uint8_t>((scale >> 4) << (2 * (h / 4)));
  }
  for (int half = 0; half < 2; ++half)
    put_pairs(codes.data() + 128 * half, 0, block.qs + 32 * half);
  put_bits(codes.data(), 2, block.hmask);
  store_block(block, out);
}

void encode_iq4_xs(const BlockInput& in, std::byte* out) {
  const auto fit = ScaledFit<UnevenGrid, 32, -32, 31>(in).run();
  const auto codes = codes_of<UnevenGrid>(fit);
  BlockIQ4_XS block{};
  block.d = f32_to_f16(fit.d);
  unsigned high = 0;
  for (int b = 0; b < 8; ++b) {
    const int scale = fit.scales[b] + 32;
    block.scales_l[b / 2] |= static_cast<std::uint8_t>((scale & 15) << (4 * (b % 2)));
    high |= static_cast<unsigned>(scale >> 4) << (2 * b);
    put_nibbles(codes.data() + 32 * b, 16, block.qs + 16 * b);
  }
  block.scales_h = static_cast<std::uint16_t>(high);
  store_block(block, out);
}

}  // namespace

EncodeBlock encode_block_256(TensorType type) {
  switch (type) {
    case TensorType::kQ3_K:
      return encode_q3_k;
    case TensorType::kQ4_K:
      return encode_45_k<15, BlockQ4_K>;
    case TensorType::kQ5_K:
      return encode_45_k<31, BlockQ5_K>;
    case TensorType::kQ6_K:
      return encode_q6_k;
    case TensorType::kIQ4_XS:
      return encode_iq4_xs;
    default:
      return nullptr;
  }
}

}  // namespace holdfast::quant
