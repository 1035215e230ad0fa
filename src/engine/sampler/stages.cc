#include "holdfast/sampler/stages.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "holdfast/base/check.h"

namespace holdfast::sampler {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

bool ranks_before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// 2^(j / 32) by Taylor's series, at compile time and so the same everywhere.
constexpr std::array<double, 32> roots_of_two() {
  std::array<double, 32> roots{};
  for (int j = 0; j < 32; ++j) {
    const double x = j * (0x1.62e42fefa39efp-1 / 32);
    double term = 1.0;
    double sum = 0.0;
    double terms[24] = {};
    for (int i = 0; i < 24; ++i) {
      terms[i] = term;
      term *= x / (i + 1);
    }
    for (int i = 23; i >= 0; --i) sum += terms[i];  // small ones first
    roots[static_cast<std::size_t>(j)] = sum;
  }
  return roots;
}
constexpr std::array<double, 32> kRootsOfTwo = roots_of_two();

// See exp_nonpositive(). Inlined into the loops over the vocabulary.
inline double exp_inline(double x) {
  if (!(x > -708.0)) return 0.0;
  // x = (32 e + j) ln(2) / 32 + r with |r| <= ln(2) / 64. ln(2) / 32 in two parts, the first with
  // trailing zeros, so that its multiples are exact. Adding and subtracting 1.5 * 2^52 rounds to an
  // integer.
  constexpr double kLn2By32High = 0x1.62e42fee00000p-6;
  constexpr double kLn2By32Low = 0x1.a39ef35793c76p-38;
  constexpr double kRound = 0x1.8p52;
  const double n = (x * (32.0 * 0x1.71547652b82fep+0) + kRound) - kRound;
  const double r = (x - n * kLn2By32High) - n * kLn2By32Low;
  // Taylor to r^6 / 6!: the rest is below 2^-58.
  const double p =
      r + r * r * (1.0 / 2 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 + r / 720))));
  const auto steps = static_cast<std::int64_t>(n);
  const double root = kRootsOfTwo[static_cast<std::size_t>(steps & 31)];
  const auto exponent = static_cast<std::uint64_t>((steps >> 5) + 1023);
  return (root + root * p) * std::bit_cast<double>(exponent << 52);
}

// Once a bound is found nearly all blocks hold nothing above it, and asking that of a block at once
// is a loop that compilers turn into vector instructions.
constexpr std::size_t kScanBlock = 128;

// A NaN counts as above.
bool any_above(std::span<const float, kScanBlock> block, float bound) {
  int found = 0;
  for (std::size_t i = 0; i < kScanBlock; ++i) found |= static_cast<int>(!(block[i] <= bound));
  return found != 0;
}

// Calls back with the index of each logit above `bound`, which the callback may raise, until it
// says false.
template <typename Visit>
bool for_each_above(std::span<const float> logits, const float& bound, Visit visit) {
  for (std::size_t begin = 0; begin < logits.size(); begin += kScanBlock) {
    const std::size_t end = std::min(begin + kScanBlock, logits.size());
    if (end - begin == kScanBlock && !any_above(logits.subspan(begin).first<kScanBlock>(), bound)) {
      continue;
    }
    for (std::size_t i = begin; i < end; ++i) {
      if (!(logits[i] <= bound) && !visit(i)) return false;
    }
  }
  return true;
}

float largest_logit(std::span<const Candidate> candidates) {
  float largest = kMinusInfinity;
  for (const Candidate& c : candidates) largest = std::max(largest, c.logit);
  return largest;
}

// The shortest prefix, in the order `before`, whose weights reach `mass`. Sorts no more than about
// that prefix: first 64 candidates, then four times as many, and so on.
template <typename Before>
void keep_prefix(std::vector<Candidate>& candidates, double mass, Before before) {
  double sum = 0.0;
  std::size_t sorted = 0;
  for (std::size_t step = 64; sorted < candidates.size(); step *= 4) {
    const auto begin = candidates.begin() + static_cast<std::ptrdiff_t>(sorted);
    const std::size_t n = std::min(step, candidates.size() - sorted);
    const auto end = begin + static_cast<std::ptrdiff_t>(n);
    if (end != candidates.end()) std::nth_element(begin, end, candidates.end(), before);
    std::sort(begin, end, before);
    for (auto it = begin; it != end; ++it) {
      sum += it->weight;
      if (sum >= mass) {
        candidates.erase(it + 1, candidates.end());
        return;
      }
    }
    sorted += n;
  }
}

// Four floats in one register, on every processor: the compilers' own vector type.
using Floats = float __attribute__((vector_size(16)));
using Ints = std::int32_t __attribute__((vector_size(16)));
constexpr std::size_t kLanes = 4;

// exp(x) for x in [-87, 0], relative error below 1e-6 plus what the rounding of x means; 0 or
// nearly so below.
inline Floats exp_estimate(Floats x) {
  constexpr float kRound = 0x1.8p23f;
  const Floats floor = Floats{} - 87.0f;
  const Ints out = x < floor;
  x = out ? floor : x;
  const Floats n = (x * 0x1.715476p+0f + kRound) - kRound;
  const Floats r = (x - n * 0x1.62e400p-1f) - n * 0x1.7f7d1cp-20f;
  // Taylor to r^6 / 6!, |r| <= ln(2) / 2: the rest is below 1.3e-7.
  const Floats p =
      1.0f +
      r * (1.0f +
           r * (1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720))))));
  const Ints exponent = (__builtin_convertvector(n, Ints) + 127) << 23;
  const Floats y = p * std::bit_cast<Floats>(exponent);
  return out ? Floats{} : y;
}

// Sum of the estimated weights of a block.
double estimate_block(const float* logits, float largest, float inverse) {
  Floats sum{};
  for (std::size_t i = 0; i < kScanBlock; i += kLanes) {
    Floats x;
    std::memcpy(&x, logits + i, sizeof x);
    sum += exp_estimate((x - largest) * inverse);
  }
  return (static_cast<double>(sum[0]) + static_cast<double>(sum[1])) +
         (static_cast<double>(sum[2]) + static_cast<double>(sum[3]));
}

// What draw_exactly() would choose, from weights in single precision; -1 where these leave it open.
//
// An estimated weight exp(x) is off by the rounding of x, at most three roundings of 87, so 1.6e-5,
// by the estimate, 1e-6, and by the sum of a block, 32 roundings, 2e-6: together less than kError.
// A token is certain if the target lies between the sums before and after it by more than the
// errors of the sum and of the target. Weights below e^-87 are nothing beside the largest, which
// is 1.
std::int32_t draw_by_estimate(std::span<const float> logits, float largest, double temperature,
                              double uniform) {
  constexpr double kError = 3e-5;
  // Others would leave the range of a float.
  if (!(temperature > 1e-3 && temperature < 1e3)) return -1;
  const auto inverse = static_cast<float>(1.0 / temperature);
  const std::size_t blocks = logits.size() / kScanBlock;
  const std::size_t rest = blocks * kScanBlock;
  std::vector<double> sums;
  sums.reserve(blocks + 1);
  double total = 0.0;
  for (std::size_t b = 0; b < blocks; ++b) {
    sums.push_back(estimate_block(logits.data() + b * kScanBlock, largest, inverse));
    total += sums.back();
  }
  sums.push_back(total_weight(logits.subspan(rest), largest, temperature));
  total += sums.back();
  const double target = uniform * total;
  double before = 0.0;
  std::size_t block = 0;
  while (block + 1 < sums.size() && before + sums[block] <= target) before += sums[block++];
  const std::size_t end = std::min((block + 1) * kScanBlock, logits.size());
  for (std::size_t i = block * kScanBlock; i < end; ++i) {
    const double after = before + total_weight(logits.subspan(i, 1), largest, temperature);
    if (after > target) {
      const double margin = kError * (target + total * 0x1p-40);
      const bool certain = before + 2 * margin <= target && after - 2 * margin > target;
      return certain || (before == 0.0 && block == 0 && after - 2 * margin > target)
                 ? static_cast<std::int32_t>(i)
                 : -1;
    }
    before = after;
  }
  return -1;
}

std::int32_t draw_exactly(std::span<const float> logits, float largest, double temperature,
                          double uniform) {
  // Sums of blocks are enough to find the block of the token, whose weights are then computed
  // again: no list of weights as long as the vocabulary is kept.
  constexpr std::size_t kBlock = 4096;
  std::vector<double> sums;
  double total = 0.0;
  std::size_t last = 0;  // the last block with a token that can be drawn
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const auto block = logits.subspan(begin, std::min(kBlock, logits.size() - begin));
    const double sum = total_weight(block, largest, temperature);
    if (sum > 0.0) last = sums.size();
    sums.push_back(sum);
    total += sum;
  }
  double target = uniform * total;
  std::size_t block = 0;
  while (block < last && target >= sums[block]) target -= sums[block++];
  std::int32_t token = 0;
  double sum = 0.0;
  for (std::size_t i = block * kBlock; i < logits.size() && !(sum > target); ++i) {
    const double w = total_weight(logits.subspan(i, 1), largest, temperature);
    // Where rounding left the target above the sum, the last token with a weight stands in.
    if (w == 0.0) continue;
    token = static_cast<std::int32_t>(i);
    sum += w;
  }
  return token;
}

}  // namespace

double exp_nonpositive(double x) { return exp_inline(x); }

float penalized(float logit, std::int32_t count, const Penalties& penalties) {
  logit = logit > 0.0f ? logit / penalties.repeat : logit * penalties.repeat;
  return logit - (static_cast<float>(count) * penalties.frequency + penalties.presence);
}

Result<std::vector<Candidate>> best_candidates(std::span<const float> logits, std::size_t k) {
  std::vector<Candidate> best;
  if (k == 0) return best;
  k = std::min(k, logits.size());
  // Twice as many as wanted are collected before the worse half is dropped, so a drop is paid for
  // by k insertions.
  const std::size_t capacity = std::max<std::size_t>(2 * k, 64);
  best.reserve(std::min(capacity, logits.size()));
  const auto drop_worse = [&best, k] {
    std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(k - 1), best.end(),
                     ranks_before);
    best.resize(k, Candidate{});
    return best.back().logit;
  };
  float bound =
      kMinusInfinity;  // what is not above it cannot be among the best: k earlier ones are as good
  const bool finite = for_each_above(logits, bound, [&](std::size_t i) {
    if (!(logits[i] < std::numeric_limits<float>::infinity())) return false;
    best.push_back({logits[i], static_cast<std::int32_t>(i)});
    if (best.size() == capacity) bound = drop_worse();
    return true;
  });
  if (!finite) return corrupt("the model produced a logit that is no finite number");
  if (best.size() > k) drop_worse();
  std::sort(best.begin(), best.end(), ranks_before);
  return best;
}

std::vector<Candidate> candidates_from(std::span<const float> logits, double bound) {
  // The largest float below the bound: what is above the one is at or above the other.
  auto below = static_cast<float>(bound);
  if (static_cast<double>(below) >= bound) below = std::nextafter(below, kMinusInfinity);
  std::vector<Candidate> candidates;
  for_each_above(logits, below, [&](std::size_t i) {
    candidates.push_back({logits[i], static_cast<std::int32_t>(i)});
    return true;
  });
  return candidates;
}

void set_weights(std::vector<Candidate>& candidates) {
  const double largest = largest_logit(candidates);
  for (Candidate& c : candidates) {
    c.weight = exp_inline(static_cast<double>(c.logit) - largest);
  }
}

double total_weight(std::span<const Candidate> candidates) {
  double sum = 0.0;
  for (const Candidate& c : candidates) sum += c.weight;
  return sum;
}

double total_weight(std::span<const float> logits, float largest, double temperature) {
  const double inverse = 1.0 / temperature;
  double sum = 0.0;
  for (const float logit : logits) {
    sum += exp_inline((static_cast<double>(logit) - static_cast<double>(largest)) * inverse);
  }
  return sum;
}

void keep_typical(std::vector<Candidate>& candidates, double p) {
  if (candidates.empty()) return;
  set_weights(candidates);
  const double total = total_weight(candidates);
  const double log_norm = static_cast<double>(largest_logit(candidates)) + std::log(total);
  double entropy = 0.0;
  for (const Candidate& c : candidates) {
    entropy += c.weight / total * (log_norm - static_cast<double>(c.logit));
  }
  const auto distance = [=](const Candidate& c) {
    return std::abs(log_norm - static_cast<double>(c.logit) - entropy);
  };
  keep_prefix(candidates, p * total, [&](const Candidate& a, const Candidate& b) {
    const double da = distance(a);
    const double db = distance(b);
    return da != db ? da < db : ranks_before(a, b);
  });
  std::sort(candidates.begin(), candidates.end(), ranks_before);
}

void keep_top_p(std::vector<Candidate>& candidates, double p, double total) {
  set_weights(candidates);
  keep_prefix(candidates, p * total, ranks_before);
}

void keep_min_p(std::vector<Candidate>& candidates, double min_p) {
  set_weights(candidates);
  std::erase_if(candidates, [min_p](const Candidate& c) { return c.weight < min_p; });
  std::sort(candidates.begin(), candidates.end(), ranks_before);
}

std::int32_t draw(std::span<const Candidate> candidates, double temperature, double uniform) {
  HF_CHECK(!candidates.empty());
  const double largest = largest_logit(candidates);
  const double inverse = 1.0 / temperature;
  const auto weight = [=](const Candidate& c) {
    return exp_inline((static_cast<double>(c.logit) - largest) * inverse);
  };
  double total = 0.0;
  for (const Candidate& c : candidates) total += weight(c);
  const double target = uniform * total;
  double sum = 0.0;
  std::int32_t token = candidates.front().token;
  for (const Candidate& c : candidates) {
    const double w = weight(c);
    if (w == 0.0) continue;
    token = c.token;
    sum += w;
    if (sum > target) break;
  }
  return token;
}

std::int32_t draw_from_all(std::span<const float> logits, float largest, double temperature,
                           double uniform) {
  const std::int32_t token = draw_by_estimate(logits, largest, temperature, uniform);
  return token >= 0 ? token : draw_exactly(logits, largest, temperature, uniform);
}

}  // namespace holdfast::sampler
