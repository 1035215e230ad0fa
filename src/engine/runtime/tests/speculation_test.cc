// Oracle: the same engine without speculation. Answers must be equal in every bit that is said of
// them; only the number of steps may differ.
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "engine_bench.h"

namespace holdfast::runtime {
namespace {

using Source = SpeculationOptions::Source;

// Gives no two steps the same length, so that all that is decided by time is decided differently
// each time.
class RestlessClock final : public platform::Clock {
 public:
  explicit RestlessClock(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::int64_t monotonic_ns() const override {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    now_ += std::int64_t{1'000} << (state_ >> 60);  // a microsecond to 33 ms
    return now_;
  }
  platform::WallTime wall_time() const override { return {}; }
  int utc_offset_seconds(std::int64_t) const override { return 0; }

 private:
  mutable std::uint64_t state_;
  mutable std::int64_t now_ = 0;
};

void expect_same(const TokenOutput& a, const TokenOutput& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(a.logprob, b.logprob);
  EXPECT_EQ(a.margin, b.margin);
  EXPECT_EQ(a.end, b.end);
  ASSERT_EQ(a.top.size(), b.top.size());
  for (std::size_t i = 0; i < a.top.size(); ++i) {
    EXPECT_EQ(a.top[i].id, b.top[i].id);
    EXPECT_EQ(a.top[i].logprob, b.top[i].logprob);
  }
}

void expect_same(const Recorder::Answer& a, const Recorder::Answer& b) {
  ASSERT_FALSE(a.failure);
  ASSERT_FALSE(b.failure);
  ASSERT_EQ(a.tokens.size(), b.tokens.size());
  for (std::size_t i = 0; i < a.tokens.size(); ++i) {
    SCOPED_TRACE("token " + std::to_string(i));
    expect_same(a.tokens[i], b.tokens[i]);
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.finished->reason, b.finished->reason);
  EXPECT_EQ(a.finished->stop_string, b.finished->stop_string);
  EXPECT_EQ(a.finished->completion_tokens, b.finished->completion_tokens);
  EXPECT_EQ(a.ends, 1);
  EXPECT_EQ(b.ends, 1);
}

SpeculationOptions always(Source source) { return {.source = source, .adaptive = false}; }

// Draws among so few tokens that they often, and not always, come as they came before.
Request narrow(RequestId id, std::uint32_t n, std::uint64_t seed) {
  Request r = generate(id, prompt_of(20, static_cast<int>(id)), n, 0.7f);
  r.generate->sampling.seed = seed;
  r.generate->sampling.logit_bias = {{40, 30.0f}, {41, 30.0f}, {42, 28.0f}};
  return r;
}

// Answers that repeat themselves in part: what a lookup guesses right now and then. A draft model
// knows nothing of the bias, so for it the draw is made nearly greedy.
Request partly_guessed(Source source, RequestId id, std::uint32_t n, std::uint64_t seed) {
  if (source == Source::kLookup) return narrow(id, n, seed);
  Request r = generate(id, prompt_of(20, static_cast<int>(id)), n, 0.1f);
  r.generate->sampling.seed = seed;
  return r;
}

// A greedy answer that goes round in circles.
Request circling(RequestId id, std::uint32_t n) {
  Request r = generate(id, prompt_of(20, static_cast<int>(id)), n);
  r.generate->sampling.logit_bias = {{40, 30.0f}, {41, 30.0f}, {42, 30.0f}, {43, 30.0f}};
  return r;
}

class Speculation : public testing::TestWithParam<Source> {
 protected:
  // Runs the requests plain and with guesses; `check` sees the counts of the latter.
  void compare(const std::function<std::vector<Request>(Bench&)>& requests, BenchSetup setup = {}) {
    Bench plain(setup);
    for (Request& r : requests(plain)) plain.engine->submit(std::move(r));
    plain.run();
    setup.speculation = always(GetParam());
    Bench ahead(setup);
    std::vector<RequestId> ids;
    for (Request& r : requests(ahead)) {
      ids.push_back(r.id);
      ahead.engine->submit(std::move(r));
    }
    ahead.run();
    for (const RequestId id : ids) {
      SCOPED_TRACE("request " + std::to_string(id));
      expect_same(plain.sink.answers[id], ahead.sink.answers[id]);
      if (HasFailure()) return;
    }
    stats_ = ahead.engine->stats();
    EXPECT_EQ(stats_.generated_tokens, plain.engine->stats().generated_tokens);
    EXPECT_EQ(stats_.prompt_tokens, plain.engine->stats().prompt_tokens);
    EXPECT_LE(stats_.draft_accepted, stats_.draft_tokens);
    EXPECT_EQ(plain.engine->stats().draft_tokens, 0u);
    EXPECT_LE(stats_.steps, plain.engine->stats().steps);
    saved_steps_ = plain.engine->stats().steps - stats_.steps;
  }
  EngineStats stats_;
  std::uint64_t saved_steps_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Sources, Speculation, testing::Values(Source::kLookup, Source::kModel),
                         [](const auto& p) {
                           return p.param == Source::kLookup ? "Lookup" : "Model";
                         });

TEST_P(Speculation, GreedyAnswersAreThoseOfPlainDecoding) {
  compare([](Bench&) { return std::vector<Request>{generate(1, prompt_of(20), 150)}; });
  compare([](Bench&) { return std::vector<Request>{circling(1, 150)}; });
  if (GetParam() == Source::kModel) return;
  EXPECT_GT(stats_.draft_accepted, 60u);
  EXPECT_GT(saved_steps_, 50u);
}

TEST_P(Speculation, DrawnAnswersAreThoseOfPlainDecoding) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    compare(
        [seed](Bench&) { return std::vector<Request>{partly_guessed(GetParam(), 1, 120, seed)}; });
    // Some guesses are right and some wrong, or this shows nothing.
    EXPECT_GT(stats_.draft_accepted, 5u) << seed;
    EXPECT_GT(stats_.draft_tokens, stats_.draft_accepted + 5) << seed;
  }
}

// What a wrong guess stored is written over or never read, whatever the cache keeps of it.
TEST_P(Speculation, WrongGuessesAreForgottenInEveryKvType) {
  for (const kernels::KvType type : {kernels::KvType::kF16, kernels::KvType::kF32,
                                     kernels::KvType::kQ8_0, kernels::KvType::kQ4_0}) {
    SCOPED_TRACE(kernels::kv_type_name(type));
    BenchSetup setup;
    setup.kv_type = type;
    setup.model = setup.draft = "llama-tied-ropefreqs";  // heads of 32: what quantised types need
    // This model is sure of itself: only a hot draw among few tokens makes guesses wrong.
    Request request = narrow(1, 120, 3);
    request.generate->sampling.temperature = 20.0f;
    request.generate->sampling.logit_bias = {{40, 300.0f}, {41, 300.0f}, {42, 300.0f}};
    compare([&](Bench&) { return std::vector<Request>{request}; }, setup);
    EXPECT_GT(stats_.draft_tokens, stats_.draft_accepted + 5);
  }
}

TEST_P(Speculation, PenaltiesSeeTheTokensThatWereSampled) {
  for (const std::int32_t last_n : {-1, 5, 64}) {
    compare([last_n](Bench&) {
      Request r = partly_guessed(GetParam(), 1, 100, 3);
      r.generate->sampling.repeat_penalty = 1.05f;
      r.generate->sampling.presence_penalty = 0.3f;
      r.generate->sampling.frequency_penalty = 0.01f;
      r.generate->sampling.repeat_last_n = last_n;
      return std::vector<Request>{std::move(r)};
    });
    EXPECT_GT(stats_.draft_tokens, stats_.draft_accepted);
  }
}

TEST_P(Speculation, LogprobsAreThoseOfPlainDecoding) {
  compare([](Bench&) {
    Request greedy = generate(1, prompt_of(30), 60);
    Request drawn = partly_guessed(GetParam(), 2, 60, 5);
    for (Request* r : {&greedy, &drawn}) {
      r->generate->want_logprobs = true;
      r->generate->top_logprobs = 4;
      r->generate->want_prompt_logprobs = true;
    }
    return std::vector<Request>{std::move(greedy), std::move(drawn)};
  });
  EXPECT_GT(stats_.draft_accepted, 5u);
}

TEST_P(Speculation, EveryLengthEndsWhereItShould) {
  for (std::uint32_t n = 1; n <= 40; ++n) {
    compare([n](Bench&) {
      return std::vector<Request>{generate(1, prompt_of(20), n), circling(2, n),
                                  partly_guessed(GetParam(), 3, n, n)};
    });
  }
}

TEST_P(Speculation, TheContextsEndEndsTheAnswer) {
  compare(
      [](Bench&) {
        return std::vector<Request>{generate(1, prompt_of(20), 0), circling(2, 0)};
      },
      {.context = 96});
  EXPECT_EQ(stats_.generated_tokens, 152u);
}

TEST_P(Speculation, StopStringsCutAtTheSamePlace) {
  Bench plain;
  plain.engine->submit(generate(1, prompt_of(20), 150));
  plain.run();
  const std::string text = plain.sink.answers[1].text;
  ASSERT_GT(text.size(), 60u);
  for (const std::size_t at : {10u, 25u, 40u, 55u}) {
    for (const std::size_t length : {1u, 3u, 9u}) {
      compare([&](Bench&) {
        Request r = generate(1, prompt_of(20), 150);
        r.generate->stops = {text.substr(text.size() - at, length), "no such text"};
        return std::vector<Request>{std::move(r)};
      });
    }
  }
}

TEST_P(Speculation, AnEndTokenInTheMiddleOfGuessesEndsTheAnswer) {
  int ended = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    for (const bool ignore : {false, true}) {
      compare([&](Bench& b) {
        Request r = partly_guessed(GetParam(), 1, 80, seed);
        r.generate->ignore_eos = ignore;
        // As likely as the others together, so the end is itself guessed now and then.
        r.generate->sampling.logit_bias.push_back(
            {b.tokens->end_of_generation_ids().front(), 28.0f});
        return std::vector<Request>{std::move(r)};
      });
      if (HasFailure()) return;
      ended += !ignore && stats_.generated_tokens < 80 ? 1 : 0;
    }
  }
  EXPECT_GT(ended, 3);
}

TEST_P(Speculation, CompanyChunksAndThreadsChangeNothing) {
  const auto requests = [](Bench&) {
    std::vector<Request> out;
    for (RequestId i = 0; i < 7; ++i) {
      out.push_back(i % 2 == 0
                        ? partly_guessed(GetParam(), i, 40 + static_cast<std::uint32_t>(i), i)
                        : generate(i, prompt_of(10 + i * 9, static_cast<int>(i)), 50));
    }
    return out;
  };
  for (const std::uint32_t threads : {1u, 3u}) {
    for (const std::uint32_t chunk : {3u, 64u}) {
      compare(requests, {.threads = threads, .chunk = chunk, .sequences = 4});
      EXPECT_GT(stats_.draft_accepted, 10u);
      if (HasFailure()) return;
    }
  }
}

// Six pages hold exactly what the three requests were promised: a guess beyond would find none.
TEST_P(Speculation, GuessesStayWithinThePagesPromised) {
  compare(
      [](Bench&) {
        std::vector<Request> out;
        for (RequestId i = 1; i <= 3; ++i) {
          out.push_back(GetParam() == Source::kLookup ? circling(i, 44)
                                                      : generate(i, prompt_of(20), 44));
        }
        return out;
      },
      {.sequences = 3, .context = 64, .pages = 6});
  EXPECT_GT(stats_.draft_accepted, 10u);
}

TEST_P(Speculation, GuessesOfACancelledAnswerAreForgotten) {
  Bench b({.speculation = always(GetParam())});
  b.engine->submit(generate(1, prompt_of(20), 200));
  b.engine->submit(generate(2, prompt_of(25), 60));
  for (int i = 0; i < 12; ++i) b.engine->step();
  b.engine->cancel(1);
  b.run();
  Bench plain;
  plain.engine->submit(generate(2, prompt_of(25), 60));
  plain.run();
  EXPECT_EQ(b.sink.ids(2), plain.sink.ids(2));
}

TEST_P(Speculation, WhatTimeDecidesChangesNoAnswer) {
  const auto request = [](RequestId i) {
    if (i % 2 == 0) return partly_guessed(GetParam(), i, 60, i);
    return GetParam() == Source::kLookup ? circling(i, 60) : generate(i, prompt_of(20), 60);
  };
  std::vector<std::vector<std::int32_t>> plain;
  for (RequestId i = 0; i < 4; ++i) {
    Bench b;
    b.engine->submit(request(i));
    b.run();
    plain.push_back(b.sink.ids(i));
  }
  std::set<std::uint64_t> drafted;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const RestlessClock clock(seed);
    Bench b(
        {.sequences = 2, .speculation = {.source = GetParam(), .adaptive = true}, .clock = &clock});
    for (RequestId i = 0; i < 4; ++i) b.engine->submit(request(i));
    b.run();
    for (RequestId i = 0; i < 4; ++i) EXPECT_EQ(b.sink.ids(i), plain[i]) << seed << " " << i;
    drafted.insert(b.engine->stats().draft_tokens);
  }
  EXPECT_GT(drafted.size(), 1u);  // time did decide something
}

// A draft model of another shape, whose guesses are nearly always wrong.
TEST(SpeculationModel, AnotherModelsGuessesChangeNothing) {
  Bench plain;
  plain.engine->submit(generate(1, prompt_of(20), 60));
  plain.run();
  Bench b({.speculation = always(Source::kModel), .draft = "llama-tied-ropefreqs"});
  b.engine->submit(generate(1, prompt_of(20), 60));
  b.run();
  EXPECT_EQ(b.sink.ids(1), plain.sink.ids(1));
  EXPECT_GT(b.engine->stats().draft_tokens, 0u);
}

TEST(SpeculationModel, TheSameModelIsNearlyAlwaysRight) {
  Bench b({.speculation = always(Source::kModel)});
  b.engine->submit(generate(1, prompt_of(20), 120));
  b.run();
  const EngineStats s = b.engine->stats();
  EXPECT_EQ(s.draft_accepted, s.draft_tokens);
  EXPECT_LT(s.steps, 30u);
}

// A long prompt is read by the draft model in pieces, while the answer goes on.
TEST(SpeculationModel, ReadsALongPromptWithoutStoppingTheAnswer) {
  Bench plain({.chunk = 8});
  plain.engine->submit(generate(1, prompt_of(120), 60));
  plain.run();
  Bench b(
      {.chunk = 8, .speculation = {.source = Source::kModel, .adaptive = false, .tokens_max = 4}});
  b.engine->submit(generate(1, prompt_of(120), 60));
  b.run();
  EXPECT_EQ(b.sink.ids(1), plain.sink.ids(1));
  EXPECT_GT(b.engine->stats().draft_accepted, 20u);
}

TEST(SpeculationRoom, WithoutRoomForGuessesNoneAreMade) {
  Bench b({.speculation = {.source = Source::kLookup, .adaptive = false, .tokens_max = 0}});
  b.engine->submit(generate(1, prompt_of(20), 100));
  b.run();
  EXPECT_EQ(b.engine->stats().draft_tokens, 0u);
  EXPECT_EQ(b.sink.answers[1].tokens.size(), 100u);
}

}  // namespace
}  // namespace holdfast::runtime
