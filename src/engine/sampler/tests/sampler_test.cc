// Oracle: direct formulas; a chi-square test of the whole; invariants (alone equals in company,
// same call same answer).
#include "holdfast/sampler/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "holdfast/sampler/philox.h"

namespace holdfast::sampler {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> some_logits(std::size_t n, unsigned seed, float spread = 2.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits(n);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

Sample sample_once(Sampler& sampler, std::vector<float> logits, std::uint64_t position,
                   const SampleWants& wants = {}) {
  std::vector<float> scratch;
  return sampler.sample(logits, position, wants, scratch).value();
}

Sampler make(SamplingParams params, std::size_t vocab_size) {
  return Sampler::create(std::move(params), vocab_size).value();
}

// ---- greedy

TEST(Greedy, TakesTheLargestAndTheLowestIdAmongEquals) {
  Sampler sampler = make({.temperature = 0.0f}, 5);
  const Sample s = sample_once(sampler, {1.0f, 4.0f, 2.5f, 4.0f, 0.0f}, 0);
  EXPECT_EQ(s.token, 1);
  EXPECT_EQ(s.margin, 0.0f);
  EXPECT_EQ(sample_once(sampler, {1.0f, 4.0f, 2.5f, 3.5f, 0.0f}, 0).margin, 0.5f);
  EXPECT_EQ(sample_once(sampler, {1.0f, -kInfinity, -kInfinity, -kInfinity, -kInfinity}, 0).margin,
            kInfinity);
}

TEST(Greedy, IgnoresSeedPositionAndTruncation) {
  const std::vector<float> logits = some_logits(300, 4);
  const auto best = std::ranges::max_element(logits) - logits.begin();
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Sampler sampler = make({.temperature = 0.0f, .top_k = 5, .typical_p = 0.2f, .seed = seed}, 300);
    EXPECT_EQ(sample_once(sampler, logits, seed).token, best);
  }
}

// ---- the whole, by chi-square

// The probabilities that the documented order of stages gives, worked out on a sorted list.
struct Rank {
  std::size_t token;
  double logit;
};
std::vector<double> expected_distribution(const std::vector<float>& logits,
                                          const SamplingParams& p) {
  std::vector<Rank> ranks;
  for (std::size_t i = 0; i < logits.size(); ++i) ranks.push_back({i, logits[i]});
  const auto by_rank = [](const Rank& r) { return std::pair(-r.logit, r.token); };
  std::ranges::sort(ranks, {}, by_rank);
  const auto weight = [](const Rank& r) { return std::exp(r.logit); };
  const auto total = [&] {
    double sum = 0.0;
    for (const Rank& r : ranks) sum += weight(r);
    return sum;
  };
  const auto keep_mass = [&](double mass) {
    double sum = 0.0;
    std::size_t n = 0;
    const double enough = mass * total();
    while (n < ranks.size() && sum < enough) sum += weight(ranks[n++]);
    ranks.resize(std::max<std::size_t>(n, 1));
  };
  if (p.top_k > 0) ranks.resize(std::min<std::size_t>(ranks.size(), p.top_k));
  if (p.typical_p < 1.0f) {
    const double z = total();
    double entropy = 0.0;
    for (const Rank& r : ranks) entropy -= weight(r) / z * std::log(weight(r) / z);
    std::ranges::sort(ranks, {},
                      [&](const Rank& r) { return std::abs(-std::log(weight(r) / z) - entropy); });
    keep_mass(p.typical_p);
    std::ranges::sort(ranks, {}, by_rank);
  }
  if (p.top_p < 1.0f) keep_mass(p.top_p);
  if (p.min_p > 0.0f) {
    const double least = p.min_p * weight(ranks.front());
    std::erase_if(ranks, [&](const Rank& r) { return weight(r) < least; });
  }
  std::vector<double> distribution(logits.size(), 0.0);
  double sum = 0.0;
  for (const Rank& r : ranks) sum += std::exp(r.logit / p.temperature);
  for (const Rank& r : ranks) distribution[r.token] = std::exp(r.logit / p.temperature) / sum;
  return distribution;
}

// Chi-square of `draws` draws at consecutive positions, in standard deviations above its mean
// (Wilson and Hilferty). Infinite if a token was drawn that cannot be. Tokens with fewer than 5
// expected draws count as one.
double chi_square_sigmas(const std::vector<float>& logits, const SamplingParams& sampled,
                         const std::vector<double>& expected, std::uint64_t draws) {
  Sampler sampler = make(sampled, logits.size());
  std::vector<double> seen(logits.size(), 0.0);
  for (std::uint64_t position = 0; position < draws; ++position) {
    ++seen[static_cast<std::size_t>(sample_once(sampler, logits, position).token)];
  }
  double chi = 0.0;
  double rare_seen = 0.0;
  double rare_expected = 0.0;
  double cells = 0.0;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const double e = expected[i] * static_cast<double>(draws);
    if (e == 0.0 && seen[i] > 0.0) return INFINITY;
    if (e < 5.0) {
      rare_seen += seen[i];
      rare_expected += e;
      continue;
    }
    chi += (seen[i] - e) * (seen[i] - e) / e;
    ++cells;
  }
  if (rare_expected > 0.0) {
    chi += (rare_seen - rare_expected) * (rare_seen - rare_expected) / rare_expected;
    ++cells;
  }
  const double df = cells - 1.0;
  if (df < 1.0) return 0.0;
  return (std::cbrt(chi / df) - (1.0 - 2.0 / (9.0 * df))) / std::sqrt(2.0 / (9.0 * df));
}

TEST(Distribution, ChiSquareOf100kDraws) {
  const SamplingParams cases[] = {
      {},
      {.temperature = 0.6f},
      {.temperature = 1.7f, .seed = 99},
      {.temperature = 0.8f, .top_k = 7},
      {.top_p = 0.8f, .seed = 5},
      {.min_p = 0.1f},
      {.typical_p = 0.6f},
      {.temperature = 1.3f,
       .top_k = 20,
       .typical_p = 0.9f,
       .top_p = 0.85f,
       .min_p = 0.05f,
       .seed = 7},
      {.temperature = 1.3f, .top_p = 0.9f, .min_p = 0.02f},
      {.seed = ~std::uint64_t{0}, .choice = 3},
  };
  const std::vector<float> logits = some_logits(50, 11);
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    const double sigmas =
        chi_square_sigmas(logits, cases[i], expected_distribution(logits, cases[i]), 100000);
    EXPECT_LT(sigmas, 3.1) << "case " << i;
  }
}

// The test above must be able to fail: what differs by a little is told apart.
TEST(Distribution, ChiSquareSeesASmallMistake) {
  const std::vector<float> logits = some_logits(50, 11);
  EXPECT_GT(
      chi_square_sigmas(logits, {}, expected_distribution(logits, {.temperature = 1.05f}), 100000),
      6.0);
  EXPECT_GT(
      chi_square_sigmas(logits, {.top_k = 7}, expected_distribution(logits, {.top_k = 6}), 100000),
      6.0);
}

TEST(Distribution, TruncatedVocabularyOfRealSize) {
  const std::vector<float> logits = some_logits(262144, 2, 3.0f);
  const SamplingParams cases[] = {{.top_p = 0.5f}, {.min_p = 0.3f}, {.top_k = 12, .top_p = 0.7f}};
  for (const SamplingParams& p : cases) {
    const std::vector<double> expected = expected_distribution(logits, p);
    Sampler sampler = make(p, logits.size());
    for (std::uint64_t position = 0; position < 20; ++position) {
      const auto token = static_cast<std::size_t>(sample_once(sampler, logits, position).token);
      EXPECT_GT(expected[token], 0.0);
    }
  }
}

// ---- determinism

TEST(Determinism, AnAnswerDoesNotDependOnCompanyOrHistory) {
  const SamplingParams params{.temperature = 0.9f, .top_k = 30, .top_p = 0.95f, .seed = 1234};
  std::vector<std::int32_t> alone;
  Sampler one = make(params, 400);
  for (unsigned i = 0; i < 50; ++i) alone.push_back(sample_once(one, some_logits(400, i), i).token);
  Sampler two = make(params, 400);
  Sampler other = make({.seed = 77}, 400);
  for (unsigned i = 50; i-- > 0;) {  // backwards, with another sequence between, and twice
    sample_once(other, some_logits(400, i), i);
    EXPECT_EQ(sample_once(two, some_logits(400, i), i).token, alone[i]);
    EXPECT_EQ(sample_once(two, some_logits(400, i), i).token, alone[i]);
  }
}

// A flat distribution shows the random number itself: what a seed means does not change from
// release to release.
TEST(Determinism, TheSeedMeansWhatItMeans) {
  const std::vector<float> flat(1024, 0.25f);
  Sampler sampler = make({.temperature = 0.5f, .seed = 0x123456789abcdef0, .choice = 2}, 1024);
  for (std::uint64_t position : {0, 1, 2, 3, 1000, 5000000}) {
    const double uniform = uniform_at(0x123456789abcdef0, position, 2);
    EXPECT_EQ(sample_once(sampler, flat, position).token, std::floor(1024.0 * uniform));
  }
}

TEST(Determinism, ChoicesOfOneRequestDiffer) {
  const std::vector<float> flat(1000, 0.0f);
  Sampler first = make({.seed = 5, .choice = 0}, 1000);
  Sampler second = make({.seed = 5, .choice = 1}, 1000);
  int same = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    same += sample_once(first, flat, i).token == sample_once(second, flat, i).token ? 1 : 0;
  }
  EXPECT_LT(same, 5);
}

// ---- bias, penalties, mask

TEST(Bias, ForcesAndForbids) {
  const std::vector<float> logits = some_logits(50, 1);
  Sampler forced = make({.logit_bias = {{33, 100.0f}}}, 50);
  Sampler forbidden = make({.logit_bias = {{7, -100.0f}, {8, 60.0f}, {8, 60.0f}, {9, 100.0f}}}, 50);
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(sample_once(forced, logits, i).token, 33);
    EXPECT_EQ(sample_once(forbidden, logits, i).token, 8);  // entries add up
  }
}

TEST(Repetition, CountsTheLastTokensOnly) {
  SamplingParams params{.temperature = 0.0f, .frequency_penalty = 1.0f, .repeat_last_n = 3};
  const std::vector<float> logits = {5.0f, 4.5f, 0.0f, 0.0f};
  Sampler sampler = make(params, 4);
  EXPECT_EQ(sample_once(sampler, logits, 0).token, 0);
  sampler.accept(0);
  EXPECT_EQ(sample_once(sampler, logits, 1).token, 1);
  EXPECT_EQ(sample_once(sampler, logits, 1).margin, 0.5f);
  sampler.accept(2);
  sampler.accept(2);
  EXPECT_EQ(sample_once(sampler, logits, 3).token, 1);
  sampler.accept(2);  // the 0 leaves the window
  EXPECT_EQ(sample_once(sampler, logits, 4).token, 0);
  for (int i = 0; i < 100; ++i) sampler.accept(i % 4);
  EXPECT_EQ(sample_once(sampler, logits, 5).margin, 1.5f);  // 1, 2, 3 remain
}

TEST(Repetition, EveryWindowAgainstAFreshCount) {
  const std::vector<float> logits = some_logits(30, 9);
  for (std::int32_t last_n : {-1, 0, 1, 7, 64}) {
    const SamplingParams params{.temperature = 0.0f,
                                .repeat_penalty = 1.3f,
                                .presence_penalty = 0.4f,
                                .frequency_penalty = 0.2f,
                                .repeat_last_n = last_n};
    Sampler sampler = make(params, 30);
    std::mt19937 random(3);
    std::vector<std::int32_t> history;
    for (int step = 0; step < 100; ++step) {
      std::vector<float> expected = logits;
      for (std::int32_t token = 0; token < 30; ++token) {
        const std::size_t n =
            last_n < 0 ? history.size() : std::min<std::size_t>(history.size(), last_n);
        const auto count =
            std::count(history.end() - static_cast<std::ptrdiff_t>(n), history.end(), token);
        float& logit = expected[static_cast<std::size_t>(token)];
        if (count == 0) continue;
        logit = logit > 0 ? logit / 1.3f : logit * 1.3f;
        logit -= static_cast<float>(count) * 0.2f + 0.4f;
      }
      std::vector<float> changed = {1.0f, 2.0f};  // what another sampler left there
      const std::vector<float> before = logits;
      const Sample s = sampler.sample(logits, 0, {}, changed).value();
      EXPECT_EQ(logits, before);
      if (step > 0 && last_n != 0) {
        EXPECT_EQ(changed, expected) << last_n << " " << step;
      }
      EXPECT_EQ(s.token, std::ranges::max_element(expected) - expected.begin());
      history.push_back(static_cast<std::int32_t>(random() % 30));
      sampler.accept(history.back());
    }
  }
}

TEST(Mask, OnlyAllowedTokensAreDrawn) {
  constexpr std::size_t kVocab = 200;  // no multiple of 64
  std::vector<std::uint64_t> allowed(4, ~std::uint64_t{0});
  const auto set = [&](std::vector<std::size_t> tokens) {
    allowed.assign(4, 0);
    for (std::size_t t : tokens) allowed[t / 64] |= std::uint64_t{1} << t % 64;
  };
  const std::vector<float> logits = some_logits(kVocab, 21);
  for (const SamplingParams& p :
       {SamplingParams{.temperature = 0.0f}, SamplingParams{}, SamplingParams{.top_k = 2},
        SamplingParams{.top_p = 0.9f}, SamplingParams{.typical_p = 0.5f}}) {
    Sampler sampler = make(p, kVocab);
    set({63, 64, 199});
    for (std::uint64_t i = 0; i < 50; ++i) {
      const std::int32_t token = sample_once(sampler, logits, i, {.allowed = allowed}).token;
      EXPECT_TRUE(token == 63 || token == 64 || token == 199) << token;
    }
    set({131});
    EXPECT_EQ(sample_once(sampler, logits, 0, {.allowed = allowed}).token, 131);
    set({});
    std::vector<float> scratch;
    EXPECT_EQ(sampler.sample(logits, 0, {.allowed = allowed}, scratch).error().code(),
              ErrorCode::kInternal);
  }
}

// ---- log-probabilities

TEST(Logprobs, AreTheModelsOwn) {
  const std::vector<float> logits = some_logits(500, 13, 4.0f);
  long double sum = 0.0L;
  for (float logit : logits) sum += std::exp(static_cast<long double>(logit));
  const auto logprob = [&](std::int32_t token) {
    return static_cast<double>(logits[static_cast<std::size_t>(token)] - std::log(sum));
  };
  Sampler sampler = make(
      {.temperature = 0.3f, .top_k = 10, .frequency_penalty = 2.0f, .logit_bias = {{17, 30.0f}}},
      500);
  sampler.accept(17);
  const Sample s = sample_once(sampler, logits, 3, {.logprobs = true, .top_logprobs = 5});
  EXPECT_EQ(s.token, 17);
  EXPECT_NEAR(s.logprob, logprob(17), 1e-12);
  ASSERT_EQ(s.top.size(), 5u);
  std::vector<std::int32_t> order(500);
  for (std::size_t i = 0; i < 500; ++i) order[i] = static_cast<std::int32_t>(i);
  std::ranges::sort(order, {}, [&](std::int32_t t) {
    return std::pair(-logits[static_cast<std::size_t>(t)], t);
  });
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(s.top[i].first, order[i]);
    EXPECT_NEAR(s.top[i].second, logprob(order[i]), 1e-12);
  }
  EXPECT_TRUE(sample_once(sampler, logits, 3, {.logprobs = true}).top.empty());
}

// ---- what is refused

TEST(Errors, LogitsThatAreNoNumbers) {
  for (const SamplingParams& p : {SamplingParams{.temperature = 0.0f}, SamplingParams{},
                                  SamplingParams{.top_k = 3}, SamplingParams{.typical_p = 0.5f},
                                  SamplingParams{.top_p = 0.5f}, SamplingParams{.min_p = 0.5f}}) {
    Sampler sampler = make(p, 100);
    std::vector<float> scratch;
    for (const bool logprobs : {false, true}) {
      for (float bad : {std::nanf(""), kInfinity}) {
        std::vector<float> logits = some_logits(100, 1);
        logits[57] = bad;
        EXPECT_EQ(sampler.sample(logits, 0, {.logprobs = logprobs}, scratch).error().code(),
                  ErrorCode::kCorrupt);
      }
      std::vector<float> none(100, -kInfinity);
      EXPECT_EQ(sampler.sample(none, 0, {.logprobs = logprobs}, scratch).error().code(),
                ErrorCode::kInternal);
    }
  }
}

TEST(Errors, ParametersOutOfRange) {
  const float nan = std::nanf("");
  const SamplingParams cases[] = {
      {.temperature = -0.1f},
      {.temperature = nan},
      {.temperature = kInfinity},
      {.typical_p = -1.0f},
      {.typical_p = 1.5f},
      {.top_p = -0.1f},
      {.top_p = 1.1f},
      {.top_p = nan},
      {.min_p = -0.1f},
      {.min_p = 2.0f},
      {.repeat_penalty = 0.0f},
      {.repeat_penalty = -1.0f},
      {.repeat_penalty = kInfinity},
      {.presence_penalty = nan},
      {.frequency_penalty = kInfinity},
      {.repeat_last_n = -2},
      {.logit_bias = {{100, 1.0f}}},
      {.logit_bias = {{-1, 1.0f}}},
      {.logit_bias = {{5, kInfinity}}},
      {.logit_bias = {{5, nan}}},
      {.logit_bias = std::vector<LogitBias>(kLogitBiasMax + 1, LogitBias{5, 1.0f})}};
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    const auto result = Sampler::create(cases[i], 100);
    ASSERT_FALSE(result.ok()) << i;
    EXPECT_EQ(result.error().code(), ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(Sampler::create(
                  {.logit_bias = std::vector<LogitBias>(kLogitBiasMax, LogitBias{99, 1.0f})}, 100)
                  .ok());
}

TEST(Extremes, StayDefined) {
  const std::vector<float> wide = {3e38f, -3e38f, 0.0f, 1e38f};
  for (const SamplingParams& p :
       {SamplingParams{.temperature = 1e-30f}, SamplingParams{.temperature = 1e30f},
        SamplingParams{.top_p = 0.0f}, SamplingParams{.min_p = 1.0f},
        SamplingParams{.typical_p = 0.0f}, SamplingParams{.top_k = 1 << 30}}) {
    Sampler sampler = make(p, 4);
    const std::int32_t token = sample_once(sampler, wide, 9).token;
    EXPECT_GE(token, 0);
    EXPECT_LT(token, 4);
  }
  Sampler single = make({}, 1);
  EXPECT_EQ(sample_once(single, {-5.0f}, 0).token, 0);
}

}  // namespace
}  // namespace holdfast::sampler
