// A gateway beside an engine that was taken over: every request ends once, whatever the engine
// sends, and nothing crashes, hangs or grows. HOLDFAST_WIRE_MESSAGES sets how many messages.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <future>

#include "holdfast/backend/engine_process.h"
#include "holdfast/platform/process.h"
#include "native_fixture.h"

namespace holdfast::backend {
namespace {

using testing::NativeBackendTest;

constexpr int kBurst = 500;
// Allocators keep some; a message that leaked would take more.
constexpr std::uint64_t kGrowthMax = std::uint64_t{256} << 20;

std::uint64_t messages_wanted() {
  const char* text = std::getenv("HOLDFAST_WIRE_MESSAGES");
  return text == nullptr ? 20'000 : std::strtoull(text, nullptr, 10);
}

// Takes everything in any order; only an end after the end is a mistake of the backend.
class AnyObserver final : public GenerateObserver {
 public:
  void on_started(Started) override {}
  void on_token(TokenEvent) override { EXPECT_FALSE(ended_) << "a token after the end"; }
  void on_finished(Finished) override { end(); }
  void on_error(Failure) override { end(); }
  bool wait_end() {
    return done_.get_future().wait_for(testing::kPatience) == std::future_status::ready;
  }

 private:
  void end() {
    EXPECT_FALSE(ended_) << "ended twice";
    if (!ended_.exchange(true)) done_.set_value();
  }
  std::atomic<bool> ended_{false};
  std::promise<void> done_;
};

class HostileEngineTest : public NativeBackendTest {
 protected:
  // What the real engine says of itself, for the hostile one to repeat.
  std::string real_ready() {
    EngineProcessOptions o;
    o.program = HOLDFAST_ENGINE;
    o.pack = *store_->open("tiny");
    o.config = options_.engine_config;
    auto engine = EngineProcess::start(std::move(o));
    EXPECT_TRUE(engine.ok());
    return engine.ok() ? json::write((*engine)->info()) : "{}";
  }
};

TEST_F(HostileEngineTest, EveryRequestEndsOnceWhateverItSends) {
  options_.engine_config.set("hostile_ready", real_ready());
  options_.engine_config.set("hostile_burst", kBurst);
  options_.engine_config.set("hostile_seed", 1);
  options_.engine_program = HOLDFAST_HOSTILE_ENGINE;
  options_.restart_backoff = std::chrono::milliseconds(1);
  // One that falls silent within a request is ended by this.
  options_.hang_timeout = std::chrono::milliseconds(500);
  std::uint64_t sent = 0, seed = 1;
  const std::uint64_t memory = platform::resident_bytes_of(::getpid());
  while (sent < messages_wanted()) {
    // An engine that crashed too often is not started for a while: another backend is.
    options_.engine_config.set("hostile_seed", static_cast<std::int64_t>(seed++));
    start();
    for (int i = 0; i < 8 && sent < messages_wanted(); ++i, sent += kBurst) {
      auto observer = std::make_shared<AnyObserver>();
      const auto handle = backend_->generate(request(), observer);
      ASSERT_TRUE(observer->wait_end()) << "seed " << seed - 1 << ", request " << i;
    }
    backend_.reset();
  }
  EXPECT_LT(platform::resident_bytes_of(::getpid()), memory + kGrowthMax);
  RecordProperty("messages", static_cast<int>(sent));
}

}  // namespace
}  // namespace holdfast::backend
