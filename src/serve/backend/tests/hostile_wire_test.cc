// An engine child beside a gateway that has lost its mind: random messages, valid and mutilated.
// The child may refuse and may end; it must not crash, hang, or answer what was not asked.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "holdfast/platform/process.h"
#include "holdfast/platform/socket.h"
#include "holdfast/wire/wire.h"
#include "tiny_store.h"

namespace holdfast::backend {
namespace {

using testing::TinyStore;

constexpr auto kPatience = std::chrono::seconds(60);

class HostileWireTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::golden_files_exist()) GTEST_SKIP() << "no golden files";
    store_.emplace();
  }

  // A child that has loaded the tiny model.
  void start() {
    auto sockets = platform::make_socket_pair();
    ASSERT_TRUE(sockets.ok());
    auto pack = store_->open("tiny");
    ASSERT_TRUE(pack.ok());
    platform::SpawnOptions spawn;
    spawn.program = HOLDFAST_ENGINE;
    spawn.argv = {"holdfast-engine", "engine"};
    spawn.fds = {{sockets->theirs.get(), 3}, {pack->get(), 4}};
    auto process = platform::Process::spawn(spawn);
    ASSERT_TRUE(process.ok());
    process_.emplace(std::move(*process));
    sockets->theirs.reset();
    raw_ = platform::UniqueFd(::dup(sockets->ours.get()));
    channel_ = *wire::Channel::open(std::move(sockets->ours));
    ASSERT_TRUE(channel_
                    ->send(wire::Load{R"({"pack_fd":4,"threads":1,"context":256,"batch_max":3,)"
                                      R"("queue_max":8,"prefix_cache":true})"})
                    .ok());
    for (bool ready = false; !ready;) {
      auto message = channel_->receive(platform::Deadline::after(kPatience));
      ASSERT_TRUE(message.ok() && message->has_value());
      ASSERT_FALSE(std::holds_alternative<wire::ErrorReply>(**message));
      ready = std::holds_alternative<wire::Ready>(**message);
    }
  }

  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
  std::string bytes(std::uint32_t most) {
    std::string out(below(most + 1), '\0');
    for (char& c : out) c = static_cast<char>(random_());
    return out;
  }
  // Few numbers, so that they collide, and now and then one that nobody uses.
  std::uint64_t request() { return below(20) == 0 ? random_() : below(12); }
  std::vector<std::int32_t> tokens() {
    std::vector<std::int32_t> out(below(8) == 0 ? 400 : below(80));
    for (std::int32_t& t : out)
      t = below(60) == 0 ? static_cast<std::int32_t>(random_())
                         : static_cast<std::int32_t>(below(384));
    return out;
  }

  wire::Message message() {
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        wire::Submit m;
        m.request = request();
        m.kind = static_cast<wire::PromptKind>(below(3));
        if (m.kind == wire::PromptKind::kTokens) m.tokens = tokens();
        if (m.kind == wire::PromptKind::kText) m.text = bytes(200);
        if (m.kind == wire::PromptKind::kChat)
          m.text = below(2) == 0 ? bytes(50) : R"({"messages":[{"role":"user","content":"hi"}]})";
        m.sampling.max_tokens = below(40);
        m.sampling.temperature = below(3) == 0 ? -1e300 : below(3);
        m.sampling.top_p = below(5) == 0 ? 7 : 0.9;
        m.sampling.repeat_last_n = static_cast<std::int32_t>(random_());
        if (below(3) == 0) m.sampling.stop = {bytes(5), bytes(3)};
        if (below(4) == 0) m.sampling.logit_bias = {{static_cast<std::int32_t>(random_()), 1e30}};
        if (below(4) == 0) m.sampling.logprobs = below(64);
        m.sampling.echo = below(4) == 0;
        m.scheduling.tenant = bytes(4);
        m.scheduling.weight = 1 + below(1000);
        m.scheduling.priority = static_cast<wire::Priority>(below(3));
        m.scheduling.cache_domain = bytes(2);
        if (below(3) == 0) m.scheduling.deadline_ms = below(200);
        return m;
      }
      case 4:
      case 5:
        return wire::Cancel{request()};
      case 6: {
        wire::Evaluate m;
        m.request = request();
        m.kind = static_cast<wire::EvaluateKind>(below(5));
        m.tokens = tokens();
        m.choice = static_cast<wire::PositionChoice>(below(3));
        if (m.choice == wire::PositionChoice::kList) m.positions = {below(50), below(500)};
        m.score_from = below(100);
        return m;
      }
      case 7:
        return wire::Tokenize{request(), bytes(300), below(2) == 0, below(2) == 0, below(2) == 0};
      case 8:
        return wire::Detokenize{request(), tokens(), below(2) == 0, below(2) == 0};
      case 9:
        return wire::Render{request(), bytes(100)};
      case 10:
        return wire::Stats{request()};
      default:
        // Not for an engine, or not now.
        if (below(2) == 0) return wire::Finished{request(), wire::FinishReason::kStop, {}, {}, {}};
        return wire::Load{bytes(40)};
    }
  }

  // Reads until the child has closed, and then it has to be gone.
  void expect_clean_end() {
    while (true) {
      auto got = channel_->receive(platform::Deadline::after(kPatience));
      if (!got.ok()) {
        ASSERT_NE(got.error().code(), ErrorCode::kDeadline) << "the child hangs";
        break;
      }
      if (!got->has_value()) break;
    }
    const auto status = process_->wait(platform::Deadline::after(kPatience));
    ASSERT_TRUE(status.ok() && status->has_value());
    EXPECT_FALSE((*status)->signalled) << (*status)->describe();
  }

  std::optional<TinyStore> store_;
  std::optional<platform::Process> process_;
  platform::UniqueFd raw_;
  std::unique_ptr<wire::Channel> channel_;
  std::mt19937_64 random_;
};

TEST_F(HostileWireTest, ValidMessagesInAnyOrderAreAnsweredAndTheChildLives) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_.seed(seed);
    ASSERT_NO_FATAL_FAILURE(start());
    constexpr std::uint64_t kLast = 1'000'000;
    std::atomic<bool> alive{false};
    std::thread reader([&] {
      while (true) {
        auto got = channel_->receive(platform::Deadline::after(kPatience));
        if (!got.ok() || !got->has_value()) return;
        const auto* stats = std::get_if<wire::StatsReply>(&**got);
        if (stats != nullptr && stats->request == kLast) {
          alive = true;
          return;
        }
      }
    });
    for (int i = 0; i < 400; ++i) ignore_error(channel_->send(message()), "seen below");
    for (std::uint64_t id = 0; id < 12; ++id)
      ignore_error(channel_->send(wire::Cancel{id}), "seen below");
    ignore_error(channel_->send(wire::Stats{kLast}), "seen below");
    reader.join();
    EXPECT_TRUE(alive);
    ignore_error(channel_->send(wire::Shutdown{}), "seen below");
    expect_clean_end();
  }
}

TEST_F(HostileWireTest, MutilatedMessagesEndTheChildCleanly) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_.seed(seed);
    ASSERT_NO_FATAL_FAILURE(start());
    for (std::uint32_t i = below(6); i > 0; --i)
      ignore_error(channel_->send(message()), "seen below");
    ASSERT_TRUE(channel_->flush(platform::Deadline::after(kPatience)).ok());
    auto frame = wire::encode(message());
    ASSERT_TRUE(frame.ok());
    for (std::uint32_t i = 1 + below(8); i > 0; --i)
      (*frame)[below(static_cast<std::uint32_t>(frame->size()))] =
          static_cast<std::byte>(random_());
    if (below(3) == 0) frame->resize(below(static_cast<std::uint32_t>(frame->size())) + 1);
    ignore_error(platform::send_all(raw_.get(), *frame, platform::Deadline::after(kPatience)),
                 "the child may have ended");
    // What is left of a frame that says that it is longer never comes.
    ::shutdown(raw_.get(), SHUT_WR);
    expect_clean_end();
  }
}

}  // namespace
}  // namespace holdfast::backend
