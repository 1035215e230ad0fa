// EngineProcess with the real child: start, refusal, death, and ending it from every side.
#include "holdfast/backend/engine_process.h"

#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <future>

#include "tiny_store.h"

namespace holdfast::backend {
namespace {

using testing::TinyStore;

constexpr auto kPatience = std::chrono::seconds(60);

class EngineProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::golden_files_exist()) GTEST_SKIP() << "no golden files";
    store_.emplace();
  }
  EngineProcessOptions options() {
    EngineProcessOptions o;
    o.program = HOLDFAST_ENGINE;
    o.pack = *store_->open("tiny");
    o.config = json::Object{{"threads", 1}, {"context", 4096}, {"batch_max", 4}};
    return o;
  }
  std::unique_ptr<EngineProcess> start() {
    auto engine = EngineProcess::start(options());
    EXPECT_TRUE(engine.ok()) << engine.error().to_string();
    return engine.ok() ? *std::move(engine) : nullptr;
  }
  static wire::Submit endless() {
    wire::Submit submit;
    submit.kind = wire::PromptKind::kTokens;
    submit.tokens = {1, 2, 3};
    submit.sampling.ignore_eos = true;
    return submit;
  }

  std::optional<TinyStore> store_;
};

TEST_F(EngineProcessTest, SaysWhatItIs) {
  const auto engine = start();
  ASSERT_NE(engine, nullptr);
  EXPECT_TRUE(engine->alive());
  EXPECT_EQ(engine->info().find("context")->as_int(), 4096);
  EXPECT_EQ(engine->info().find("vocab")->as_int(), 384);
  EXPECT_EQ(::kill(engine->pid(), 0), 0);
}

TEST_F(EngineProcessTest, ChildIsGoneAfterDestruction) {
  auto engine = start();
  ASSERT_NE(engine, nullptr);
  const pid_t pid = engine->pid();
  engine.reset();
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST_F(EngineProcessTest, MissingProgramAndProgramThatIsNoEngine) {
  auto o = options();
  o.program = "/nonexistent/holdfast-engine";
  EXPECT_EQ(EngineProcess::start(std::move(o)).error().code(), ErrorCode::kNotFound);
  o = options();
  o.program = "/bin/true";
  EXPECT_EQ(EngineProcess::start(std::move(o)).error().code(), ErrorCode::kUnavailable);
}

TEST_F(EngineProcessTest, RefusalComesBackWithItsNumbers) {
  auto o = options();
  o.config.set("memory_limit_bytes", 65536);
  wire::ErrorReply refusal;
  const auto engine = EngineProcess::start(std::move(o), &refusal);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code(), ErrorCode::kExhausted);
  EXPECT_EQ(refusal.reason, static_cast<std::uint8_t>(wire::ErrorReason::kDoesNotFit));
  EXPECT_EQ(refusal.limit, 65536u);
  EXPECT_GT(refusal.actual, refusal.limit);
}

TEST_F(EngineProcessTest, UnknownConfigurationIsRefused) {
  auto o = options();
  o.config.set("no_such_member", 1);
  const auto engine = EngineProcess::start(std::move(o));
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(engine.error().to_string(), ::testing::HasSubstr("no_such_member"));
}

TEST_F(EngineProcessTest, AbandonedStartEnds) {
  auto o = options();
  const std::atomic<bool> abandon{true};
  o.abandon = &abandon;
  EXPECT_EQ(EngineProcess::start(std::move(o)).error().code(), ErrorCode::kCancelled);
}

TEST_F(EngineProcessTest, AHangingStartCanBeAbandoned) {
  auto o = options();
  const std::string path = store_->dir + "/child.sh";
  std::ofstream(path) << "#!/bin/sh\nexec sleep 600\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  o.program = path;
  std::atomic<bool> abandon{false};
  o.abandon = &abandon;
  auto result = std::async(std::launch::async,
                           [&] { return EngineProcess::start(std::move(o)).error().code(); });
  EXPECT_EQ(result.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
  abandon = true;
  ASSERT_EQ(result.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(result.get(), ErrorCode::kCancelled);
}

// Who asks again after its error must find the dead engine gone: on_exit comes first.
TEST_F(EngineProcessTest, DeathIsToldToTheOwnerFirstThenToEveryRequestOnce) {
  const auto engine = start();
  ASSERT_NE(engine, nullptr);
  std::mutex mutex;
  std::vector<std::string> order;
  std::promise<void> streaming;
  std::atomic<bool> told{false};
  engine->on_exit([&] {
    const std::lock_guard lock(mutex);
    order.push_back("exit");
  });
  std::promise<void> all;
  std::atomic<int> open{3};
  for (int i = 0; i < 3; ++i) {
    engine->send(endless(), [&](const wire::Message& m) {
      if (std::holds_alternative<wire::Token>(m) && !told.exchange(true)) streaming.set_value();
      const auto* error = std::get_if<wire::ErrorReply>(&m);
      if (error == nullptr) return;
      EXPECT_EQ(error->code, ErrorCode::kUnavailable);
      const std::lock_guard lock(mutex);
      order.push_back("error");
      if (--open == 0) all.set_value();
    });
  }
  ASSERT_EQ(streaming.get_future().wait_for(kPatience), std::future_status::ready);
  ASSERT_EQ(::kill(engine->pid(), SIGKILL), 0);
  ASSERT_EQ(all.get_future().wait_for(kPatience), std::future_status::ready);
  const std::lock_guard lock(mutex);
  EXPECT_THAT(order, ::testing::ElementsAre("exit", "error", "error", "error"));
  EXPECT_FALSE(engine->alive());
}

TEST_F(EngineProcessTest, SendToADeadChildFailsAtOnce) {
  const auto engine = start();
  ASSERT_NE(engine, nullptr);
  std::promise<void> gone;
  engine->on_exit([&] { gone.set_value(); });
  ::kill(engine->pid(), SIGKILL);
  ASSERT_EQ(gone.get_future().wait_for(kPatience), std::future_status::ready);
  const auto answer = engine->call(wire::Tokenize{0, "hello", false, false, false});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), ErrorCode::kUnavailable);
  engine->cancel(1);
}

TEST_F(EngineProcessTest, StopCancelsWhatRuns) {
  const auto engine = start();
  ASSERT_NE(engine, nullptr);
  std::promise<void> streaming;
  std::atomic<bool> told{false};
  std::atomic<int> cancelled{0};
  for (int i = 0; i < 6; ++i) {  // more than the batch holds
    engine->send(endless(), [&](const wire::Message& m) {
      if (std::holds_alternative<wire::Token>(m) && !told.exchange(true)) streaming.set_value();
      if (const auto* f = std::get_if<wire::Finished>(&m);
          f != nullptr && f->reason == wire::FinishReason::kCancelled)
        ++cancelled;
    });
  }
  ASSERT_EQ(streaming.get_future().wait_for(kPatience), std::future_status::ready);
  engine->stop();
  EXPECT_EQ(cancelled, 6);
  const auto answer = engine->call(wire::Tokenize{0, "hello", false, false, false});
  EXPECT_EQ(answer.error().code(), ErrorCode::kCancelled);
}

// A child that does not answer any more is killed, and its requests end.
TEST_F(EngineProcessTest, StopOfAStoppedChildEnds) {
  const auto engine = start();
  ASSERT_NE(engine, nullptr);
  ASSERT_EQ(::kill(engine->pid(), SIGSTOP), 0);
  std::atomic<int> errors{0};
  engine->send(endless(), [&](const wire::Message& m) {
    if (const auto* e = std::get_if<wire::ErrorReply>(&m)) {
      EXPECT_EQ(e->code, ErrorCode::kCancelled);
      ++errors;
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  engine->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
  EXPECT_EQ(errors, 1);
  EXPECT_EQ(::kill(engine->pid(), 0), -1);
}

}  // namespace
}  // namespace holdfast::backend
