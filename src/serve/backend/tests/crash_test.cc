// An engine killed at every phase of a request: one clean end for each caller, the engine back for
// the next, the model beside it undisturbed, nothing left over.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <random>
#include <set>

#include "holdfast/platform/process.h"
#include "native_fixture.h"

namespace holdfast::backend {
namespace {

using namespace std::chrono_literals;
using testing::Answer;
using testing::kContext;
using testing::Recorder;

enum class Phase {
  kLoading,
  kWaiting,
  kQueued,
  kPrefill,
  kDecoding,
  kCancelling,
  kUnloading,
  kIdle
};
constexpr Phase kPhases[] = {Phase::kLoading,   Phase::kWaiting,  Phase::kQueued,
                             Phase::kPrefill,   Phase::kDecoding, Phase::kCancelling,
                             Phase::kUnloading, Phase::kIdle};

class CrashTest : public testing::NativeBackendTest {
 protected:
  // However a signal arrives: at once, as a fault, or to a process that was stopped before.
  void kill_engine(pid_t pid) {
    killed_ = pid;
    switch (random_() % 3) {
      case 0:
        ::kill(pid, SIGKILL);
        break;
      case 1:
        ::kill(pid, SIGSEGV);
        break;
      default:
        ::kill(pid, SIGSTOP);
        pause(20);
        ::kill(pid, SIGKILL);
        break;
    }
  }
  void pause(unsigned ms_max) {
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % (ms_max * 1000)));
  }
  pid_t engine_pid() {
    const auto f = engine("tiny:latest");
    return f && f->state == ModelState::kReady ? static_cast<pid_t>(f->pid) : 0;
  }
  void kill_ready() {
    if (const pid_t pid = engine_pid(); pid > 0) kill_engine(pid);
  }
  // Kills the child that is being started, or that was just.
  void kill_newest() {
    if (const auto pids = starts(); !pids.empty()) kill_engine(pids.back());
  }
  GenerateRequest long_prompt() {
    GenerateRequest r = request(20);
    r.prompt = TokenPrompt{std::vector<std::int32_t>(kContext / 2, 60)};
    return r;
  }
  // Requests of which some are under way when the engine dies.
  std::vector<Run> provoke(Phase phase);
  void load_phase(Phase phase, std::vector<Run>& runs);
  void ends_cleanly(const Run& run) {
    ASSERT_TRUE(run.recorder->wait_end());
    if (!run.recorder->failure()) return;
    EXPECT_EQ(run.recorder->failure()->kind, FailureKind::kEngineCrashed)
        << run.recorder->failure()->error.to_string();
  }

  std::mt19937 random_;
  pid_t killed_ = 0;
};

void CrashTest::load_phase(Phase phase, std::vector<Run>& runs) {
  unload("tiny");
  const std::size_t before = starts().size();
  const bool held = random_() % 2 == 0;
  if (held) close_gate();
  runs.push_back(begin(request()));
  if (phase == Phase::kWaiting) {
    for (int i = 0; i < 4; ++i) runs.push_back(begin(request()));
    runs[1].handle->cancel();
  }
  ASSERT_TRUE(eventually([&] { return starts().size() > before; }));
  if (!held) pause(60);
  kill_newest();
  open_gate();
}

std::vector<CrashTest::Run> CrashTest::provoke(Phase phase) {
  std::vector<Run> runs;
  switch (phase) {
    case Phase::kLoading:
    case Phase::kWaiting:
      load_phase(phase, runs);
      break;
    case Phase::kQueued:
      for (int i = 0; i < 8; ++i) runs.push_back(begin(request({})));
      runs[0].recorder->wait_tokens(1);
      kill_ready();
      break;
    case Phase::kPrefill:
      runs.push_back(begin(long_prompt()));
      pause(30);
      kill_ready();
      break;
    case Phase::kDecoding:
      runs.push_back(begin(request({})));
      runs[0].recorder->wait_tokens(2);
      kill_ready();
      break;
    case Phase::kCancelling:
      for (int i = 0; i < 3; ++i) runs.push_back(begin(request({})));
      runs[0].recorder->wait_tokens(2);
      runs[0].handle->cancel();
      runs[1].handle.reset();
      kill_ready();
      break;
    case Phase::kUnloading: {
      runs.push_back(begin(request({})));
      runs[0].recorder->wait_tokens(1);
      const pid_t pid = engine_pid();
      Answer<std::monostate> unloaded;
      backend_->unload("tiny", unloaded.done());
      if (pid > 0) kill_engine(pid);
      unloaded.value();
      break;
    }
    case Phase::kIdle:
      kill_ready();
      break;
  }
  return runs;
}

TEST_F(CrashTest, AtEveryPhaseAHundredTimes) {
  store_->import("qwen2-bias", "other");
  use_gate();
  open_gate();
  options_.restart_backoff = 1ms;
  options_.restart_backoff_max = 2ms;
  start();
  constexpr unsigned kSeed = 20261130;
  SCOPED_TRACE(kSeed);
  random_.seed(kSeed);
  const std::vector<std::int32_t> expected = run(request())->ids();
  const std::vector<std::int32_t> beside = run(for_model("other", 200))->ids();
  const auto other_pid = engine("other:latest")->pid;
  const platform::ProcessUsage before = platform::read_own_usage();
  for (int round = 0; round < 100; ++round) {
    const Phase phase = kPhases[static_cast<std::size_t>(round) % std::size(kPhases)];
    SCOPED_TRACE("round " + std::to_string(round) + " phase " +
                 std::to_string(static_cast<int>(phase)));
    Run neighbour = begin(for_model("other", 200));
    std::vector<Run> runs = provoke(phase);
    for (const Run& r : runs) ends_cleanly(r);
    runs.clear();
    // Who asks before the death is known shares its fate.
    ASSERT_TRUE(eventually([&] { return engine_pid() == 0 || engine_pid() != killed_; }));
    ASSERT_TRUE(neighbour.recorder->wait_end());
    ASSERT_TRUE(neighbour.recorder->finished());
    EXPECT_EQ(neighbour.recorder->ids(), beside);
    const auto next = run(request());
    ASSERT_TRUE(next->finished()) << next->failure()->error.to_string();
    EXPECT_EQ(next->ids(), expected);
  }
  EXPECT_EQ(engine("other:latest")->pid, other_pid);
  ASSERT_TRUE(becomes_idle("tiny:latest"));
  // One engine of each model, as before; what ended last is given a moment.
  EXPECT_TRUE(eventually([&] {
    const platform::ProcessUsage now = platform::read_own_usage();
    return now.open_fds == before.open_fds && now.threads == before.threads;
  }));
  std::set<pid_t> alive;
  for (const pid_t pid : starts()) {
    if (!gone(pid)) alive.insert(pid);
  }
  EXPECT_EQ(alive.size(), 2u);
}

}  // namespace
}  // namespace holdfast::backend
