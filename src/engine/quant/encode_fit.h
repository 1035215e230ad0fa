// The searches behind the encoder: scales that make the weighted squared error of a part small.
//
// A part is 16 or 32 consecutive weights x with a weight w for each one's error. Its codes stand
// for levels l, and a scale s (and for affine parts an offset m) turns them into s * l + m. For
// given levels the best s and m are a least-squares problem with a closed form; for given s and m
// the best levels are the nearest. So: round with a range of scales, solve for each, keep the best,
// and alternate the two steps from there as long as the error falls.
//
// Vectors are four lanes on every machine and sums keep one order, so the bytes are the same
// everywhere.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>

#include "holdfast/quant/packed_blocks.h"

namespace holdfast::quant {

using F4 = float __attribute__((vector_size(16)));

inline F4 splat(float v) { return F4{v, v, v, v}; }
inline F4 min4(F4 a, F4 b) { return a < b ? a : b; }
inline F4 max4(F4 a, F4 b) { return a > b ? a : b; }
inline float sum4(F4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }
// To the nearest integer, ties to even, for |v| < 2^22: adding 1.5 * 2^23 leaves no bits below 1.
inline F4 round4(F4 v) {
  const F4 shift = splat(12582912.0f);
  return (v + shift) - shift;
}

// A scale below this would make its reciprocal infinite; no 16-bit scale is that small.
constexpr float kScaleMin = 1e-30f;

template <int kN>
struct Part {
  static constexpr int kVectors = kN / 4;
  std::array<F4, kN / 4> x;
  std::array<F4, kN / 4> w;
};
template <int kN>
using Levels = std::array<F4, kN / 4>;

// Codes that are integers from kLow to kHigh.
template <int kLow, int kHigh, int kSteps>
struct UniformGrid {
  // The largest weight is tried at levels from a little inside the grid to a little beyond it,
  // where clipping one weight lets the others lie closer.
  static constexpr float kReachMin = 0.72f * -kLow;
  static constexpr float kReachMax = 1.22f * -kLow;
  static constexpr int kReachSteps = kSteps;
  static F4 nearest(F4 v) {
    return round4(max4(min4(v, splat(static_cast<float>(kHigh))), splat(static_cast<float>(kLow))));
  }
  static std::uint8_t code(float level) {
    return static_cast<std::uint8_t>(static_cast<int>(level) - kLow);
  }
};

// The sixteen uneven levels of IQ4_NL and IQ4_XS.
struct UnevenGrid {
  static constexpr float kReachMin = 92.0f;
  static constexpr float kReachMax = 148.0f;
  static constexpr int kReachSteps = 15;
  // The level nearest to each multiple of a half from -128 on: a table is twice as fast as fifteen
  // comparisons. A value within a quarter of the middle between two levels may get either.
  static constexpr int kTableSize = 512;
  static constexpr std::array<float, kTableSize> kTable = [] {
    std::array<float, kTableSize> table{};
    for (int i = 0; i < kTableSize; ++i) {
      int best = kNl4Values[0];
      for (const int level : kNl4Values) {
        const int distance = 2 * level - (i - 256);
        const int least = 2 * best - (i - 256);
        if (distance * distance < least * least) best = level;
      }
      table[i] = static_cast<float>(best);
    }
    return table;
  }();
  static F4 nearest(F4 v) {
    const F4 at = max4(min4(v * splat(2.0f), splat(255.0f)), splat(-256.0f)) + splat(256.5f);
    return F4{kTable[static_cast<std::size_t>(at[0])], kTable[static_cast<std::size_t>(at[1])],
              kTable[static_cast<std::size_t>(at[2])], kTable[static_cast<std::size_t>(at[3])]};
  }
  static std::uint8_t code(float level) {
    const auto* found = std::find(std::begin(kNl4Values), std::end(kNl4Values), level);
    return static_cast<std::uint8_t>(found - std::begin(kNl4Values));
  }
};

// Sum of w (x - s l)^2.
template <int kN>
float error_of(const Part<kN>& part, float s, const Levels<kN>& levels) {
  F4 sum = splat(0.0f);
  for (int i = 0; i < Part<kN>::kVectors; ++i) {
    const F4 e = part.x[i] - splat(s) * levels[i];
    sum += part.w[i] * e * e;
  }
  return sum4(sum);
}

template <typename Grid, int kN>
void round_to_grid(const Part<kN>& part, float inverse, Levels<kN>& levels) {
  for (int i = 0; i < Part<kN>::kVectors; ++i) {
    levels[i] = Grid::nearest(part.x[i] * splat(inverse));
  }
}

// The levels nearest to x / s, and their error.
template <typename Grid, int kN>
float choose_levels(const Part<kN>& part, float s, Levels<kN>& levels) {
  round_to_grid<Grid>(part, std::abs(s) < kScaleMin ? 0.0f : 1.0f / s, levels);
  return error_of(part, s, levels);
}

// The s that is best for given levels; 0 where all levels are 0.
template <int kN>
float best_scale(const Part<kN>& part, const Levels<kN>& levels) {
  F4 xl = splat(0.0f);
  F4 ll = splat(0.0f);
  for (int i = 0; i < Part<kN>::kVectors; ++i) {
    const F4 wl = part.w[i] * levels[i];
    xl += wl * part.x[i];
    ll += wl * levels[i];
  }
  const float squares = sum4(ll);
  return squares > 0 ? sum4(xl) / squares : 0.0f;
}

template <int kN>
float largest_magnitude(const Part<kN>& part) {
  F4 largest = splat(0.0f);
  for (const F4& v : part.x) largest = max4(largest, max4(v, -v));
  return std::max(std::max(largest[0], largest[1]), std::max(largest[2], largest[3]));
}

// The s with the smallest error that the search finds, of either sign; 0 for a part of zeros.
template <typename Grid, int kN>
float fit_scale(const Part<kN>& part) {
  const float largest = largest_magnitude(part);
  if (largest < kScaleMin) return 0.0f;
  Levels<kN> levels;
  float best = 0.0f;
  float best_error = error_of(part, 0.0f, Levels<kN>{});
  const auto consider = [&](float inverse) {
    round_to_grid<Grid>(part, inverse, levels);
    const float s = best_scale(part, levels);
    const float error = error_of(part, s, levels);
    if (!(error < best_error)) return false;
    best_error = error;
    best = s;
    return true;
  };
  constexpr float kStep = (Grid::kReachMax - Grid::kReachMin) / (Grid::kReachSteps - 1);
  for (int i = 0; i < Grid::kReachSteps; ++i) {
    const float reach = Grid::kReachMin + kStep * static_cast<float>(i);
    consider(reach / largest);
    consider(-reach / largest);
  }
  // Each round that helps moves a level; three find nearly all there is.
  for (int i = 0; i < 3 && std::abs(best) >= kScaleMin; ++i) {
    if (!consider(1.0f / best)) break;
  }
  return best;
}

struct Affine {
  float s = 0;
  float m = 0;
};

template <int kN>
float error_of(const Part<kN>& part, Affine a, const Levels<kN>& levels) {
  F4 sum = splat(0.0f);
  for (int i = 0; i < Part<kN>::kVectors; ++i) {
    const F4 e = part.x[i] - (splat(a.s) * levels[i] + splat(a.m));
    sum += part.w[i] * e * e;
  }
  return sum4(sum);
}

// Integers 0..kMax nearest to (x - m) * inverse.
template <int kMax, int kN>
void round_affine(const Part<kN>& part, float inverse, float m, Levels<kN>& levels) {
  for (int i = 0; i < Part<kN>::kVectors; ++i) {
    const F4 v = (part.x[i] - splat(m)) * splat(inverse);
    levels[i] = round4(max4(min4(v, splat(static_cast<float>(kMax))), splat(0.0f)));
  }
}

template <int kMax, int kN>
float choose_levels(const Part<kN>& part, Affine a, Levels<kN>& levels) {
  round_affine<kMax>(part, std::abs(a.s) < kScaleMin ? 0.0f : 1.0f / a.s, a.m, levels);
  return error_of(part, a, levels);
}

// The sums that least squares needs.
struct Moments {
  float w = 0, x = 0, l = 0, xl = 0, ll = 0;
};
template <int kN>
Moments moments(const Part<kN>& part, const Levels<kN>& levels) {
  F4 w = splat(0.0f), x = w, l = w, xl = w, ll = w;
  for (int i = 0; i < Part<kN>::kVectors; ++i) {
    const F4 wl = part.w[i] * levels[i];
    w += part.w[i];
    x += part.w[i] * part.x[i];
    l += wl;
    xl += wl * part.x[i];
    ll += wl * levels[i];
  }
  return {sum4(w), sum4(x), sum4(l), sum4(xl), sum4(ll)};
}

// The s and m that are best for given levels; m at most 0 where the format cannot hold more.
inline Affine best_affine(const Moments& k, bool m_above_zero) {
  const float determinant = k.w * k.ll - k.l * k.l;
  if (!(determinant > 0)) {  // all levels are the same
    const float mean = k.w > 0 ? k.x / k.w : 0.0f;
    if (mean <= 0 || m_above_zero) return {0.0f, mean};
    return {k.ll > 0 ? k.xl / k.ll : 0.0f, 0.0f};
  }
  Affine a{(k.w * k.xl - k.x * k.l) / determinant, (k.ll * k.x - k.l * k.xl) / determinant};
  if (a.m > 0 && !m_above_zero) a = {k.ll > 0 ? k.xl / k.ll : 0.0f, 0.0f};
  return a;
}

template <int kN>
std::pair<float, float> extremes(const Part<kN>& part) {
  F4 low = part.x[0];
  F4 high = part.x[0];
  for (const F4& v : part.x) {
    low = min4(low, v);
    high = max4(high, v);
  }
  return {std::min(std::min(low[0], low[1]), std::min(low[2], low[3])),
          std::max(std::max(high[0], high[1]), std::max(high[2], high[3]))};
}

// As fit_scale, for levels 0..kMax with an offset.
template <int kMax, int kN>
Affine fit_affine(const Part<kN>& part, bool m_above_zero) {
  auto [low, high] = extremes(part);
  if (!m_above_zero) low = std::min(low, 0.0f);
  if (high - low < kScaleMin) return {0.0f, low};
  Levels<kN> levels;
  Affine best{0.0f, low};
  float best_error = INFINITY;
  const auto consider = [&](float inverse, float m) {
    round_affine<kMax>(part, inverse, m, levels);
    const Affine a = best_affine(moments(part, levels), m_above_zero);
    const float error = error_of(part, a, levels);
    if (!(error < best_error) || !(a.s >= 0)) return false;
    best_error = error;
    best = a;
    return true;
  };
  // The range itself: finds the levels of a part that was quantised this way before.
  consider(kMax / (high - low), low);
  // From a grid a little too coarse to one too fine for the part's range, whose ends it then clips.
  constexpr int kSteps = 18;
  constexpr float kFrom = kMax - 0.12f * kMax;
  constexpr float kTo = kMax + 0.18f * kMax;
  for (int i = 0; i < kSteps; ++i) {
    const float span = kFrom + (kTo - kFrom) * static_cast<float>(i) / (kSteps - 1);
    consider(span / (high - low), low);
    // The same grid with the clipping shared between both ends.
    if (span > kMax && low < 0) {
      consider(span / (high - low), low + (span - kMax) / 2 * (high - low) / span);
    }
  }
  for (int i = 0; i < 4 && best.s >= kScaleMin; ++i) {
    if (!consider(1.0f / best.s, best.m)) break;
  }
  return best;
}

}  // namespace holdfast::quant
