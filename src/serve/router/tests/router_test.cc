#include "holdfast/router/router.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "scripted_backend.h"

namespace holdfast::router {
namespace {

using backend::FailureKind;
using Script = ScriptedBackend::Script;

class NullSink final : public observe::LogSink {
 public:
  void write_line(std::string_view) override {}
};

class RouterTest : public ::testing::Test {
 protected:
  std::shared_ptr<Script> add(const std::string& name, std::vector<std::string> models,
                              std::uint32_t slots = 4) {
    auto script = std::make_shared<Script>();
    for (const std::string& id : models) {
      backend::ModelFacts facts;
      facts.id = id;
      facts.aliases = {"alias-" + id};
      script->models.push_back(facts);
    }
    Target target;
    target.name = name;
    target.kind = name == "native" ? "native" : "openai";
    target.slots = slots;
    target.with_breaker = name != "native";
    target.backend = std::make_unique<ScriptedBackend>(script);
    targets_.push_back(std::move(target));
    return script;
  }
  Router& router() {
    if (!router_) {
      router_ = std::make_unique<Router>(options_, std::move(targets_),
                                         Router::Environment{metrics_, logger_, clock_, entropy_});
    }
    return *router_;
  }
  struct Running {
    std::shared_ptr<Recorder> seen = std::make_shared<Recorder>();
    std::unique_ptr<backend::RequestHandle> handle;
  };
  Running generate(const std::string& model, const std::string& prompt = "hello",
                   const std::string& tenant = "t") {
    Running out;
    backend::GenerateRequest request;
    request.model = model;
    request.caller.tenant = tenant;
    request.prompt = backend::TextPrompt{prompt};
    out.handle = router().generate(std::move(request), out.seen);
    return out;
  }
  static void finish(const std::shared_ptr<ScriptedBackend::Call>& call) {
    auto observer = std::exchange(call->observer, nullptr);
    observer->on_started({});
    observer->on_token({"x", {}, {}});
    observer->on_finished({});
  }
  static void fail(const std::shared_ptr<ScriptedBackend::Call>& call, FailureKind kind,
                   Error error = unavailable("down")) {
    std::exchange(call->observer, nullptr)->on_error({std::move(error), kind});
  }

  RouterOptions options_{{}, {}, 1024, std::chrono::milliseconds(1)};
  observe::Registry metrics_;
  NullSink sink_;
  observe::Logger logger_{sink_, platform::system_clock(), {}};
  platform::ManualClock clock_;
  platform::SeededEntropy entropy_{1};
  std::vector<Target> targets_;
  std::unique_ptr<Router> router_;
};

TEST_F(RouterTest, ModelsOfAllAreListedOnceNativeFirst) {
  add("native", {"a:latest", "b:latest"});
  add("up", {"b:latest", "c"});
  std::vector<std::string> ids;
  for (const auto& model : router().models()) ids.push_back(model.id);
  EXPECT_EQ(ids, (std::vector<std::string>{"a:latest", "b:latest", "c"}));
  EXPECT_EQ(router().routes().size(), 4u);
  EXPECT_EQ(router().stats().engines.size(), 3u);
}

TEST_F(RouterTest, ARequestRunsWhereItsModelIsAndItsEndIsPassedOn) {
  const auto native = add("native", {"a:latest"});
  const auto up = add("up", {"c"});
  auto one = generate("a");
  auto two = generate("alias-c");
  finish(native->call(0));
  finish(up->call(0));
  EXPECT_EQ(native->call(0)->request.model, "a:latest");
  EXPECT_EQ(up->call(0)->request.model, "c");
  for (const auto& r : {one.seen, two.seen}) {
    EXPECT_EQ(r->started, 1);
    EXPECT_EQ(r->text, "x");
    EXPECT_EQ(r->ends, 1);
    EXPECT_TRUE(r->finished);
  }
  auto none = generate("zzz");
  EXPECT_EQ(none.handle, nullptr);
  EXPECT_EQ(none.seen->failure->kind, FailureKind::kModelNotFound);
}

TEST_F(RouterTest, WhatDoesNotFitTheQueueIsRefusedAtOnce) {
  options_.admission.queue_max = 3;
  const auto native = add("native", {"a"});
  native->slots = 2;
  std::vector<Running> running;
  for (int i = 0; i < 5; ++i) running.push_back(generate("a"));
  EXPECT_EQ(native->count(), 5u);
  auto refused = generate("a");
  EXPECT_EQ(refused.handle, nullptr);
  ASSERT_TRUE(refused.seen->failure);
  EXPECT_EQ(refused.seen->failure->kind, FailureKind::kOverloaded);
  EXPECT_GT(refused.seen->failure->retry_after_ms, 0u);
  EXPECT_EQ(native->count(), 5u);
  finish(native->call(0));
  EXPECT_NE(generate("a").handle, nullptr);
}

TEST_F(RouterTest, NewLimitsHoldFromTheNextRequestOn) {
  options_.admission.queue_max = 1;
  const auto native = add("native", {"a"}, 1);
  std::vector<Running> running;
  running.push_back(generate("a"));
  running.push_back(generate("a"));
  EXPECT_EQ(generate("a").handle, nullptr);
  AdmissionLimits wider;
  wider.queue_max = 2;
  router().set_admission(wider);
  running.push_back(generate("a"));
  EXPECT_NE(running.back().handle, nullptr);
  EXPECT_EQ(generate("a").handle, nullptr);
}

TEST_F(RouterTest, ShortMemoryRefusesBatchFirstAndThenAll) {
  const auto native = add("native", {"a"});
  const auto ask = [&](backend::Priority priority) {
    Running out;
    backend::GenerateRequest request;
    request.model = "a";
    request.priority = priority;
    request.prompt = backend::TextPrompt{"x"};
    out.handle = router().generate(std::move(request), out.seen);
    if (out.handle) finish(native->call(native->count() - 1));
    return out;
  };
  struct Row {
    double in_use;
    bool batch, interactive, keeps;
  };
  for (const Row row :
       {Row{0.5, true, true, true}, Row{0.8, true, true, false}, Row{0.9, false, true, false},
        Row{0.95, false, false, false}, Row{0.2, true, true, true}}) {
    router().set_memory_in_use(row.in_use);
    const Running batch = ask(backend::Priority::kBatch);
    const Running interactive = ask(backend::Priority::kInteractive);
    EXPECT_EQ(batch.handle != nullptr, row.batch) << row.in_use;
    EXPECT_EQ(interactive.handle != nullptr, row.interactive) << row.in_use;
    if (row.interactive) {
      EXPECT_EQ(native->call(native->count() - 1)->request.keep_prompt, row.keeps) << row.in_use;
    } else {
      EXPECT_EQ(interactive.seen->failure->kind, FailureKind::kOverloaded);
      EXPECT_EQ(interactive.seen->failure->error.detail(), "memory");
      EXPECT_GT(interactive.seen->failure->retry_after_ms, 0u);
    }
  }
}

TEST_F(RouterTest, WithoutMemoryTheYoungestOfOursEnds) {
  const auto native = add("native", {"a"});
  const auto other = add("far", {"b"});
  const Running first = generate("a");
  const Running second = generate("a");
  const Running elsewhere = generate("b");  // the youngest, but its memory is another's
  native->call(1)->observer->on_started({});
  router().set_memory_in_use(0.985);
  EXPECT_FALSE(native->call(1)->cancelled);
  router().set_memory_in_use(0.99);
  EXPECT_TRUE(native->call(1)->cancelled);
  EXPECT_FALSE(native->call(0)->cancelled);
  EXPECT_FALSE(other->call(0)->cancelled);
  backend::Finished stopped;
  stopped.reason = backend::FinishReason::kCancelled;
  std::exchange(native->call(1)->observer, nullptr)->on_finished(stopped);
  ASSERT_TRUE(second.seen->failure);
  EXPECT_EQ(second.seen->failure->kind, FailureKind::kOverloaded);
  EXPECT_GT(second.seen->failure->retry_after_ms, 0u);
  EXPECT_EQ(second.seen->ends, 1);
  router().set_memory_in_use(0.99);  // and then the next
  EXPECT_TRUE(native->call(0)->cancelled);
  router().set_memory_in_use(0.99);
  EXPECT_FALSE(other->call(0)->cancelled);
  EXPECT_NE(metrics_.expose_text().find("holdfast_memory_shed_total 2"), std::string::npos);
}

TEST_F(RouterTest, TheLeastLoadedTargetIsTaken) {
  const auto big = add("big", {"m"}, 8);
  const auto small = add("small", {"m"}, 2);
  std::vector<Running> running;
  for (int i = 0; i < 10; ++i) running.push_back(generate("m", std::to_string(i)));
  EXPECT_EQ(big->count() + small->count(), 10u);
  EXPECT_GE(big->count(), 7u);
  EXPECT_GE(small->count(), 1u);
}

TEST_F(RouterTest, EqualPromptsGoToTheSameTargetWhileThereIsRoom) {
  std::vector<std::shared_ptr<Script>> scripts;
  for (const char* name : {"u1", "u2", "u3"}) scripts.push_back(add(name, {"m"}, 8));
  std::set<std::size_t> used;
  for (int prompt = 0; prompt < 12; ++prompt) {
    std::set<std::size_t> of_prompt;
    for (int repeat = 0; repeat < 3; ++repeat) {
      auto r = generate("m", "system prompt " + std::to_string(prompt));
      for (std::size_t s = 0; s < scripts.size(); ++s) {
        if (scripts[s]->count() == 0) continue;
        of_prompt.insert(s);
        finish(scripts[s]->call(0));
        scripts[s]->calls.clear();
      }
    }
    EXPECT_EQ(of_prompt.size(), 1u) << prompt;
    used.insert(of_prompt.begin(), of_prompt.end());
  }
  EXPECT_EQ(used.size(), 3u);
}

TEST_F(RouterTest, AFailureBeforeTheFirstTokenIsTriedElsewhereOnce) {
  const auto one = add("u1", {"m"});
  const auto two = add("u2", {"m"});
  auto r = generate("m");
  const auto first = one->count() == 1 ? one : two;
  const auto second = first == one ? two : one;
  fail(first->call(0), FailureKind::kUpstream, internal_error("garbage"));
  const auto again = second->call(0);
  ASSERT_TRUE(again);
  fail(again, FailureKind::kUpstream);
  ASSERT_TRUE(r.seen->wait());
  EXPECT_EQ(r.seen->failure->kind, FailureKind::kUpstream);
  EXPECT_EQ(first->count(), 1u);
}

TEST_F(RouterTest, AloneAConnectionIsTriedTwiceAndGarbageOnce) {
  const auto up = add("up", {"m"});
  auto r = generate("m");
  fail(up->call(0), FailureKind::kUpstream);
  ASSERT_TRUE(up->call(1));
  finish(up->call(1));
  ASSERT_TRUE(r.seen->wait());
  EXPECT_TRUE(r.seen->finished);
  auto garbage = generate("m");
  fail(up->call(2), FailureKind::kUpstream, internal_error("garbage"));
  ASSERT_TRUE(garbage.seen->wait());
  EXPECT_TRUE(garbage.seen->failure);
  EXPECT_EQ(up->count(), 3u);
}

TEST_F(RouterTest, NothingIsTriedAgainAfterTheStart) {
  const auto one = add("u1", {"m"});
  const auto two = add("u2", {"m"});
  auto r = generate("m");
  const auto call = one->count() == 1 ? one->call(0) : two->call(0);
  call->observer->on_started({});
  fail(call, FailureKind::kUpstream);
  ASSERT_TRUE(r.seen->wait());
  EXPECT_TRUE(r.seen->failure);
  EXPECT_EQ(one->count() + two->count(), 1u);
}

TEST_F(RouterTest, TheBreakerOpensAfterFiveFailuresAndProbesWithOneRequest) {
  const auto up = add("up", {"m"});
  up->fail_at_once = true;
  up->failure = {internal_error("garbage"), FailureKind::kUpstream};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(generate("m").seen->failure->kind, FailureKind::kUpstream);
  }
  EXPECT_EQ(router().routes().front().state, "open");
  auto away = generate("m");
  EXPECT_EQ(away.seen->failure->kind, FailureKind::kNoRoute);
  EXPECT_GT(away.seen->failure->retry_after_ms, 0u);
  EXPECT_EQ(up->count(), 5u);
  clock_.advance(std::chrono::milliseconds(1300));
  up->fail_at_once = false;
  auto probe = generate("m");
  EXPECT_EQ(generate("m").seen->failure->kind, FailureKind::kNoRoute);
  finish(up->call(5));
  EXPECT_TRUE(probe.seen->finished);
  EXPECT_EQ(router().routes().front().state, "closed");
  EXPECT_NE(generate("m").handle, nullptr);
}

TEST_F(RouterTest, ACancelReachesTheBackendAndDroppingIsOne) {
  const auto up = add("up", {"m"});
  auto r = generate("m");
  EXPECT_FALSE(up->call(0)->cancelled);
  r.handle->cancel();
  EXPECT_TRUE(up->call(0)->cancelled);
  auto dropped = generate("m");
  dropped.handle.reset();
  EXPECT_TRUE(up->call(1)->cancelled);
}

TEST_F(RouterTest, EverybodyIsToldWhenItEnds) {
  add("native", {"a"});
  const auto up = add("up", {"m"});
  options_.retry_pause = std::chrono::hours(1);
  auto running = generate("a");
  auto retrying = generate("m");
  fail(up->call(0), FailureKind::kUpstream);
  router_.reset();
  EXPECT_EQ(running.seen->ends, 1);
  EXPECT_EQ(retrying.seen->ends, 1);
}

TEST_F(RouterTest, MetricsNameTargetsAndReasons) {
  const auto up = add("up", {"m"});
  generate("m");
  finish(up->call(0));
  const std::string text = metrics_.expose_text();
  for (const char* line : {"holdfast_route_decisions_total{target=\"up\",reason=\"only\"} 1",
                           "holdfast_upstream_requests_total{upstream=\"up\"} 1",
                           "holdfast_upstream_latency_seconds_count{upstream=\"up\"} 1",
                           "holdfast_upstream_breaker_state{upstream=\"up\"} 0"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
}

TEST(BreakerTest, BackOffDoublesToItsLimit) {
  platform::SeededEntropy entropy(3);
  Breaker breaker({.failures_max = 1,
                   .backoff = std::chrono::seconds(1),
                   .backoff_max = std::chrono::seconds(8)},
                  entropy);
  std::chrono::nanoseconds now{0};
  for (const double expected : {1.0, 2.0, 4.0, 8.0, 8.0}) {
    breaker.failed(now);
    EXPECT_FALSE(breaker.allows(now));
    const double wait = std::chrono::duration<double>(breaker.retry_after(now)).count();
    EXPECT_NEAR(wait, expected, 0.2 * expected + 1e-6);
    now += breaker.retry_after(now);
    EXPECT_TRUE(breaker.allows(now));
    EXPECT_TRUE(breaker.begin(now));
    EXPECT_FALSE(breaker.allows(now));  // one probe at a time
    breaker.unknown();
    EXPECT_TRUE(breaker.begin(now));
  }
  breaker.succeeded();
  EXPECT_EQ(breaker.state(now), BreakerState::kClosed);
}

// A request may be sent to any of them.
TEST_F(RouterTest, AModelIsConstrainedWhereAllOfItsTargetsAre) {
  auto native = add("native", {"both", "native-only"});
  auto upstream = add("up", {"both", "theirs", "mixed"});
  auto other = add("other", {"mixed"});
  for (auto& model : upstream->models) model.constrained = true;
  std::map<std::string, bool> constrained;
  for (const auto& model : router().models()) constrained[model.id] = model.constrained;
  EXPECT_EQ(constrained,
            (std::map<std::string, bool>{
                {"both", false}, {"mixed", false}, {"native-only", false}, {"theirs", true}}));
}

}  // namespace
}  // namespace holdfast::router
