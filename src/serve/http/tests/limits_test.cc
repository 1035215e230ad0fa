// Limits of connections that are not about time: what a client can make the server hold.
#include <fcntl.h>

#include "server_fixture.h"

namespace holdfast::http {
namespace {

using namespace testing_support;
using namespace std::chrono_literals;

class LimitsTest : public ServerTest {};

TEST_F(LimitsTest, ExhaustionIsNotAnInternalError) {
  start();
  for (const char* path : {"/no-memory", "/no-thread"}) {
    const std::string answer = ask(get(path, "Connection: close\r\n"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 503")) << path;
    EXPECT_THAT(answer, HasSubstr("overloaded")) << path;
  }
  EXPECT_THAT(ask(kGetClose), StartsWith("HTTP/1.1 200"));
}

// Reading stops at the limit, so what a client can pipeline ends with the kernel's buffers. All of
// it is answered once the first request is.
TEST_F(LimitsTest, PipelinedBytesAreBounded) {
  options_.pipelined_bytes_max = 8 * 1024;
  start();
  RawSocket socket = connect();
  socket.send(get("/hold"));
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  const std::string request = get("/p");
  constexpr std::size_t kOffered = 64u << 20;
  std::size_t sent = 0;
  int refused_in_a_row = 0;
  while (sent < kOffered && refused_in_a_row < 20) {
    const std::size_t n = socket.send_now(std::string_view(request).substr(sent % request.size()));
    sent += n;
    refused_in_a_row = n == 0 ? refused_in_a_row + 1 : 0;
    if (n == 0) std::this_thread::sleep_for(5ms);
  }
  EXPECT_LT(sent, kOffered);
  EXPECT_EQ(calls_, 1);
  on_loop([&] { std::exchange(held_, nullptr)->send({200, {}, "first"}); });
  const int whole = static_cast<int>(sent / request.size());
  std::thread reader([&] { socket.read("never", 20'000); });
  EXPECT_TRUE(eventually([&] { return calls_ == 1 + whole; }, 20s)) << calls_ << " of " << whole;
  on_loop([&] { server_->close_all(); });
  reader.join();
}

// Several writes of one turn leave together and in order, however much the reader lags.
TEST_F(LimitsTest, ManyWritesOfOneTurnArriveInOrder) {
  start();
  RawSocket socket(address_, 2048);
  socket.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  std::string expected;
  on_loop([&] {
    for (int i = 0; i < 5000; ++i) {
      const std::string part = std::to_string(i) + ";";
      held_->write(part);
      expected += part;
    }
    std::exchange(held_, nullptr)->finish();
  });
  const std::string answer = socket.read("0\r\n\r\n");
  std::string body;
  std::size_t at = answer.find("\r\n\r\n") + 4;
  while (at < answer.size()) {
    const std::size_t line = answer.find("\r\n", at);
    const std::size_t size = std::stoul(answer.substr(at, line - at), nullptr, 16);
    if (size == 0) break;
    body += answer.substr(line + 2, size);
    at = line + 2 + size + 2;
  }
  EXPECT_EQ(body, expected);
}

}  // namespace
}  // namespace holdfast::http
