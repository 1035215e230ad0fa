// Oracles: the model run directly (greedy text and scores must equal it bit for bit), and
// invariants - company, chunks and threads change nothing.
#include "holdfast/runtime/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine_bench.h"

namespace holdfast::runtime {
namespace {

// Greedy continuation by the model alone, one token at a time.
std::vector<std::int32_t> reference_greedy(std::vector<std::int32_t> tokens, std::size_t n) {
  Bench b;
  std::vector<std::int32_t> out;
  const auto* table = kernels::available_kernels(platform::CpuFeatures::detect()).back();
  for (std::size_t i = 0; i < n; ++i) {
    const auto logits = model::run_logits(*b.tiny, *table, 256, tokens, {});
    const auto last = logits.end() - b.vocab();
    out.push_back(static_cast<std::int32_t>(std::max_element(last, logits.end()) - last));
    tokens.push_back(out.back());
  }
  return out;
}

TEST(Engine, GreedyEqualsTheModelAlone) {
  Bench b;
  b.engine->submit(generate(1, prompt_of(20), 12));
  b.run();
  EXPECT_EQ(b.sink.ids(1), reference_greedy(prompt_of(20), 12));
  const auto& a = b.sink.answers[1];
  EXPECT_EQ(a.finished->reason, FinishReason::kLength);
  EXPECT_EQ(a.finished->prompt_tokens, 20u);
  EXPECT_EQ(a.finished->completion_tokens, 12u);
  EXPECT_EQ(a.ends, 1);
}

TEST(Engine, CompanyChunksAndThreadsChangeNothing) {
  std::vector<std::vector<std::int32_t>> alone;
  for (int i = 0; i < 6; ++i) {
    Bench b;
    b.engine->submit(generate(1, prompt_of(10 + static_cast<std::size_t>(i) * 9, i), 15, 0.9f));
    b.run();
    alone.push_back(b.sink.ids(1));
  }
  for (const std::uint32_t threads : {1u, 2u, 3u}) {
    for (const std::uint32_t chunk : {1u, 7u, 200u}) {
      Bench b({.threads = threads, .chunk = chunk, .sequences = 3});
      for (int i = 0; i < 6; ++i) {
        b.engine->submit(generate(static_cast<RequestId>(i),
                                  prompt_of(10 + static_cast<std::size_t>(i) * 9, i), 15, 0.9f));
      }
      b.run();
      for (std::size_t i = 0; i < 6; ++i) {
        ASSERT_EQ(b.sink.ids(i), alone[i])
            << "threads " << threads << " chunk " << chunk << " sequence " << i;
      }
    }
  }
}

TEST(Engine, RefusesBeforeAnyWork) {
  Bench b({.context = 64});
  b.engine->submit(generate(1, prompt_of(63), 5));
  b.engine->submit(generate(2, prompt_of(64), 5));
  b.engine->submit(generate(3, {1, 2, b.vocab()}, 5));
  b.engine->submit(generate(4, {}, 5));
  Request biased = generate(5, prompt_of(3), 5);
  biased.generate->sampling.logit_bias.push_back({b.vocab(), 1.0f});
  b.engine->submit(std::move(biased));
  Request hot = generate(6, prompt_of(3), 5);
  hot.generate->sampling.temperature = -1;
  b.engine->submit(std::move(hot));
  b.run();
  EXPECT_EQ(b.sink.answers[1].finished->completion_tokens, 1u);  // what the context leaves
  EXPECT_EQ(b.sink.answers[1].finished->reason, FinishReason::kLength);
  const Failure& over = *b.sink.answers[2].failure;
  EXPECT_EQ(over.kind, FailureKind::kContextLength);
  EXPECT_EQ(over.limit, 64u);
  EXPECT_EQ(over.actual, 64u);
  EXPECT_EQ(over.error.client_message(),
            "This model's maximum context length is 64 tokens. However, your messages resulted in "
            "64 tokens.");
  EXPECT_EQ(b.sink.answers[3].failure->kind, FailureKind::kUnknownToken);
  EXPECT_EQ(b.sink.answers[4].failure->error.code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(b.sink.answers[5].failure->kind, FailureKind::kUnknownToken);
  EXPECT_EQ(b.sink.answers[6].failure->error.code(), ErrorCode::kInvalidArgument);
}

TEST(Engine, QueueHoldsAtItsLimitAndRefusesBeyond) {
  Bench b({.sequences = 1, .queue = 3});
  for (RequestId i = 1; i <= 4; ++i) b.engine->submit(generate(i, prompt_of(5), 2));
  EXPECT_EQ(b.sink.answers[4].failure->kind, FailureKind::kQueueFull);
  b.run();
  for (RequestId i = 1; i <= 3; ++i) EXPECT_EQ(b.sink.answers[i].finished->completion_tokens, 2u);
}

TEST(Engine, LackOfPagesDelaysButNeverFails) {
  // 4 pages of 32 tokens; each request needs 2: two run, the others wait.
  Bench b({.sequences = 4, .context = 128, .pages = 4});
  for (RequestId i = 1; i <= 5; ++i) b.engine->submit(generate(i, prompt_of(40), 10));
  b.engine->submit(generate(6, prompt_of(120), 8));
  b.engine->step();
  EXPECT_EQ(b.engine->stats().running, 2u);
  b.run();
  for (RequestId i = 1; i <= 6; ++i) EXPECT_FALSE(b.sink.answers[i].failure) << i;
}

TEST(Engine, CancelEndsWithinOneStepAndFreesEverything) {
  Bench b({.chunk = 8});
  b.engine->submit(generate(1, prompt_of(5), 100));
  b.engine->submit(generate(2, prompt_of(60), 100));
  for (int i = 0; i < 3; ++i) b.engine->step();
  b.engine->cancel(1);   // decoding
  b.engine->cancel(2);   // in its prompt
  b.engine->cancel(99);  // unknown
  b.engine->step();
  EXPECT_TRUE(b.engine->idle());
  EXPECT_EQ(b.sink.answers[1].finished->reason, FinishReason::kCancelled);
  EXPECT_EQ(b.sink.answers[2].finished->reason, FinishReason::kCancelled);
  EXPECT_EQ(b.cache->pages_free(), b.cache->pages_total());
}

TEST(Engine, CancelOfAWaitingRequestAnswersAtOnce) {
  Bench b({.sequences = 1});
  b.engine->submit(generate(1, prompt_of(5), 5));
  b.engine->submit(generate(2, prompt_of(5), 5));
  b.engine->cancel(2);
  EXPECT_EQ(b.sink.answers[2].finished->reason, FinishReason::kCancelled);
  b.run();
  EXPECT_EQ(b.sink.answers[2].ends, 1);
}

TEST(Engine, StopStringsCutTheTextAcrossTokens) {
  Bench plain;
  plain.engine->submit(generate(1, prompt_of(20), 30));
  plain.run();
  const std::string text = plain.sink.answers[1].text;
  ASSERT_GT(text.size(), 8u);
  const std::string stop = text.substr(text.size() / 2, 3);
  Bench b;
  Request r = generate(1, prompt_of(20), 30);
  r.generate->stops = {stop};
  b.engine->submit(std::move(r));
  b.run();
  EXPECT_EQ(b.sink.answers[1].text, text.substr(0, text.find(stop)));
  EXPECT_EQ(b.sink.answers[1].finished->reason, FinishReason::kStop);
  EXPECT_EQ(b.sink.answers[1].finished->stop_string, stop);
}

TEST(Engine, EvaluationRowsEqualTheModelAlone) {
  const auto* table = kernels::available_kernels(platform::CpuFeatures::detect()).back();
  Bench b({.chunk = 9});
  const auto tokens = prompt_of(50);
  Request r;
  r.id = 1;
  r.tokens = tokens;
  r.evaluate.emplace();
  r.evaluate->positions = {0, 3, 4, 30, 49};
  b.engine->submit(std::move(r));
  Request s;
  s.id = 2;
  s.tokens = tokens;
  s.evaluate.emplace();
  s.evaluate->kind = Evaluate::Kind::kScore;
  s.evaluate->score_from = 10;
  b.engine->submit(std::move(s));
  b.run();
  const auto all = model::run_logits(*b.tiny, *table, 256, tokens, {});
  const auto v = static_cast<std::size_t>(b.vocab());
  const auto& rows = b.sink.answers[1].rows;
  ASSERT_EQ(rows.size(), 5 * v);
  std::size_t i = 0;
  for (const std::size_t p : {0u, 3u, 4u, 30u, 49u}) {
    EXPECT_TRUE(std::equal(rows.begin() + static_cast<std::ptrdiff_t>(i * v),
                           rows.begin() + static_cast<std::ptrdiff_t>((i + 1) * v),
                           all.begin() + static_cast<std::ptrdiff_t>(p * v)))
        << p;
    ++i;
  }
  double nll = 0;
  for (std::size_t p = 9; p + 1 < tokens.size(); ++p) {
    double sum = 0;
    for (std::size_t j = 0; j < v; ++j) sum += std::exp(static_cast<double>(all[p * v + j]));
    nll +=
        std::log(sum) - static_cast<double>(all[p * v + static_cast<std::size_t>(tokens[p + 1])]);
  }
  ASSERT_TRUE(b.sink.answers[2].score);
  EXPECT_EQ(b.sink.answers[2].score->second, 40u);
  EXPECT_NEAR(b.sink.answers[2].score->first, nll, 1e-9 * nll);
}

TEST(Engine, PromptLogprobsAreThoseOfTheModel) {
  Bench b;
  Request r = generate(1, prompt_of(12), 1);
  r.generate->want_logprobs = true;
  r.generate->top_logprobs = 3;
  r.generate->want_prompt_logprobs = true;
  b.engine->submit(std::move(r));
  Request s;
  s.id = 2;
  s.tokens = prompt_of(12);
  s.evaluate.emplace();
  s.evaluate->kind = Evaluate::Kind::kScore;
  s.evaluate->score_from = 1;
  b.engine->submit(std::move(s));
  b.run();
  const auto& prompt = b.sink.answers[1].started->prompt;
  ASSERT_EQ(prompt.size(), 11u);
  double sum = 0;
  for (const TokenOutput& t : prompt) {
    sum -= static_cast<double>(t.logprob);
    ASSERT_EQ(t.top.size(), 3u);
    EXPECT_GE(t.top[0].logprob, t.top[1].logprob);
  }
  EXPECT_NEAR(sum, b.sink.answers[2].score->first, 1e-4);
  EXPECT_EQ(b.sink.answers[1].tokens[0].top[0].id, b.sink.answers[1].tokens[0].id);  // greedy
}

TEST(Engine, BadEvaluationsAreRefused) {
  Bench b;
  const auto evaluate = [&](RequestId id, std::vector<std::uint32_t> positions) {
    Request r;
    r.id = id;
    r.tokens = prompt_of(4);
    r.evaluate.emplace();
    r.evaluate->positions = std::move(positions);
    b.engine->submit(std::move(r));
  };
  evaluate(1, {});
  evaluate(2, {4});
  evaluate(3, {2, 1});
  evaluate(4, {1, 1});
  for (RequestId i = 1; i <= 4; ++i)
    EXPECT_EQ(b.sink.answers[i].failure->error.code(), ErrorCode::kInvalidArgument) << i;
  EXPECT_TRUE(b.engine->idle());
}

}  // namespace
}  // namespace holdfast::runtime
