#include "holdfast/platform/socket.h"

#include <gtest/gtest.h>

#include <thread>

namespace holdfast::platform {
namespace {

Deadline soon() { return Deadline::after(std::chrono::milliseconds(40)); }

TEST(Socket, LargeTransferIsWhole) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair.ok());
  Bytes sent(5'000'000);
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::byte>(i * 31);
  std::thread sender(
      [&] { EXPECT_TRUE(send_all(pair->ours.get(), sent, Deadline::never()).ok()); });
  Bytes received(sent.size());
  EXPECT_TRUE(receive_exact(pair->theirs.get(), received, Deadline::never()).ok());
  sender.join();
  EXPECT_EQ(sent, received);
}

TEST(Socket, DeadlinesEndBothDirections) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair.ok());
  Bytes big(50'000'000);
  EXPECT_EQ(send_all(pair->ours.get(), big, soon()).error().code(), ErrorCode::kDeadline);
  Bytes one(1);
  EXPECT_EQ(receive_exact(pair->ours.get(), one, soon()).error().code(), ErrorCode::kDeadline);
}

TEST(Socket, ClosedOtherEnd) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair.ok());
  ASSERT_TRUE(send_all(pair->theirs.get(), as_bytes_view("abc"), Deadline::never()).ok());
  pair->theirs.reset();
  Bytes four(4);
  EXPECT_EQ(receive_exact(pair->ours.get(), four, soon()).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(receive_exact(pair->ours.get(), four, soon()).error().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(send_all(pair->ours.get(), four, soon()).error().code(), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace holdfast::platform
