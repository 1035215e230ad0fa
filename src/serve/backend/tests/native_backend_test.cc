// NativeBackend with real engine children over a store with tiny models.
#include "holdfast/backend/native_backend.h"

#include <gmock/gmock.h>
#include <signal.h>

#include <random>
#include <thread>

#include "native_fixture.h"

namespace holdfast::backend {
namespace {

using testing::NativeBackendTest;

using namespace std::chrono_literals;
using testing::Answer;
using ::testing::IsEmpty;
using testing::kContext;
using testing::Recorder;

TEST_F(NativeBackendTest, LoadsAndTellsFacts) {
  start();
  EXPECT_EQ(backend_->models().at(0).state, ModelState::kCold);
  EXPECT_THAT(backend_->stats().engines, IsEmpty());
  const EngineFacts f = load("tiny");
  EXPECT_EQ(f.model, "tiny:latest");
  EXPECT_EQ(f.state, ModelState::kReady);
  EXPECT_EQ(f.context_length, kContext);
  EXPECT_GT(f.weights_bytes, 0u);
  EXPECT_GT(f.kv_bytes, 0u);
  EXPECT_EQ(f.threads, 1u);
  EXPECT_FALSE(f.isa.empty());
  EXPECT_FALSE(gone(f.pid));
  EXPECT_EQ(backend_->models().at(0).state, ModelState::kReady);
  backend_.reset();
  EXPECT_TRUE(gone(f.pid));
}

// Oracle: the largest logit of an independent float64 program.
TEST_F(NativeBackendTest, GreedyTokenIsTheGoldenOne) {
  start();
  const auto rows = testing::golden_rows("llama-gqa-untied");
  ASSERT_GE(rows.size(), 3u);
  for (const testing::GoldenRow& row : rows) {
    GenerateRequest r = request(1);
    r.prompt = TokenPrompt{row.prompt};
    const auto got = run(std::move(r));
    ASSERT_TRUE(got->finished());
    EXPECT_THAT(got->ids(), ::testing::ElementsAre(row.best()));
    EXPECT_EQ(got->finished()->reason, FinishReason::kLength);
    EXPECT_EQ(got->finished()->usage.prompt_tokens, row.prompt.size());
    EXPECT_EQ(got->started()->prompt_tokens, row.prompt.size());
  }
}

// Invariant: a batch gives what each request gives alone.
TEST_F(NativeBackendTest, ParallelRequestsGetWhatEachGetsAlone) {
  start();
  const auto rows = testing::golden_rows("llama-gqa-untied");
  const auto request_of = [&](std::size_t i) {
    GenerateRequest r = request(static_cast<std::uint32_t>(20 + i));
    r.prompt = TokenPrompt{rows[i % rows.size()].prompt};
    return r;
  };
  std::vector<std::vector<std::int32_t>> alone;
  for (std::size_t i = 0; i < 12; ++i) alone.push_back(run(request_of(i))->ids());
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::vector<std::unique_ptr<RequestHandle>> handles;
  for (std::size_t i = 0; i < 12; ++i) {
    recorders.push_back(std::make_shared<Recorder>());
    handles.push_back(backend_->generate(request_of(i), recorders.back()));
  }
  for (std::size_t i = 0; i < 12; ++i) {
    ASSERT_TRUE(recorders[i]->wait_end());
    ASSERT_TRUE(recorders[i]->finished());
    EXPECT_EQ(recorders[i]->ids(), alone[i]) << i;
    EXPECT_EQ(alone[i].size(), 20 + i);
  }
  EXPECT_TRUE(becomes_idle("tiny:latest"));
}

TEST_F(NativeBackendTest, SeedRepeatsAndADrawnSeedIsReported) {
  start();
  GenerateRequest r = request();
  r.sampling.temperature = 1.5;
  const auto first = run(r);
  ASSERT_TRUE(first->finished());
  EXPECT_GE(first->finished()->seed, 0);
  r.sampling.seed = first->finished()->seed;
  const auto again = run(r);
  EXPECT_EQ(again->ids(), first->ids());
  EXPECT_EQ(again->finished()->seed, first->finished()->seed);
}

TEST_F(NativeBackendTest, CancelMidStream) {
  start();
  const auto recorder = std::make_shared<Recorder>();
  const auto handle = backend_->generate(request({}), recorder);
  ASSERT_TRUE(recorder->wait_tokens(3));
  handle->cancel();
  handle->cancel();
  ASSERT_TRUE(recorder->wait_end());
  ASSERT_TRUE(recorder->finished());
  EXPECT_EQ(recorder->finished()->reason, FinishReason::kCancelled);
  EXPECT_LT(recorder->ids().size(), kContext - 7);
  EXPECT_TRUE(becomes_idle("tiny:latest"));
  handle->cancel();
}

TEST_F(NativeBackendTest, DroppingTheHandleCancelsAlsoWhileTheModelLoads) {
  start();
  const auto recorder = std::make_shared<Recorder>();
  backend_->generate(request({}), recorder).reset();
  ASSERT_TRUE(recorder->wait_end());
  ASSERT_TRUE(recorder->finished());
  EXPECT_EQ(recorder->finished()->reason, FinishReason::kCancelled);
  EXPECT_FALSE(recorder->started());
  EXPECT_TRUE(becomes_idle("tiny:latest"));
}

TEST_F(NativeBackendTest, ObserverMayCancel) {
  start();
  load("tiny");
  const auto recorder = std::make_shared<Recorder>();
  std::promise<RequestHandle*> handle;
  auto known = handle.get_future().share();
  recorder->on_each_token = [known] { known.get()->cancel(); };
  const auto owner = backend_->generate(request({}), recorder);
  handle.set_value(owner.get());
  ASSERT_TRUE(recorder->wait_end());
  ASSERT_TRUE(recorder->finished());
  EXPECT_EQ(recorder->finished()->reason, FinishReason::kCancelled);
}

TEST_F(NativeBackendTest, KilledEngineFailsEveryCallerOnceAndTheNextRequestWorks) {
  start();
  const std::vector<std::int32_t> expected = run(request())->ids();
  for (std::uint32_t round = 1; round <= 3; ++round) {
    std::vector<std::shared_ptr<Recorder>> recorders;
    std::vector<std::unique_ptr<RequestHandle>> handles;
    for (int i = 0; i < 6; ++i) {  // more than the batch holds
      recorders.push_back(std::make_shared<Recorder>());
      handles.push_back(backend_->generate(request({}), recorders.back()));
    }
    ASSERT_TRUE(recorders[0]->wait_tokens(2));
    const auto before = engine("tiny:latest");
    ASSERT_TRUE(before);
    ASSERT_EQ(::kill(static_cast<pid_t>(before->pid), SIGKILL), 0);
    for (const auto& r : recorders) {
      ASSERT_TRUE(r->wait_end());
      ASSERT_TRUE(r->failure());
      EXPECT_EQ(r->failure()->kind, FailureKind::kEngineCrashed);
      EXPECT_GT(r->failure()->retry_after_ms, 0u);
    }
    // At once: the dead engine must be gone before its callers are told.
    const auto next = run(request());
    ASSERT_TRUE(next->finished()) << next->failure()->error.to_string();
    EXPECT_EQ(next->ids(), expected);
    const auto after = engine("tiny:latest");
    ASSERT_TRUE(after);
    EXPECT_NE(after->pid, before->pid);
    EXPECT_EQ(after->restarts, round);
    EXPECT_EQ(backend_->stats().engine_restarts_total, round);
  }
  EXPECT_TRUE(becomes_idle("tiny:latest"));
}

TEST_F(NativeBackendTest, ACallerMayAskAgainFromItsError) {
  start();
  class Retrying final : public GenerateObserver {
   public:
    void on_started(Started) override {}
    void on_token(TokenEvent) override {
      if (!streaming_.exchange(true)) streaming.set_value();
    }
    void on_finished(Finished) override {}
    void on_error(Failure) override {
      again = std::thread([this] { retry(); });
    }
    std::function<void()> retry;
    std::promise<void> streaming;
    std::thread again;

   private:
    std::atomic<bool> streaming_{false};
  };
  const auto first = std::make_shared<Retrying>();
  const auto second = std::make_shared<Recorder>();
  std::unique_ptr<RequestHandle> second_handle;
  first->retry = [&] { second_handle = backend_->generate(request(), second); };
  const auto handle = backend_->generate(request({}), first);
  first->streaming.get_future().wait();
  ::kill(static_cast<pid_t>(engine("tiny:latest")->pid), SIGKILL);
  ASSERT_TRUE(second->wait_end());
  first->again.join();
  EXPECT_TRUE(second->finished());
}

TEST_F(NativeBackendTest, UnloadCancelsWhatRunsThenIsDone) {
  start();
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::vector<std::unique_ptr<RequestHandle>> handles;
  for (int i = 0; i < 6; ++i) {
    recorders.push_back(std::make_shared<Recorder>());
    handles.push_back(backend_->generate(request({}), recorders.back()));
  }
  ASSERT_TRUE(recorders[0]->wait_tokens(2));
  const auto facts = engine("tiny:latest");
  unload("tiny");
  EXPECT_TRUE(gone(facts->pid));
  for (const auto& r : recorders) {
    ASSERT_TRUE(r->has_ended());
    ASSERT_TRUE(r->finished()) << r->failure()->error.to_string();
    EXPECT_EQ(r->finished()->reason, FinishReason::kCancelled);
  }
  EXPECT_EQ(backend_->models().at(0).state, ModelState::kCold);
  EXPECT_EQ(backend_->stats().engine_restarts_total, 0u);
  unload("tiny");  // cold: succeeds
  EXPECT_TRUE(run(request())->finished());
}

TEST_F(NativeBackendTest, UnloadWhileLoadingCancelsThoseWhoWait) {
  start();
  const auto recorder = std::make_shared<Recorder>();
  const auto handle = backend_->generate(request({}), recorder);
  unload("tiny");
  ASSERT_TRUE(recorder->wait_end());
  ASSERT_TRUE(recorder->finished()) << recorder->failure()->error.to_string();
  EXPECT_EQ(recorder->finished()->reason, FinishReason::kCancelled);
  EXPECT_FALSE(engine("tiny:latest"));
  EXPECT_TRUE(run(request())->finished());
}

TEST_F(NativeBackendTest, UnloadOfAnUnknownModelFails) {
  start();
  Answer<std::monostate> answer;
  backend_->unload("nonesuch", answer.done());
  EXPECT_EQ(answer.failure().kind, FailureKind::kModelNotFound);
  EXPECT_EQ(load_failure("nonesuch").kind, FailureKind::kModelNotFound);
}

TEST_F(NativeBackendTest, SecondModelTakesTheOnlyPlace) {
  store_->import("qwen2-bias", "other");
  options_.loaded_max = 1;
  start();
  const std::int64_t first = load("tiny").pid;
  EXPECT_EQ(load("other").state, ModelState::kReady);
  EXPECT_TRUE(gone(first));
  EXPECT_FALSE(engine("tiny:latest"));
  EXPECT_TRUE(run(request())->finished());
  EXPECT_FALSE(engine("other:latest"));
  EXPECT_EQ(backend_->stats().engine_restarts_total, 0u);
}

// A busy model is not thrown out; the failure is not remembered against the other.
TEST_F(NativeBackendTest, NoPlaceWhileTheOtherModelIsBusy) {
  store_->import("qwen2-bias", "other");
  options_.loaded_max = 1;
  start();
  const auto recorder = std::make_shared<Recorder>();
  const auto handle = backend_->generate(request({}), recorder);
  ASSERT_TRUE(recorder->wait_tokens(1));
  const Failure failure = load_failure("other");
  EXPECT_EQ(failure.kind, FailureKind::kOverloaded);
  EXPECT_GT(failure.retry_after_ms, 0u);
  EXPECT_FALSE(recorder->has_ended());
  handle->cancel();
  ASSERT_TRUE(recorder->wait_end());
  ASSERT_TRUE(becomes_idle("tiny:latest"));
  EXPECT_EQ(load("other").state, ModelState::kReady);
}

TEST_F(NativeBackendTest, IdleModelIsUnloadedABusyOneIsNot) {
  options_.keep_alive = 100ms;
  start();
  const auto recorder = std::make_shared<Recorder>();
  const auto handle = backend_->generate(request({}), recorder);
  ASSERT_TRUE(recorder->wait_tokens(1));
  const auto facts = engine("tiny:latest");
  handle->cancel();
  ASSERT_TRUE(recorder->wait_end());
  EXPECT_EQ(recorder->finished()->reason, FinishReason::kCancelled);
  EXPECT_TRUE(eventually([&] { return !engine("tiny:latest") && gone(facts->pid); }));
  EXPECT_EQ(backend_->stats().engine_restarts_total, 0u);
}

TEST_F(NativeBackendTest, KeepAliveOfOneRequestCounts) {
  options_.keep_alive = std::chrono::hours(1);
  start();
  GenerateRequest r = request();
  r.keep_alive = 1ms;
  EXPECT_TRUE(run(std::move(r))->finished());
  EXPECT_TRUE(eventually([&] { return !engine("tiny:latest"); }));
  EXPECT_EQ(load("tiny", std::chrono::milliseconds(-1)).expires_at, 0);
  EXPECT_GT(load("tiny", std::chrono::milliseconds::max()).expires_at, 0);
  std::this_thread::sleep_for(50ms);
  EXPECT_TRUE(engine("tiny:latest"));
}

TEST_F(NativeBackendTest, ModelThatDoesNotFitSaysHowMuchItNeeds) {
  options_.memory_limit_bytes = 100'000;
  start();
  const Failure failure = load_failure("tiny");
  EXPECT_EQ(failure.kind, FailureKind::kModelDoesNotFit);
  EXPECT_EQ(failure.limit, 100'000u);
  EXPECT_GT(failure.actual, 900'000u);  // its weights alone
  const auto got = run(request());
  ASSERT_TRUE(got->failure());
  EXPECT_EQ(got->failure()->kind, FailureKind::kModelDoesNotFit);
  EXPECT_EQ(got->failure()->actual, failure.actual);
}

TEST_F(NativeBackendTest, AnIdleModelMakesRoomInMemory) {
  store_->import("qwen2-bias", "other");
  options_.engine_config.set("kv_tokens", 100'000);  // all that the limit leaves
  start();
  const EngineFacts f = load("tiny");
  const std::uint64_t used = f.weights_bytes + f.kv_bytes + f.scratch_bytes;
  backend_.reset();
  options_.memory_limit_bytes = used;
  start();
  EXPECT_EQ(load("tiny").state, ModelState::kReady);
  EXPECT_EQ(load("other").state, ModelState::kReady);
  EXPECT_FALSE(engine("tiny:latest"));
}

TEST_F(NativeBackendTest, CorruptPackIsRefused) {
  start();
  store_->catalog->replace("tiny:latest", store_->damaged("tiny", 100));
  const auto got = run(request());
  ASSERT_TRUE(got->failure());
  EXPECT_EQ(got->failure()->kind, FailureKind::kModelCorrupt);
  EXPECT_EQ(backend_->models().at(0).state, ModelState::kFailed);
  // Answered from memory for a while: a broken model cannot keep the machine busy.
  EXPECT_GT(load_failure("tiny").retry_after_ms, 0u);
}

TEST_F(NativeBackendTest, AliasesShareOneEngineAndItsCount) {
  store_->catalog->add_alias("gpt-4o", "tiny");
  start();
  GenerateRequest r = request();
  r.model = "gpt-4o";
  const auto by_alias = run(std::move(r));
  ASSERT_TRUE(by_alias->finished());
  EXPECT_EQ(run(request())->ids(), by_alias->ids());
  EXPECT_EQ(backend_->stats().engines.size(), 1u);
  EXPECT_TRUE(becomes_idle("tiny:latest"));
}

TEST_F(NativeBackendTest, UnknownTokenIsNamed) {
  start();
  GenerateRequest r = request();
  r.prompt = TokenPrompt{{1, 2, 1'000'000}};
  auto got = run(r);
  ASSERT_TRUE(got->failure());
  EXPECT_EQ(got->failure()->kind, FailureKind::kUnknownToken);
  r.prompt = TokenPrompt{{-1}};
  got = run(r);
  ASSERT_TRUE(got->failure());
  EXPECT_EQ(got->failure()->kind, FailureKind::kUnknownToken);
  r = request();
  r.sampling.logit_bias = {{384, 1.0f}};
  got = run(r);
  ASSERT_TRUE(got->failure());
  EXPECT_EQ(got->failure()->kind, FailureKind::kUnknownToken);
  EXPECT_TRUE(becomes_idle("tiny:latest"));
}

TEST_F(NativeBackendTest, PromptBeyondTheContextSaysBothNumbers) {
  start();
  GenerateRequest r = request();
  r.prompt = TokenPrompt{std::vector<std::int32_t>(kContext + 5, 60)};
  const auto got = run(r);
  ASSERT_TRUE(got->failure());
  EXPECT_EQ(got->failure()->kind, FailureKind::kContextLength);
  EXPECT_EQ(got->failure()->limit, kContext);
  EXPECT_EQ(got->failure()->actual, kContext + 5);
  // Generation ends where the context does.
  r = request({});
  r.prompt = TokenPrompt{std::vector<std::int32_t>(kContext - 5, 60)};
  const auto full = run(r);
  ASSERT_TRUE(full->finished());
  EXPECT_EQ(full->finished()->reason, FinishReason::kLength);
  EXPECT_EQ(full->finished()->usage.prompt_tokens, kContext - 5);
  EXPECT_LE(full->ids().size(), 6u);
  EXPECT_GE(full->ids().size(), 5u);
}

TEST_F(NativeBackendTest, TokenizesBackAndForth) {
  start();
  const std::string text = "Hello, world!\n  two  spaces \xc3\xa9";
  Answer<Tokenized> tokens;
  backend_->tokenize({"tiny", text, false, true}, tokens.done());
  const Tokenized got = tokens.value();
  ASSERT_FALSE(got.tokens.empty());
  ASSERT_EQ(got.pieces.size(), got.tokens.size());
  std::string joined;
  for (const std::string& p : got.pieces) joined += p;
  EXPECT_EQ(joined, text);
  Answer<std::string> back;
  backend_->detokenize("tiny", got.tokens, back.done());
  EXPECT_EQ(back.value(), text);
  Answer<std::string> unknown;
  backend_->detokenize("tiny", {5'000'000}, unknown.done());
  EXPECT_EQ(unknown.failure().kind, FailureKind::kUnknownToken);
  EXPECT_TRUE(becomes_idle("tiny:latest"));
}

TEST_F(NativeBackendTest, TemplatesSeeArgumentsAsObjectsAndNoToolsWhereNoneMayBeCalled) {
  options_.engine_config.set(
      "template",
      "{{ messages[0].tool_calls[0].function.arguments.x }}{% if tools %} tools{% endif %}");
  start();
  ChatPrompt chat;
  chat.messages = json::Array{json::Object{
      {"role", "assistant"},
      {"content", ""},
      {"tool_calls", json::Array{json::Object{
                         {"function", json::Object{{"name", "f"}, {"arguments", "{\"x\":7}"}}}}}}}};
  chat.tools =
      json::Array{json::Object{{"type", "function"}, {"function", json::Object{{"name", "f"}}}}};
  Answer<std::string> shown;
  backend_->render("tiny", chat, shown.done());
  EXPECT_EQ(shown.value(), "7 tools");
  chat.tool_choice = "none";
  Answer<std::string> hidden;
  backend_->render("tiny", chat, hidden.done());
  EXPECT_EQ(hidden.value(), "7");
}

TEST_F(NativeBackendTest, WhatItCannotHoldAnAnswerToIsRefused) {
  start();
  const auto refused = [&](const char* what, auto change) {
    GenerateRequest request;
    request.model = "tiny";
    ChatPrompt chat;
    chat.messages = json::Array{json::Object{{"role", "user"}, {"content", "hi"}}};
    chat.tools =
        json::Array{json::Object{{"type", "function"}, {"function", json::Object{{"name", "f"}}}}};
    change(request, chat);
    request.prompt = std::move(chat);
    auto seen = std::make_shared<Recorder>();
    EXPECT_EQ(backend_->generate(std::move(request), seen), nullptr) << what;
    ASSERT_TRUE(seen->failure()) << what;
    EXPECT_EQ(seen->failure()->error.code(), ErrorCode::kUnsupported) << what;
  };
  refused("required", [](auto&, auto& chat) { chat.tool_choice = "required"; });
  refused("one function", [](auto&, auto& chat) {
    chat.tool_choice = json::Object{{"type", "function"}};
  });
  refused("one call", [](auto&, auto& chat) { chat.parallel_tool_calls = false; });
  refused("a format", [](auto& request, auto&) {
    request.response_format = json::Object{{"type", "json_object"}};
  });
}

TEST_F(NativeBackendTest, RendersWithTheTemplate) {
  options_.engine_config.set(
      "template",
      "{% if messages[0].content == 'bad' %}{{ raise_exception('no ' ~ 'good') }}"
      "{% endif %}<{{ messages[0].content }}>{% if add_generation_prompt %}!{% endif %}");
  start();
  ChatPrompt chat;
  chat.messages = json::Array{json::Object{{"role", "user"}, {"content", "hi"}}};
  Answer<std::string> text;
  backend_->render("tiny", chat, text.done());
  EXPECT_EQ(text.value(), "<hi>!");
  chat.messages = json::Array{json::Object{{"role", "user"}, {"content", "bad"}}};
  Answer<std::string> refused;
  backend_->render("tiny", chat, refused.done());
  const Failure failure = refused.failure();
  EXPECT_EQ(failure.kind, FailureKind::kTemplate);
  EXPECT_THAT(failure.error.client_message(), ::testing::HasSubstr("no good"));
  GenerateRequest r = request();
  r.prompt = chat;
  const auto got = run(std::move(r));
  ASSERT_TRUE(got->failure());
  EXPECT_EQ(got->failure()->kind, FailureKind::kTemplate);
}

TEST_F(NativeBackendTest, DestructionEndsWhatRuns) {
  start();
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::vector<std::unique_ptr<RequestHandle>> handles;
  for (int i = 0; i < 6; ++i) {
    recorders.push_back(std::make_shared<Recorder>());
    handles.push_back(backend_->generate(request({}), recorders.back()));
  }
  ASSERT_TRUE(recorders[0]->wait_tokens(1));
  backend_.reset();
  for (const auto& r : recorders) {
    ASSERT_TRUE(r->has_ended());
    ASSERT_TRUE(r->finished());
    EXPECT_EQ(r->finished()->reason, FinishReason::kCancelled);
  }
  handles.clear();  // later than the backend
}

TEST_F(NativeBackendTest, DestructionWhileAModelLoads) {
  const std::string path = store_->dir + "/child.sh";
  std::ofstream(path) << "#!/bin/sh\nexec sleep 600\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  options_.engine_program = path;
  start();
  const auto recorder = std::make_shared<Recorder>();
  const auto handle = backend_->generate(request(), recorder);
  std::this_thread::sleep_for(200ms);
  const auto begin = std::chrono::steady_clock::now();
  backend_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  ASSERT_TRUE(recorder->has_ended());
  ASSERT_TRUE(recorder->failure());
  EXPECT_EQ(recorder->failure()->kind, FailureKind::kDraining);
}

// Callers, cancels, kills and unloads in any order: every caller hears exactly one end.
TEST_F(NativeBackendTest, EveryCallerHearsOneEndWhateverHappens) {
  options_.restart_backoff = 1ms;
  options_.restart_backoff_max = 5ms;
  start();
  constexpr unsigned kSeed = 20240817;
  SCOPED_TRACE(kSeed);
  const auto caller = [&](unsigned n) {
    std::mt19937 random(kSeed + n);
    for (int i = 0; i < 15; ++i) {
      const auto recorder = std::make_shared<Recorder>();
      auto handle = backend_->generate(request(random() % 200 + 1), recorder);
      if (random() % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(random() % 10));
      if (random() % 3 == 0) handle.reset();
      ASSERT_TRUE(recorder->wait_end());
      if (recorder->failure()) {
        EXPECT_EQ(recorder->failure()->kind, FailureKind::kEngineCrashed)
            << recorder->failure()->error.to_string();
      }
    }
  };
  std::atomic<bool> over{false};
  std::thread trouble([&] {
    std::mt19937 random(kSeed);
    while (!over) {
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60 + 20));
      const auto facts = engine("tiny:latest");
      if (random() % 2 == 0) {
        unload("tiny");
      } else if (facts && facts->pid > 0 && facts->state == ModelState::kReady) {
        ::kill(static_cast<pid_t>(facts->pid), SIGKILL);
      }
    }
  });
  std::vector<std::thread> callers;
  for (unsigned n = 1; n <= 4; ++n) callers.emplace_back(caller, n);
  for (std::thread& t : callers) t.join();
  over = true;
  trouble.join();
  EXPECT_TRUE(becomes_idle("tiny:latest"));
}

}  // namespace
}  // namespace holdfast::backend
