// Oracle: each stage against its defining formula, evaluated the slow way over a fully sorted list
// in long double.
#include "holdfast/sampler/stages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <tuple>

namespace holdfast::sampler {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Logits with ties: rounded to eighths.
std::vector<float> some_logits(std::size_t n, unsigned seed, float spread) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = std::round(normal(random) * 8.0f) / 8.0f;
  return logits;
}

std::vector<Candidate> as_candidates(const std::vector<float>& logits) {
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    candidates.push_back({logits[i], static_cast<std::int32_t>(i)});
  }
  return candidates;
}

std::vector<std::int32_t> tokens_of(const std::vector<Candidate>& candidates) {
  std::vector<std::int32_t> tokens;
  for (const Candidate& c : candidates) tokens.push_back(c.token);
  return tokens;
}

std::vector<std::int32_t> ranked(const std::vector<float>& logits) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](std::int32_t t) {
    return std::pair(-logits[static_cast<std::size_t>(t)], t);
  });
  return order;
}

std::vector<long double> softmax(const std::vector<float>& logits) {
  const long double largest = *std::ranges::max_element(logits);
  std::vector<long double> p;
  for (float logit : logits) p.push_back(std::exp(logit - largest));
  const long double sum = std::accumulate(p.begin(), p.end(), 0.0L);
  for (long double& x : p) x /= sum;
  return p;
}

// The shortest prefix of `order` with mass >= p; `unclear` where rounding could decide.
std::size_t prefix_with_mass(const std::vector<std::int32_t>& order,
                             const std::vector<long double>& p, long double mass, bool& unclear) {
  long double sum = 0.0L;
  unclear = false;
  for (std::size_t i = 0; i < order.size(); ++i) {
    sum += p[static_cast<std::size_t>(order[i])];
    unclear |= std::abs(sum - mass) < 1e-12L;
    if (sum >= mass) return i + 1;
  }
  return order.size();
}

TEST(Exp, IsCloseToTheLibrarys) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-12.0, 9.4);
  for (int i = 0; i < 200000; ++i) {
    const double x = -std::exp2(exponent(random));
    const long double expected = std::exp(static_cast<long double>(x));
    ASSERT_NEAR(static_cast<double>(exp_nonpositive(x) / expected), 1.0, 1e-15) << x;
  }
  EXPECT_EQ(exp_nonpositive(0.0), 1.0);
  EXPECT_EQ(exp_nonpositive(-708.5), 0.0);
  EXPECT_EQ(exp_nonpositive(-std::numeric_limits<double>::infinity()), 0.0);
}

TEST(BestCandidates, AreTheFirstOfTheSortedList) {
  for (std::size_t n : {1, 2, 63, 64, 65, 500, 3000}) {
    const std::vector<float> logits = some_logits(n, static_cast<unsigned>(n), 2.0f);
    const std::vector<std::int32_t> order = ranked(logits);
    for (std::size_t k : {1, 2, 5, 40, 100, 499, 5000}) {
      const auto best = best_candidates(logits, k).value();
      const std::vector<std::int32_t> expected(
          order.begin(), order.begin() + static_cast<std::ptrdiff_t>(std::min(k, n)));
      ASSERT_EQ(tokens_of(best), expected) << n << " " << k;
    }
  }
}

TEST(BestCandidates, EqualLogitsRankById) {
  const std::vector<float> logits(1000, 0.5f);
  EXPECT_EQ(tokens_of(best_candidates(logits, 3).value()), (std::vector<std::int32_t>{0, 1, 2}));
}

TEST(BestCandidates, RefusesWhatIsNoNumber) {
  for (float bad : {std::nanf(""), -std::nanf(""), kInfinity}) {
    for (std::size_t at : {0, 500, 999}) {
      std::vector<float> logits = some_logits(1000, 1, 2.0f);
      logits[at] = bad;
      for (std::size_t k : {1, 40, 1000}) {
        EXPECT_EQ(best_candidates(logits, k).error().code(), ErrorCode::kCorrupt) << at;
      }
    }
  }
}

TEST(BestCandidates, MinusInfinityIsNoCandidate) {
  EXPECT_TRUE(best_candidates(std::vector<float>(100, -kInfinity), 5).value().empty());
  std::vector<float> logits(100, -kInfinity);
  logits[70] = -1e30f;
  EXPECT_EQ(tokens_of(best_candidates(logits, 5).value()), std::vector<std::int32_t>{70});
}

// Lengths around whole blocks, and bounds at, just above and just below a logit.
TEST(CandidatesFrom, AreThoseOfTheBoundOrMore) {
  for (const std::size_t n : {1u, 127u, 128u, 129u, 1000u}) {
    std::vector<float> logits = some_logits(n, static_cast<unsigned>(n), 3.0f);
    logits[n / 2] = -kInfinity;
    const double any = logits.front();
    for (const double bound : {-HUGE_VAL, -100.0, any, std::nextafter(any, 100.0),
                               std::nextafter(any, -100.0), 0.1, 2.0, 1000.0}) {
      std::vector<std::int32_t> expected;
      for (std::size_t i = 0; i < n; ++i) {
        if (static_cast<double>(logits[i]) >= bound && logits[i] != -kInfinity)
          expected.push_back(static_cast<std::int32_t>(i));
      }
      EXPECT_EQ(tokens_of(candidates_from(logits, bound)), expected) << n << " " << bound;
    }
  }
}

TEST(TopP, KeepsTheNucleus) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    const std::size_t n = 1 + seed * 7 % 900;
    const std::vector<float> logits = some_logits(n, seed, 0.5f + static_cast<float>(seed % 5));
    const std::vector<std::int32_t> order = ranked(logits);
    for (double p : {0.0, 0.1, 0.5, 0.9, 0.999}) {
      bool unclear = false;
      const std::size_t count = prefix_with_mass(order, softmax(logits), p, unclear);
      if (unclear) continue;
      std::vector<Candidate> kept = as_candidates(logits);
      set_weights(kept);
      keep_top_p(kept, p, total_weight(kept));
      ASSERT_EQ(tokens_of(kept), std::vector<std::int32_t>(order.begin(), order.begin() + count))
          << seed << " " << p;
    }
  }
}

TEST(MinP, KeepsWhatIsLikelyEnough) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    const std::vector<float> logits = some_logits(200, seed, 2.0f);
    const std::vector<long double> p = softmax(logits);
    const long double best = *std::ranges::max_element(p);
    for (double min_p : {0.0, 0.03, 0.3, 1.0}) {
      std::vector<std::int32_t> expected;
      for (std::int32_t token : ranked(logits)) {
        if (p[static_cast<std::size_t>(token)] >= min_p * best * (1 - 1e-12L)) {
          expected.push_back(token);
        }
      }
      std::vector<Candidate> kept = as_candidates(logits);
      keep_min_p(kept, min_p);
      ASSERT_EQ(tokens_of(kept), expected) << seed << " " << min_p;
    }
  }
}

TEST(Typical, KeepsWhatSurprisesAsMuchAsTheEntropy) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    const std::vector<float> logits = some_logits(1 + seed * 5 % 400, seed, 1.5f);
    const std::vector<long double> p = softmax(logits);
    long double entropy = 0.0L;
    for (long double x : p) entropy -= x * std::log(x);
    std::vector<std::int32_t> order = ranked(logits);
    const auto distance = [&](std::int32_t t) {
      return std::abs(-std::log(p[static_cast<std::size_t>(t)]) - entropy);
    };
    std::ranges::sort(order, {}, [&](std::int32_t t) {
      return std::tuple(distance(t), -logits[static_cast<std::size_t>(t)], t);
    });
    for (double mass : {0.2, 0.7, 0.95}) {
      bool unclear = false;
      const std::size_t count = prefix_with_mass(order, p, mass, unclear);
      if (unclear) continue;
      std::vector<std::int32_t> expected(order.begin(), order.begin() + count);
      std::vector<Candidate> kept = as_candidates(logits);
      keep_typical(kept, mass);
      std::vector<std::int32_t> got = tokens_of(kept);
      EXPECT_TRUE(std::ranges::is_sorted(kept, [](const Candidate& a, const Candidate& b) {
        return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
      }));
      std::ranges::sort(expected);
      std::ranges::sort(got);
      ASSERT_EQ(got, expected) << seed << " " << mass;
    }
  }
}

TEST(Penalty, IsTheFormula) {
  const Penalties penalties{.repeat = 1.5f, .presence = 0.25f, .frequency = 0.5f};
  EXPECT_EQ(penalized(3.0f, 2, penalties), 3.0f / 1.5f - 2 * 0.5f - 0.25f);
  EXPECT_EQ(penalized(-3.0f, 1, penalties), -3.0f * 1.5f - 0.5f - 0.25f);
  EXPECT_EQ(penalized(0.0f, 1, Penalties{.repeat = 2.0f}), 0.0f);
  EXPECT_EQ(penalized(-kInfinity, 1, penalties), -kInfinity);
  EXPECT_FALSE(Penalties{}.active());
}

// The token whose interval of cumulated probability holds the number, for both ways of drawing.
TEST(Draw, InvertsTheDistribution) {
  for (std::size_t n : {1, 3, 4096, 4097, 20000}) {
    std::vector<float> logits = some_logits(n, static_cast<unsigned>(n), 2.0f);
    for (std::size_t i = 1; i < n; i += 3) logits[i] = -kInfinity;
    const float largest = *std::ranges::max_element(logits);
    const double temperature = 0.7;
    const std::vector<Candidate> candidates = as_candidates(logits);
    long double total = 0.0L;
    for (float logit : logits)
      total += std::exp((static_cast<long double>(logit) - largest) / temperature);
    for (double uniform : {0.0, 1e-9, 0.25, 0.5, 0.9, 0.999999, 1.0 - 0x1p-53}) {
      long double sum = 0.0L;
      std::int32_t expected = -1;
      for (std::size_t i = 0; i < n; ++i) {
        const long double w =
            std::exp((static_cast<long double>(logits[i]) - largest) / temperature);
        if (w == 0.0L) continue;
        expected = static_cast<std::int32_t>(i);
        sum += w;
        if (sum > uniform * total + 1e-13L * total) break;
      }
      if (uniform < 1.0 - 0x1p-53) {
        EXPECT_EQ(draw(candidates, temperature, uniform), expected) << n << " " << uniform;
        EXPECT_EQ(draw_from_all(logits, largest, temperature, uniform), expected)
            << n << " " << uniform;
      } else {
        EXPECT_NE(logits[static_cast<std::size_t>(draw(candidates, temperature, uniform))],
                  -kInfinity);
        EXPECT_NE(
            logits[static_cast<std::size_t>(draw_from_all(logits, largest, temperature, uniform))],
            -kInfinity);
      }
    }
  }
}

// The largest uniform number may meet a total that rounding made equal to the target: what cannot
// be drawn is not drawn.
// The draw over all logits estimates first. Targets on both sides of a border between tokens, close
// enough that the estimate cannot tell, and targets anywhere.
TEST(Draw, FromAllIsTheDrawFromTheListOfAll) {
  std::mt19937 random(1);
  for (const double temperature : {0.05, 0.3, 1.0, 3.0, 2000.0}) {
    for (const std::size_t n : {1u, 127u, 128u, 5000u, 30000u}) {
      std::vector<float> logits = some_logits(n, static_cast<unsigned>(n), 6.0f);
      for (std::size_t i = 0; i < n; i += 7)
        logits[i] -= 200.0f;  // weights that a float cannot hold
      const float largest = *std::ranges::max_element(logits);
      const std::vector<Candidate> all = as_candidates(logits);
      std::vector<double> uniforms = {0.0, 1e-300, 1e-17, 1e-9};
      for (int i = 0; i < 60; ++i)
        uniforms.push_back(std::uniform_real_distribution<double>(0.0, 1.0)(random));
      const double total = total_weight(logits, largest, temperature);
      for (int i = 0; i < 30; ++i) {
        const std::size_t at = random() % n;
        const double border =
            total_weight(std::span(logits).first(at), largest, temperature) / total;
        for (const double off : {-1e-5, -1e-8, -1e-11, 1e-11, 1e-8, 1e-5})
          uniforms.push_back(std::clamp(border * (1 + off), 0.0, 0.999999));
      }
      for (const double uniform : uniforms) {
        ASSERT_EQ(draw_from_all(logits, largest, temperature, uniform),
                  draw(all, temperature, uniform))
            << n << " " << temperature << " " << uniform;
      }
    }
  }
}

TEST(Draw, NeverTakesWhatHasNoWeight) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    std::vector<float> logits = some_logits(20 * 4096, seed, 2.0f);
    std::fill(logits.begin() + 65000, logits.end(), -kInfinity);
    const float largest = *std::ranges::max_element(logits);
    const double uniform = 1.0 - 0x1p-53;
    for (const std::int32_t token : {draw_from_all(logits, largest, 1.0, uniform),
                                     draw(as_candidates(logits), 1.0, uniform)}) {
      EXPECT_LT(token, 65000) << seed;
      EXPECT_GT(token, 64900) << seed;
    }
  }
}

}  // namespace
}  // namespace holdfast::sampler
