// The engine with tenants, classes, deadlines and kept prompts. Oracle: the same requests alone and
// computed from the start must give the same bits.
#include <gtest/gtest.h>

#include <random>

#include "engine_bench.h"

namespace holdfast::runtime {
namespace {

Request of(Request r, std::string tenant, std::string domain = {},
           Priority priority = Priority::kInteractive) {
  r.scheduling.tenant = std::move(tenant);
  r.scheduling.cache_domain = std::move(domain);
  r.scheduling.priority = priority;
  return r;
}

std::vector<std::int32_t> with_suffix(std::vector<std::int32_t> tokens, int salt, std::size_t n) {
  for (const std::int32_t t : prompt_of(n, salt)) tokens.push_back(t);
  return tokens;
}

std::vector<std::int32_t> alone(std::vector<std::int32_t> prompt, std::uint32_t n,
                                const std::string& model = "llama-gqa-untied",
                                kernels::KvType kv = kernels::KvType::kF16) {
  Bench b({.model = model, .kv_type = kv});
  b.engine->submit(generate(1, std::move(prompt), n, 0.8f));
  b.run();
  return b.sink.ids(1);
}

TEST(Prefix, AHitSavesItsPagesAndChangesNoBit) {
  const auto shared = prompt_of(100);
  for (const std::string model : {"llama-gqa-untied", "gemma3", "qwen3-qknorm"}) {
    for (const auto kv : {kernels::KvType::kF16, kernels::KvType::kF32}) {
      Bench b({.prefix_pages = 64, .model = model, .kv_type = kv});
      b.engine->submit(of(generate(1, with_suffix(shared, 1, 20), 10, 0.8f), "a", "a"));
      b.run();
      b.engine->submit(of(generate(2, with_suffix(shared, 2, 20), 10, 0.8f), "a", "a"));
      b.run();
      EXPECT_EQ(b.sink.answers[1].started->cached_tokens, 0u);
      EXPECT_EQ(b.sink.answers[2].started->cached_tokens, 96u);
      EXPECT_EQ(b.sink.answers[2].finished->cached_tokens, 96u);
      EXPECT_EQ(b.sink.ids(1), alone(with_suffix(shared, 1, 20), 10, model, kv));
      EXPECT_EQ(b.sink.ids(2), alone(with_suffix(shared, 2, 20), 10, model, kv));
      EXPECT_EQ(b.engine->stats().prefix_hits, 96u);
      EXPECT_EQ(b.engine->stats().prefix_queries, 240u);
    }
  }
}

TEST(Prefix, AnotherDomainMissesAndNoDomainNeitherFindsNorLeaves) {
  Bench b({.prefix_pages = 64});
  const auto prompt = prompt_of(100);
  RequestId id = 0;
  for (const std::string domain : {"", "", "a", "b", "", "a", "b"}) {
    b.engine->submit(of(generate(++id, prompt, 4), "t", domain));
    b.run();
  }
  std::vector<std::uint32_t> cached;
  for (RequestId i = 1; i <= id; ++i) cached.push_back(b.sink.answers[i].started->cached_tokens);
  EXPECT_EQ(cached, (std::vector<std::uint32_t>{0, 0, 0, 0, 0, 96, 96}));
}

TEST(Prefix, WhatShallNotBeKeptIsFoundButLeavesNothing) {
  Bench b({.chunk = 16, .prefix_pages = 64});
  const auto longer = with_suffix(prompt_of(96), 1, 70);
  const auto ask = [&](RequestId id, std::vector<std::int32_t> prompt, bool keep) {
    Request r = of(generate(id, std::move(prompt), 4), "t", "a");
    r.scheduling.keep_prompt = keep;
    b.engine->submit(std::move(r));
  };
  ask(1, prompt_of(100), true);
  b.run();
  ask(2, longer, false);
  ask(3, longer, false);  // neither waits for what the other will not leave
  b.run();
  ask(4, longer, true);
  b.run();
  ask(5, longer, true);
  b.run();
  std::vector<std::uint32_t> cached;
  for (RequestId id = 1; id <= 5; ++id) cached.push_back(b.sink.answers[id].started->cached_tokens);
  EXPECT_EQ(cached, (std::vector<std::uint32_t>{0, 96, 96, 96, 160}));
  for (RequestId id = 3; id <= 5; ++id) EXPECT_EQ(b.sink.ids(id), b.sink.ids(2));
}

TEST(Prefix, ThePromptsLastTokenIsAlwaysComputed) {
  Bench b({.prefix_pages = 64});
  for (RequestId id = 1; id <= 2; ++id) {
    b.engine->submit(of(generate(id, prompt_of(96), 4), "t", "a"));
    b.run();
  }
  EXPECT_EQ(b.sink.answers[2].started->cached_tokens, 64u);
  EXPECT_EQ(b.sink.ids(1), b.sink.ids(2));
}

TEST(Prefix, AnAnswerIsPartOfTheNextPrompt) {
  Bench b({.prefix_pages = 64});
  b.engine->submit(of(generate(1, prompt_of(40), 60), "t", "a"));
  b.run();
  auto next = prompt_of(40);
  for (const std::int32_t t : b.sink.ids(1)) next.push_back(t);
  b.engine->submit(of(generate(2, next, 5, 0.8f), "t", "a"));
  b.run();
  EXPECT_EQ(b.sink.answers[2].started->cached_tokens, 96u);
  EXPECT_EQ(b.sink.ids(2), alone(next, 5));
}

TEST(Prefix, WantedRowsOfThePromptAreAllComputed) {
  Bench b({.prefix_pages = 64});
  for (RequestId id = 1; id <= 2; ++id) {
    Request r = of(generate(id, prompt_of(80), 3), "t", "a");
    r.generate->want_logprobs = r.generate->want_prompt_logprobs = true;
    b.engine->submit(std::move(r));
    b.run();
  }
  EXPECT_EQ(b.sink.answers[2].started->cached_tokens, 0u);
  ASSERT_EQ(b.sink.answers[2].started->prompt.size(), 79u);
  for (std::size_t i = 0; i < 79; ++i) {
    EXPECT_EQ(b.sink.answers[1].started->prompt[i].logprob,
              b.sink.answers[2].started->prompt[i].logprob);
  }
}

TEST(Prefix, OfRequestsAtTheSameTimeOneComputesAndTheOthersTakeIt) {
  Bench b({.chunk = 16, .prefix_pages = 64});
  for (RequestId id = 1; id <= 4; ++id)
    b.engine->submit(
        of(generate(id, with_suffix(prompt_of(128), static_cast<int>(id), 10), 4), "t", "a"));
  b.run();
  EXPECT_EQ(b.engine->stats().prompt_tokens, 128u + 4 * 10);
  for (RequestId id = 1; id <= 4; ++id) {
    Bench one;
    one.engine->submit(generate(1, with_suffix(prompt_of(128), static_cast<int>(id), 10), 4));
    one.run();
    EXPECT_EQ(b.sink.ids(id), one.sink.ids(1));
  }
}

TEST(Prefix, AnOperatorsPromptIsSharedAndWhatFollowsItIsNot) {
  const auto system = prompt_of(70);
  Bench b({.prefix_pages = 64, .shared_prefixes = {system}});
  const auto asked = with_suffix(system, 3, 60);
  b.engine->submit(of(generate(1, asked, 4), "a", "a"));
  b.run();
  b.engine->submit(of(generate(2, asked, 4), "b", "b"));
  b.run();
  b.engine->submit(of(generate(3, asked, 4), "b", "b"));
  b.run();
  EXPECT_EQ(b.sink.answers[2].started->cached_tokens, 64u);
  EXPECT_EQ(b.sink.answers[3].started->cached_tokens, 128u);
  // One that cannot be told apart from it before its end shares nothing beyond.
  b.engine->submit(of(generate(4, with_suffix(prompt_of(64), 9, 60), 4), "c", "c"));
  b.run();
  EXPECT_EQ(b.sink.answers[4].started->cached_tokens, 64u);
}

TEST(Prefix, GivesWayToWhoRuns) {
  Bench b({.sequences = 1, .context = 256, .pages = 9, .prefix_pages = 64});
  for (int i = 0; i < 6; ++i) {
    const auto id = static_cast<RequestId>(i + 1);
    b.engine->submit(of(generate(id, prompt_of(150, i), 40, 0.8f), "t", "a"));
    b.run();
    EXPECT_EQ(b.sink.ids(id), alone(prompt_of(150, i), 40));
  }
  EXPECT_GT(b.engine->stats().prefix_evictions, 10u);
}

// Each may need seven of the twelve pages, but answers are known to be short.
TEST(Pages, WhatMayBeNeededIsNotSetAside) {
  Bench b({.sequences = 6, .context = 256, .pages = 12});
  RequestId id = 0;
  for (; id < 40; ++id) {
    b.engine->submit(generate(id, prompt_of(20), 6));
    b.run();
  }
  const RequestId first = id;
  for (int salt = 0; salt < 6; ++salt)
    b.engine->submit(generate(id++, prompt_of(20, salt), 200, 0.8f));
  std::uint32_t together = 0;
  for (int i = 0; i < 20; ++i) {
    b.engine->step();
    together = std::max(together, b.engine->stats().running);
  }
  EXPECT_EQ(together, 6u);
  b.run();
  // They were long after all: some had to pause, and each said what it says alone.
  for (int salt = 0; salt < 6; ++salt) {
    EXPECT_EQ(b.sink.ids(first + static_cast<RequestId>(salt)), alone(prompt_of(20, salt), 200));
  }
}

TEST(Pages, WhoPausesGoesOnBeforeOthersBegin) {
  Bench b({.sequences = 3, .context = 256, .pages = 9});
  for (RequestId id = 1; id <= 20; ++id) {
    b.engine->submit(generate(id, prompt_of(20), 2));
    b.run();
  }
  for (RequestId id = 101; id <= 102; ++id) b.engine->submit(generate(id, prompt_of(20), 230));
  // Short ones keep coming; the long ones end all the same.
  RequestId next = 200;
  int steps = 0;
  while ((b.sink.answers[101].ends == 0 || b.sink.answers[102].ends == 0) && steps < 2000) {
    if (steps % 2 == 0) b.engine->submit(generate(next++, prompt_of(20), 4));
    b.engine->step();
    ++steps;
  }
  EXPECT_LT(steps, 2 * 240);
  b.run();
  EXPECT_GT(b.sink.answers[200].ends, 0);
}

// Long prompts and answers, few pages, kept prompts, guesses, cancels: nobody waits for ever, and
// no bit differs.
TEST(Pages, ShortOfThemEveryAnswerEndsWithItsBits) {
  constexpr std::size_t kSuffixes[] = {10, 70, 120};
  const auto asked = [&](int salt) {
    return with_suffix(prompt_of(64), salt % 3, kSuffixes[salt / 3]);
  };
  std::map<int, std::vector<std::int32_t>> expected;
  for (int salt = 0; salt < 9; ++salt)
    expected[salt] = alone(asked(salt), static_cast<std::uint32_t>(250 - asked(salt).size()));
  std::uint64_t pauses = 0;
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    BenchSetup setup{.chunk = random() % 2 == 0 ? 24u : 1u,
                     .sequences = 4,
                     .pages = 8 + random() % 8,
                     .guests = 1,
                     .prefix_pages = random() % 3 == 0 ? 0u : 8u};
    if (random() % 2 == 0)
      setup.speculation = {
          .source = SpeculationOptions::Source::kLookup, .adaptive = false, .tokens_max = 4};
    Bench b(setup);
    std::map<RequestId, int> salts;
    std::map<RequestId, std::size_t> lengths;  // of those that nobody cancels
    for (RequestId id = 1; id <= 20; ++id) {
      const int salt = salts[id] = static_cast<int>(random() % 9);
      const std::size_t length = lengths[id] = random() % 3 == 0 ? expected[salt].size() : 3;
      const std::string tenant(1, static_cast<char>('a' + random() % 2));
      Request r = of(generate(id, asked(salt), static_cast<std::uint32_t>(length), 0.8f), tenant,
                     tenant, static_cast<Priority>(random() % 3));
      r.scheduling.keep_prompt = random() % 4 != 0;
      b.engine->submit(std::move(r));
      for (std::uint32_t i = random() % 12; i > 0; --i) b.engine->step();
      if (random() % 6 == 0) {
        const RequestId victim = 1 + random() % id;
        lengths.erase(victim);
        b.engine->cancel(victim);
      }
    }
    b.run();
    pauses += b.engine->stats().pauses;
    for (const auto& [id, salt] : salts) {
      ASSERT_EQ(b.sink.answers[id].ends, 1) << id;
      ASSERT_FALSE(b.sink.answers[id].failure && lengths.contains(id)) << id;
      const std::vector<std::int32_t> said = b.sink.ids(id);
      ASSERT_TRUE(std::ranges::equal(said, std::span(expected[salt]).first(said.size()))) << id;
      if (lengths.contains(id)) {
        ASSERT_EQ(said.size(), lengths[id]) << id;
      }
    }
  }
  EXPECT_GT(pauses, 100u);
}

TEST(Classes, AHigherOneGoesFirstAndTakesAPlaceAndNoBitChanges) {
  Bench b({.sequences = 1});
  b.engine->submit(of(generate(1, prompt_of(30), 20, 0.8f), "t", "", Priority::kBatch));
  for (int i = 0; i < 8; ++i) b.engine->step();
  EXPECT_GT(b.sink.ids(1).size(), 2u);
  b.engine->submit(of(generate(2, prompt_of(30, 1), 5, 0.8f), "t", "", Priority::kBatch));
  b.engine->submit(of(generate(3, prompt_of(30, 2), 5, 0.8f), "t"));
  b.engine->submit(of(generate(4, prompt_of(30, 3), 5, 0.8f), "t", "", Priority::kRealtime));
  const auto before = b.sink.ids(1).size();
  while (b.sink.answers[4].ends == 0) b.engine->step();
  EXPECT_EQ(b.sink.answers[3].ends, 0);
  while (b.sink.answers[3].ends == 0) b.engine->step();
  EXPECT_EQ(b.sink.ids(1).size(), before);
  b.run();
  EXPECT_EQ(b.engine->stats().preemptions, 1u);
  EXPECT_EQ(b.sink.ids(1), alone(prompt_of(30), 20));
  EXPECT_EQ(b.sink.ids(2), alone(prompt_of(30, 1), 5));
  for (RequestId id = 1; id <= 4; ++id) {
    EXPECT_EQ(b.sink.answers[id].ends, 1);
    EXPECT_EQ(b.sink.answers[id].finished->prompt_tokens, 30u);
  }
  EXPECT_EQ(b.sink.answers[1].finished->completion_tokens, 20u);
}

TEST(Classes, ARestartAtEveryStepChangesNoBit) {
  const auto expected = alone(prompt_of(40), 12);
  for (const std::size_t kept : {0u, 64u}) {
    for (int steps = 0; steps < 20; ++steps) {
      Bench b({.chunk = 16, .sequences = 1, .prefix_pages = kept});
      b.engine->submit(of(generate(1, prompt_of(40), 12, 0.8f), "t", "a", Priority::kBatch));
      for (int i = 0; i < steps; ++i) b.engine->step();
      b.engine->submit(of(generate(2, prompt_of(9), 3), "t", "a"));
      b.run();
      ASSERT_EQ(b.sink.ids(1), expected) << "after step " << steps;
    }
  }
}

TEST(Classes, TheSameOneIsNotPreempted) {
  Bench b({.sequences = 1});
  b.engine->submit(of(generate(1, prompt_of(10), 10), "a"));
  b.engine->step();
  b.engine->submit(of(generate(2, prompt_of(10), 1), "b"));
  b.run();
  EXPECT_EQ(b.engine->stats().preemptions, 0u);
}

TEST(Guests, AnotherTenantNeedNotWaitForAPlace) {
  Bench b({.sequences = 2, .guests = 1});
  for (RequestId id = 1; id <= 6; ++id) b.engine->submit(of(generate(id, prompt_of(10), 20), "a"));
  b.engine->step();
  EXPECT_EQ(b.engine->stats().running, 2u);
  b.engine->submit(of(generate(7, prompt_of(10), 20), "b"));
  b.engine->submit(of(generate(8, prompt_of(10), 20), "b"));
  b.engine->step();
  EXPECT_EQ(b.engine->stats().running, 3u);
  EXPECT_EQ(b.sink.answers[7].tokens.size(), 1u);
  EXPECT_TRUE(b.sink.answers[8].tokens.empty());
  b.run();
}

TEST(Deadlines, EndWhatWaitsAndWhatRuns) {
  platform::ManualClock clock;
  Bench b({.sequences = 1, .clock = &clock});
  const auto with_deadline = [&](RequestId id, std::int64_t in_ns) {
    Request r = generate(id, prompt_of(10), 100);
    r.scheduling.deadline_ns = static_cast<std::uint64_t>(clock.monotonic_ns() + in_ns);
    return r;
  };
  b.engine->submit(with_deadline(1, 1000));
  b.engine->submit(with_deadline(2, 500));
  b.engine->submit(with_deadline(3, 0));
  b.engine->step();
  EXPECT_EQ(b.sink.answers[3].failure->kind, FailureKind::kDeadline);
  clock.advance(std::chrono::nanoseconds(499));
  b.engine->step();
  EXPECT_EQ(b.sink.answers[2].ends, 0);
  clock.advance(std::chrono::nanoseconds(1));
  b.engine->step();
  EXPECT_EQ(b.sink.answers[2].failure->kind, FailureKind::kDeadline);
  EXPECT_TRUE(b.sink.answers[2].tokens.empty());
  EXPECT_EQ(b.sink.answers[1].ends, 0);
  clock.advance(std::chrono::nanoseconds(500));
  b.engine->step();
  EXPECT_EQ(b.sink.answers[1].failure->kind, FailureKind::kDeadline);
  EXPECT_FALSE(b.sink.answers[1].tokens.empty());
  EXPECT_TRUE(b.engine->idle());
  EXPECT_EQ(b.cache->pages_in_use(), 0u);
}

TEST(Cancel, FreesEverythingBeforeTheNextStepInEveryState) {
  for (const std::size_t kept : {0u, 64u}) {
    for (int steps = 0; steps < 12; ++steps) {
      Bench b({.chunk = 8, .sequences = 1, .prefix_pages = kept});
      b.engine->submit(of(generate(1, prompt_of(40), 50), "t", "a"));
      b.engine->submit(of(generate(2, prompt_of(40), 50), "t", "a"));
      for (int i = 0; i < steps; ++i) b.engine->step();
      b.engine->cancel(2);
      EXPECT_EQ(b.sink.answers[2].finished->reason, FinishReason::kCancelled);
      b.engine->cancel(1);
      b.engine->step();
      EXPECT_EQ(b.sink.answers[1].finished->reason, FinishReason::kCancelled);
      EXPECT_TRUE(b.engine->idle());
      EXPECT_EQ(b.cache->pages_in_use(), 0u);
    }
  }
}

// Requests of every kind come, are cancelled and expire at random; each ends once, all memory comes
// back, and those that were left alone say what they say alone.
TEST(Random, NothingIsLostOrMixedUp) {
  std::map<int, std::vector<std::int32_t>> expected;
  for (int salt = 0; salt < 4; ++salt)
    expected[salt] = alone(with_suffix(prompt_of(64), salt, 20), 12);
  for (std::uint32_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    platform::ManualClock clock;
    Bench b({.chunk = 24,
             .sequences = 3,
             .pages = 24,
             .guests = 1,
             .prefix_pages = 12,
             .clock = &clock});
    std::map<RequestId, int> salts;
    std::map<RequestId, bool> disturbed;
    for (RequestId id = 1; id <= 40; ++id) {
      const int salt = salts[id] = static_cast<int>(random() % 4);
      const std::string tenant(1, static_cast<char>('a' + random() % 3));
      Request r = of(generate(id, with_suffix(prompt_of(64), salt, 20), 12, 0.8f), tenant, tenant,
                     static_cast<Priority>(random() % 3));
      r.scheduling.keep_prompt = random() % 4 != 0;
      if (random() % 6 == 0) {
        r.scheduling.deadline_ns = static_cast<std::uint64_t>(clock.monotonic_ns() + random() % 30);
        disturbed[id] = true;
      }
      b.engine->submit(std::move(r));
      for (std::uint32_t i = random() % 4; i > 0; --i) {
        clock.advance(std::chrono::nanoseconds(1));
        b.engine->step();
      }
      if (random() % 5 == 0) {
        const RequestId victim = 1 + random() % id;
        disturbed[victim] = true;
        b.engine->cancel(victim);
      }
    }
    b.run();
    for (const auto& [id, salt] : salts) {
      const auto& answer = b.sink.answers[id];
      ASSERT_EQ(answer.ends, 1) << id;
      if (!disturbed[id] && !answer.failure) {
        ASSERT_EQ(b.sink.ids(id), expected[salt]) << id;
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::runtime
