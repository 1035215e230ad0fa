// Models that come and go: loads on demand, what waits for them, eviction, pins, backing off.
#include <gmock/gmock.h>

#include <random>

#include "native_fixture.h"

namespace holdfast::backend {
namespace {

using namespace std::chrono_literals;
using testing::Answer;
using testing::kPatience;
using testing::Recorder;

class ModelsTest : public testing::NativeBackendTest {
 protected:
  static GenerateRequest impatient(const std::string& model) {
    GenerateRequest r = for_model(model);
    r.wait_for_load = false;
    return r;
  }
  bool is_loading(const std::string& id) {
    const auto f = engine(id);
    return f && f->state == ModelState::kLoading;
  }
};

TEST_F(ModelsTest, AColdModelSaysHowLongItTakesAndLoadsOn) {
  use_gate();
  start();
  const auto refused = run(impatient("tiny"));
  ASSERT_TRUE(refused->failure());
  EXPECT_EQ(refused->failure()->kind, FailureKind::kModelLoading);
  EXPECT_GE(refused->failure()->retry_after_ms, 1000u);
  EXPECT_LE(refused->failure()->retry_after_ms, 60'000u);
  EXPECT_FALSE(refused->failure()->loading_state.empty());
  EXPECT_LT(refused->failure()->loading_progress, 1.0);
  ASSERT_TRUE(eventually([&] { return starts().size() == 1; }));
  const auto facts = engine("tiny:latest");
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->state, ModelState::kLoading);
  EXPECT_FALSE(facts->loading_state.empty());
  EXPECT_EQ(backend_->models().at(0).state, ModelState::kLoading);
  // Who asks again hears the same, and starts nothing.
  EXPECT_EQ(run(impatient("tiny"))->failure()->kind, FailureKind::kModelLoading);
  open_gate();
  ASSERT_TRUE(eventually([&] { return !is_loading("tiny:latest"); }));
  EXPECT_TRUE(run(impatient("tiny"))->finished());
  EXPECT_EQ(starts().size(), 1u);
}

TEST_F(ModelsTest, WhoWaitsForALoadCanLeave) {
  use_gate();
  start();
  Run cancelled = begin(for_model("tiny"));
  Run dropped = begin(for_model("tiny"));
  Run stays = begin(for_model("tiny"));
  ASSERT_TRUE(eventually([&] { return starts().size() == 1; }));
  cancelled.handle->cancel();
  dropped.handle.reset();
  for (const Run* r : {&cancelled, &dropped}) {
    ASSERT_TRUE(r->recorder->wait_end());
    ASSERT_TRUE(r->recorder->finished());
    EXPECT_EQ(r->recorder->finished()->reason, FinishReason::kCancelled);
  }
  cancelled.handle->cancel();  // harmless
  EXPECT_TRUE(is_loading("tiny:latest"));
  EXPECT_EQ(engine("tiny:latest")->waiting, 1u);
  open_gate();
  ASSERT_TRUE(stays.recorder->wait_end());
  EXPECT_TRUE(stays.recorder->finished());
  EXPECT_GT(stays.recorder->finished()->timings.load_ns, 0u);
  EXPECT_TRUE(becomes_idle("tiny:latest"));
}

TEST_F(ModelsTest, ADeadlineEndsTheWaitForALoad) {
  use_gate();
  start();
  GenerateRequest hurried = for_model("tiny");
  hurried.deadline = std::chrono::steady_clock::now() + 50ms;
  GenerateRequest late = for_model("tiny");
  late.deadline = std::chrono::steady_clock::now() - 1ms;
  GenerateRequest relaxed = for_model("tiny");
  relaxed.deadline = std::chrono::steady_clock::now() + 1h;
  Run a = begin(hurried);
  Run b = begin(late);
  Run c = begin(relaxed);
  for (const Run* r : {&a, &b}) {
    ASSERT_TRUE(r->recorder->wait_end());
    ASSERT_TRUE(r->recorder->failure());
    EXPECT_EQ(r->recorder->failure()->kind, FailureKind::kDeadline);
  }
  EXPECT_TRUE(is_loading("tiny:latest"));
  open_gate();
  ASSERT_TRUE(c.recorder->wait_end());
  EXPECT_TRUE(c.recorder->finished());
}

TEST_F(ModelsTest, NothingIsLoadedForNobody) {
  store_->import("qwen2-bias", "other");
  use_gate();
  start();
  Run first = begin(for_model("tiny"));
  ASSERT_TRUE(eventually([&] { return starts().size() == 1; }));
  Run second = begin(for_model("other"));
  EXPECT_TRUE(is_loading("other:latest"));
  second.handle.reset();
  ASSERT_TRUE(second.recorder->wait_end());
  open_gate();
  ASSERT_TRUE(first.recorder->wait_end());
  EXPECT_TRUE(eventually([&] { return !engine("other:latest"); }));
  EXPECT_EQ(starts().size(), 1u);
  // Who would not wait has gone too, but asked for the load to go on.
  close_gate();
  unload("tiny");
  Run third = begin(for_model("tiny"));
  ASSERT_TRUE(eventually([&] { return starts().size() == 2; }));
  EXPECT_EQ(run(impatient("other"))->failure()->kind, FailureKind::kModelLoading);
  open_gate();
  EXPECT_TRUE(eventually([&] {
    const auto f = engine("other:latest");
    return f && f->state == ModelState::kReady;
  }));
}

TEST_F(ModelsTest, NotMoreWaitThanMay) {
  use_gate();
  options_.waiters_max = 3;
  start();
  std::vector<Run> runs;
  for (int i = 0; i < 3; ++i) runs.push_back(begin(for_model("tiny")));
  const auto refused = run(for_model("tiny"));
  ASSERT_TRUE(refused->failure());
  EXPECT_EQ(refused->failure()->kind, FailureKind::kOverloaded);
  EXPECT_GT(refused->failure()->retry_after_ms, 0u);
  runs.pop_back();  // its place is free
  ASSERT_TRUE(eventually([&] { return engine("tiny:latest")->waiting == 2; }));
  runs.push_back(begin(for_model("tiny")));
  open_gate();
  for (const Run& r : runs) {
    ASSERT_TRUE(r.recorder->wait_end());
    EXPECT_TRUE(r.recorder->finished());
  }
}

TEST_F(ModelsTest, UnloadEndsALoadThatIsUnderWay) {
  use_gate();
  start();
  Run waiting = begin(for_model("tiny"));
  ASSERT_TRUE(eventually([&] { return starts().size() == 1; }));
  const pid_t pid = starts().back();
  unload("tiny");  // returns although the gate is closed
  ASSERT_TRUE(waiting.recorder->wait_end());
  ASSERT_TRUE(waiting.recorder->finished());
  EXPECT_EQ(waiting.recorder->finished()->reason, FinishReason::kCancelled);
  EXPECT_TRUE(gone(pid));
  EXPECT_FALSE(engine("tiny:latest"));
  // Not a failure: nothing cools down. Who asks while the load is being ended gets another.
  Run again = begin(for_model("tiny"));
  ASSERT_TRUE(eventually([&] { return starts().size() == 2; }));
  Answer<std::monostate> unloaded;
  backend_->unload("tiny", unloaded.done());
  Run last = begin(for_model("tiny"));
  unloaded.value();
  open_gate();
  ASSERT_TRUE(last.recorder->wait_end());
  EXPECT_TRUE(last.recorder->finished()) << last.recorder->failure()->error.to_string();
  ASSERT_TRUE(again.recorder->wait_end());
  EXPECT_EQ(again.recorder->finished()->reason, FinishReason::kCancelled);
}

TEST_F(ModelsTest, ABrokenModelIsTriedOncePerPause) {
  use_gate();
  open_gate();
  start();
  store_->catalog->replace("tiny:latest", store_->damaged("tiny", 100));
  std::vector<std::thread> callers;
  for (int t = 0; t < 10; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        const auto got = run(for_model("tiny"));
        ASSERT_TRUE(got->failure());
        EXPECT_EQ(got->failure()->kind, FailureKind::kModelCorrupt);
        EXPECT_GT(got->failure()->retry_after_ms, 0u);
        EXPECT_LE(got->failure()->retry_after_ms, 10'000u);
      }
    });
  }
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(starts().size(), 1u);
  EXPECT_EQ(run(impatient("tiny"))->failure()->kind, FailureKind::kModelCorrupt);
  // Once it is repaired, an operator need not wait.
  store_->catalog->restore("tiny:latest");
  EXPECT_TRUE(run(for_model("tiny"))->failure());
  unload("tiny");
  EXPECT_TRUE(run(for_model("tiny"))->finished());
  EXPECT_EQ(starts().size(), 2u);
}

TEST_F(ModelsTest, OneDeathWhileLoadingIsForgivenASecondIsNot) {
  const std::string path = store_->dir + "/dies.sh";
  std::ofstream(path) << "#!/bin/sh\necho $$ >> " << starts_path() << "\nexit 1\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  options_.engine_program = path;
  start();
  for (std::size_t attempt = 1; attempt <= 2; ++attempt) {
    EXPECT_EQ(run(for_model("tiny"))->failure()->kind, FailureKind::kEngineCrashed);
    EXPECT_EQ(starts().size(), attempt);
  }
  const auto third = run(for_model("tiny"));
  EXPECT_EQ(third->failure()->kind, FailureKind::kEngineCrashed);
  EXPECT_GT(third->failure()->retry_after_ms, 5'000u);
  EXPECT_EQ(starts().size(), 2u);
}

TEST_F(ModelsTest, TheModelUsedLongestAgoMakesRoom) {
  for (const char* name : {"b", "c", "d"}) store_->import("qwen2-bias", name);
  options_.loaded_max = 3;
  start();
  load("tiny");
  load("b");
  load("c");
  EXPECT_TRUE(run(for_model("tiny"))->finished());
  ASSERT_TRUE(becomes_idle("tiny:latest"));
  load("d");
  EXPECT_FALSE(engine("b:latest"));
  EXPECT_TRUE(engine("tiny:latest"));
  EXPECT_TRUE(engine("c:latest"));
  // One that is at work stays, however long ago its request began.
  Run busy = begin(for_model("c", {}));
  ASSERT_TRUE(busy.recorder->wait_tokens(1));
  load("tiny");
  load("d");
  load("b");
  EXPECT_TRUE(engine("c:latest"));
  EXPECT_FALSE(engine("tiny:latest"));
  EXPECT_FALSE(busy.recorder->has_ended());
}

TEST_F(ModelsTest, APinnedModelStays) {
  store_->import("qwen2-bias", "other");
  options_.loaded_max = 1;
  options_.keep_alive = 1ms;
  start();
  const EngineFacts facts = load("tiny", -1ms);
  EXPECT_TRUE(facts.pinned);
  EXPECT_EQ(facts.expires_at, 0);
  const auto refused = run(for_model("other"));
  ASSERT_TRUE(refused->failure());
  EXPECT_EQ(refused->failure()->kind, FailureKind::kOverloaded);
  // A request cannot take the pin away.
  GenerateRequest r = for_model("tiny");
  r.keep_alive = 0ms;
  EXPECT_TRUE(run(std::move(r))->finished());
  std::this_thread::sleep_for(50ms);
  ASSERT_TRUE(engine("tiny:latest"));
  EXPECT_EQ(engine("tiny:latest")->pid, facts.pid);
  const auto models = backend_->models();
  EXPECT_TRUE(std::ranges::find(models, "tiny:latest", &ModelFacts::id)->pinned);
  // Whoever manages models can.
  EXPECT_FALSE(load("tiny", 1h).pinned);
  EXPECT_TRUE(run(for_model("other"))->finished());
}

TEST_F(ModelsTest, KeepAliveZeroUnloadsOnceNothingRuns) {
  start();
  Run busy = begin(for_model("tiny", {}));
  ASSERT_TRUE(busy.recorder->wait_tokens(1));
  GenerateRequest r = for_model("tiny");
  r.keep_alive = 0ms;
  EXPECT_TRUE(run(std::move(r))->finished());
  std::this_thread::sleep_for(50ms);
  EXPECT_TRUE(engine("tiny:latest"));
  EXPECT_FALSE(busy.recorder->has_ended());
  busy.handle->cancel();
  ASSERT_TRUE(busy.recorder->wait_end());
  EXPECT_TRUE(eventually([&] { return !engine("tiny:latest"); }));
}

TEST_F(ModelsTest, ALoadedModelAnswersWhileAnotherLoads) {
  store_->import("qwen2-bias", "other");
  use_gate();
  open_gate();
  start();
  load("tiny");
  close_gate();
  Run waiting = begin(for_model("other"));
  ASSERT_TRUE(eventually([&] { return starts().size() == 2; }));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(run(for_model("tiny"))->finished());
  EXPECT_TRUE(is_loading("other:latest"));
  // What goes by the clock goes on too.
  GenerateRequest r = for_model("tiny");
  r.keep_alive = 1ms;
  EXPECT_TRUE(run(std::move(r))->finished());
  EXPECT_TRUE(eventually([&] { return !engine("tiny:latest"); }));
  EXPECT_TRUE(is_loading("other:latest"));
  open_gate();
  ASSERT_TRUE(waiting.recorder->wait_end());
  EXPECT_TRUE(waiting.recorder->finished());
}

// A model that would fit if the busy one were gone may be asked for again soon; one that would fit
// nowhere is refused with its numbers.
TEST_F(ModelsTest, ABusyModelsMemoryIsNotTaken) {
  store_->import("qwen2-bias", "other");
  options_.engine_config.set("kv_tokens", 100'000);  // all that the limit leaves
  start();
  const EngineFacts f = load("tiny");
  backend_.reset();
  options_.memory_limit_bytes = f.weights_bytes + f.kv_bytes + f.scratch_bytes;
  start();
  Run busy = begin(for_model("tiny", {}));
  ASSERT_TRUE(busy.recorder->wait_tokens(1));
  EXPECT_EQ(load_failure("other").kind, FailureKind::kOverloaded);
  EXPECT_FALSE(busy.recorder->has_ended());
  busy.handle->cancel();
  ASSERT_TRUE(busy.recorder->wait_end());
  ASSERT_TRUE(becomes_idle("tiny:latest"));
  EXPECT_EQ(load("other").state, ModelState::kReady);
}

TEST_F(ModelsTest, AnEngineThatHangsIsStartedAgain) {
  options_.hang_timeout = 2s;
  start();
  Run hanging = begin(for_model("tiny", {}));
  ASSERT_TRUE(hanging.recorder->wait_tokens(2));
  const auto pid = static_cast<pid_t>(engine("tiny:latest")->pid);
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  ASSERT_TRUE(hanging.recorder->wait_end());
  ASSERT_TRUE(hanging.recorder->failure());
  EXPECT_EQ(hanging.recorder->failure()->kind, FailureKind::kEngineCrashed);
  EXPECT_TRUE(run(for_model("tiny"))->finished());
  EXPECT_TRUE(eventually([&] { return gone(pid); }));
}

// Invariants over random operations: every callback comes once, never more engines than allowed,
// nothing is active in the end.
TEST_F(ModelsTest, RandomOperationsKeepTheBooks) {
  for (const char* name : {"b", "c"}) store_->import("qwen2-bias", name);
  options_.loaded_max = 2;
  options_.waiters_max = 1000;
  start();
  constexpr unsigned kSeed = 20260714;
  SCOPED_TRACE(kSeed);
  const std::vector<std::string> names = {"tiny", "b", "c"};
  std::mt19937 random(kSeed);
  std::atomic<int> open{0};
  std::vector<Run> runs;
  for (int i = 0; i < 1000; ++i) {
    const std::string& name = names[random() % names.size()];
    const unsigned what = random() % 20;
    if (what < 2) {
      ++open;
      backend_->unload(name, [&](const auto&) { --open; });
    } else if (what < 4) {
      ++open;
      const std::chrono::milliseconds keep(static_cast<int>(random() % 50));
      backend_->load(name, keep, [&](const auto&) { --open; });
    } else if (what < 6 && !runs.empty()) {
      runs[random() % runs.size()].handle.reset();
    } else {
      GenerateRequest r = for_model(name, random() % 30 + 1);
      r.wait_for_load = random() % 8 != 0;
      if (random() % 6 == 0) r.keep_alive = std::chrono::milliseconds(random() % 20);
      if (random() % 10 == 0)
        r.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(random() % 40);
      runs.push_back(begin(std::move(r)));
    }
    if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(random() % 8));
    const Stats stats = backend_->stats();
    EXPECT_LE(std::ranges::count(stats.engines, ModelState::kReady, &EngineFacts::state), 2);
    EXPECT_THAT(stats.engine_restarts_total, 0u);
  }
  for (const Run& r : runs) {
    ASSERT_TRUE(r.recorder->wait_end());
    const auto& failure = r.recorder->failure();
    if (!failure) continue;
    EXPECT_THAT(failure->kind, ::testing::AnyOf(FailureKind::kModelLoading, FailureKind::kDeadline,
                                                FailureKind::kOverloaded))
        << failure->error.to_string();
  }
  EXPECT_TRUE(eventually([&] { return open == 0; }));
  for (const std::string& name : names) {
    EXPECT_TRUE(becomes_idle(name + ":latest"));
    EXPECT_TRUE(eventually([&] { return !is_loading(name + ":latest"); }));
  }
}

}  // namespace
}  // namespace holdfast::backend
