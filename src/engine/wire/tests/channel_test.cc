#include "holdfast/wire/channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "holdfast/platform/socket.h"
#include "samples.h"

namespace holdfast::wire {
namespace {

using platform::Deadline;

struct Ends {
  std::unique_ptr<Channel> ours;
  platform::UniqueFd theirs;
  explicit Ends(const ChannelOptions& options = {}) {
    auto pair = platform::make_socket_pair().value();
    ours = Channel::open(std::move(pair.ours), options).value();
    theirs = std::move(pair.theirs);
  }
};

Deadline soon() { return Deadline::after(std::chrono::milliseconds(50)); }

TEST(Channel, ManySendersKeepTheirOwnOrder) {
  Ends ends;
  auto other = Channel::open(std::move(ends.theirs)).value();
  constexpr std::uint32_t kEach = 500;
  std::vector<std::thread> senders;
  for (std::uint64_t sender = 0; sender < 4; ++sender) {
    senders.emplace_back([&, sender] {
      for (std::uint32_t i = 0; i < kEach; ++i)
        EXPECT_TRUE(ends.ours->send(Started{sender, i, 0}).ok());
    });
  }
  std::uint32_t next[4] = {};
  for (std::uint32_t i = 0; i < 4 * kEach; ++i) {
    const auto m = other->receive(Deadline::after(std::chrono::seconds(20)));
    ASSERT_TRUE(m.ok() && *m);
    const auto& started = std::get<Started>(**m);
    EXPECT_EQ(started.prompt_tokens, next[started.request]++);
  }
  for (auto& s : senders) s.join();
}

TEST(Channel, EndOfStreamAndCutFrames) {
  Ends ends;
  const Bytes frame = encode(sample_submit()).value();
  ASSERT_TRUE(platform::send_all(ends.theirs.get(), frame, Deadline::never()).ok());
  ASSERT_TRUE(
      platform::send_all(ends.theirs.get(), ByteView(frame).first(20), Deadline::never()).ok());
  ends.theirs.reset();
  EXPECT_TRUE(ends.ours->receive()->has_value());
  EXPECT_EQ(ends.ours->receive().error().code(), ErrorCode::kCorrupt);

  Ends clean;
  clean.theirs.reset();
  EXPECT_FALSE(clean.ours->receive()->has_value());
}

TEST(Channel, UnknownSkippableMessageIsSkipped) {
  Ends ends;
  Bytes unknown(kFrameHeaderBytes + 3);
  store_frame_header(unknown.data(), 0x9000, 3);
  ASSERT_TRUE(platform::send_all(ends.theirs.get(), unknown, Deadline::never()).ok());
  ASSERT_TRUE(
      platform::send_all(ends.theirs.get(), encode(Cancel{5}).value(), Deadline::never()).ok());
  EXPECT_TRUE(std::get<Cancel>(**ends.ours->receive()) == Cancel{5});
  store_frame_header(unknown.data(), 0x50, 3);
  ASSERT_TRUE(platform::send_all(ends.theirs.get(), unknown, Deadline::never()).ok());
  EXPECT_EQ(ends.ours->receive().error().code(), ErrorCode::kCorrupt);
}

TEST(Channel, ReceiveHasADeadline) {
  Ends ends;
  EXPECT_EQ(ends.ours->receive(soon()).error().code(), ErrorCode::kDeadline);
}

TEST(Channel, QueueIsBoundedWhenTheReaderStalls) {
  ChannelOptions options;
  options.queued_bytes_max = 1 << 20;
  options.send_timeout = std::chrono::milliseconds(30);
  Ends ends(options);
  const Message large = Rendered{1, std::string(400'000, 'x')};
  int accepted = 0;
  Status last;
  while ((last = ends.ours->send(large)).ok() && accepted < 100) ++accepted;
  EXPECT_EQ(last.error().code(), ErrorCode::kDeadline);
  EXPECT_LE(accepted, 4);  // the queue's megabyte and what the socket took
  EXPECT_EQ(ends.ours->flush(soon()).error().code(), ErrorCode::kDeadline);
}

TEST(Channel, SendingToTheDeadSaysSo) {
  Ends ends;
  ends.theirs.reset();
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    status = ends.ours->send(Stats{1});
    ignore_error(ends.ours->flush(soon()), "the next send reports it");
  }
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), ErrorCode::kUnavailable);
}

TEST(Channel, DestructionSendsWhatIsQueued) {
  Ends ends;
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(ends.ours->send(Rendered{1, std::string(1000, 'x')}).ok());
  ends.ours.reset();
  auto other = Channel::open(std::move(ends.theirs)).value();
  int received = 0;
  while (other->receive()->has_value()) ++received;
  EXPECT_EQ(received, 50);
}

TEST(Channel, ShutDownWakesTheReader) {
  Ends ends;
  std::thread closer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ends.ours->shut_down();
  });
  EXPECT_FALSE(ends.ours->receive()->has_value());
  closer.join();
}

}  // namespace
}  // namespace holdfast::wire
