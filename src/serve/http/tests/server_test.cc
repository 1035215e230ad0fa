#include "holdfast/http/server.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "server_fixture.h"

namespace holdfast::http {
namespace {

using namespace testing_support;
using namespace std::chrono_literals;

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  start();
  RawSocket socket = connect();
  for (int i = 0; i < 3; ++i) {
    socket.send(kGet);
    const std::string answer = socket.read("GET /echo ");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(answer, HasSubstr("x-request-id: req_"));
    EXPECT_THAT(answer, HasSubstr("Content-Length: 10\r\n"));
    EXPECT_THAT(answer, Not(HasSubstr("Connection: close")));
  }
  socket.send(kGetClose);
  EXPECT_THAT(socket.read(), HasSubstr("Connection: close"));
  EXPECT_TRUE(socket.closed());
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  std::string text;
  for (int i = 0; i < 50; ++i) text += get("/p" + std::to_string(i));
  const std::string answer = ask(text + kGetClose);
  std::size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = answer.find("GET /p" + std::to_string(i) + " ", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_EQ(calls_, 51);
}

TEST_F(ServerTest, PipelinedRequestWaitsForTheFirst) {
  start();
  RawSocket socket = connect();
  socket.send(get("/hold") + kGetClose);
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  std::this_thread::sleep_for(30ms);
  EXPECT_EQ(calls_, 1);
  on_loop([&] { std::exchange(held_, nullptr)->send({200, {}, "first"}); });
  const std::string answer = socket.read();
  EXPECT_LT(answer.find("first"), answer.find("GET /echo"));
}

TEST_F(ServerTest, RequestIdIsEchoedOnlyWhenWellFormed) {
  start();
  EXPECT_THAT(ask(get("/", "x-request-id: a.b_C-9\r\nConnection: close\r\n")),
              HasSubstr("x-request-id: a.b_C-9\r\n"));
  EXPECT_THAT(ask(get("/", "x-request-id: a b\r\nConnection: close\r\n")),
              HasSubstr("x-request-id: req_"));
  EXPECT_THAT(ask(get("/", "x-request-id: " + std::string(129, 'a') + "\r\nConnection: close\r\n")),
              HasSubstr("x-request-id: req_"));
}

TEST_F(ServerTest, HostMustBeOurs) {
  options_.access.hosts = {"box.example"};
  start();
  const auto with_host = [&](std::string_view host) {
    return ask("GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\nConnection: close\r\n\r\n")
        .substr(9, 3);
  };
  for (const char* host :
       {"localhost", "LOCALHOST:99", "127.0.0.1", "127.0.0.1:80", "[::1]:80", "Box.Example:1"}) {
    EXPECT_EQ(with_host(host), "200") << host;
  }
  for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                           "127.evil.example", "", "10.0.0.1", "box.example.org"}) {
    EXPECT_EQ(with_host(host), "421") << host;
  }
}

TEST_F(ServerTest, OriginAndPreflight) {
  options_.access.cors_origins = {"https://ok.example"};
  options_.access.cors_allow_headers = "Authorization";
  options_.access.cors_expose_headers = "x-request-id";
  start();
  EXPECT_THAT(ask(get("/", "Origin: https://evil.example\r\n")), StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(ask(get("/", "Origin: null\r\n")), HasSubstr("origin_not_allowed"));
  EXPECT_EQ(calls_, 0);
  const std::string good = ask(get("/", "Origin: https://ok.example\r\nConnection: close\r\n"));
  EXPECT_THAT(good, HasSubstr("Access-Control-Allow-Origin: https://ok.example\r\n"));
  EXPECT_THAT(good, HasSubstr("Vary: Origin\r\n"));
  const std::string preflight =
      ask("OPTIONS /x HTTP/1.1\r\nHost: localhost\r\nOrigin: https://ok.example\r\nConnection: "
          "close\r\n"
          "Access-Control-Request-Method: POST\r\n\r\n");
  EXPECT_THAT(preflight, StartsWith("HTTP/1.1 204"));
  EXPECT_THAT(preflight, HasSubstr("Access-Control-Allow-Headers: Authorization\r\n"));
  EXPECT_THAT(preflight, HasSubstr("Access-Control-Max-Age: 600\r\n"));
}

TEST_F(ServerTest, BadRequestsCloseTheConnection) {
  start();
  EXPECT_THAT(ask("GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n"),
              HasSubstr("Connection: close"));
  EXPECT_THAT(ask(get("/" + std::string(9000, 'a'))), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(ask(get("/", "Expect: tea\r\n")), StartsWith("HTTP/1.1 417"));
}

TEST_F(ServerTest, ErrorOfATooLargeBodyReachesAClientThatKeepsSending) {
  options_.limits.body_bytes_max = 1000;
  start();
  RawSocket socket = connect();
  socket.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n");
  for (int i = 0; i < 50; ++i) socket.send(std::string(20000, 'x'));
  EXPECT_THAT(socket.read("request_too_large"), HasSubstr("HTTP/1.1 413"));
  EXPECT_FALSE(socket.was_reset());
}

TEST_F(ServerTest, ExpectContinue) {
  start();
  RawSocket socket = connect();
  socket.send(
      "POST /e HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(socket.read("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.send("hi");
  EXPECT_THAT(socket.read("POST /e hi"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, HeadHasNoBody) {
  start();
  const std::string answer = ask("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_EQ(answer.substr(answer.find("\r\n\r\n")), "\r\n\r\n");
}

TEST_F(ServerTest, DroppedAndThrowingHandlersAre500) {
  start();
  EXPECT_THAT(ask(get("/drop", "Connection: close\r\n")), StartsWith("HTTP/1.1 500"));
  const std::string thrown = ask(get("/throw", "Connection: close\r\n"));
  EXPECT_THAT(thrown, StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(thrown, Not(HasSubstr("secret")));
}

TEST_F(ServerTest, SlowHeadersAreClosedAtTheDeadline) {
  options_.header_timeout = 200ms;
  start();
  RawSocket socket = connect();
  const auto begin = Clock::now();
  std::thread dribble([&] {
    for (const char c : std::string(
             "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")) {
      if (!socket.send({&c, 1})) break;
      std::this_thread::sleep_for(10ms);
    }
  });
  EXPECT_THAT(socket.read(), StartsWith("HTTP/1.1 408"));
  EXPECT_GE(Clock::now() - begin, 190ms);
  EXPECT_LT(Clock::now() - begin, 2s);
  dribble.join();
  // A connection that says nothing is closed too, in silence.
  RawSocket idle = connect();
  EXPECT_EQ(idle.read(), "");
  EXPECT_TRUE(idle.closed());
}

TEST_F(ServerTest, SlowBodiesAreClosedByRateAndByDeadline) {
  options_.body_grace = 100ms;
  options_.body_timeout = 400ms;
  options_.body_bytes_per_second_min = 1000;
  options_.linger_timeout = 50ms;
  start();
  const std::string head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n";
  RawSocket slow = connect();
  auto begin = Clock::now();
  slow.send(head + "x");
  EXPECT_THAT(slow.read(), StartsWith("HTTP/1.1 408"));
  EXPECT_LT(Clock::now() - begin, 390ms);  // before the deadline
  // Fast enough, but too long.
  RawSocket steady = connect();
  begin = Clock::now();
  steady.send(head);
  std::thread feeder([&] {
    for (int i = 0; i < 100 && steady.send(std::string(200, 'x')); ++i)
      std::this_thread::sleep_for(10ms);
  });
  EXPECT_THAT(steady.read("408"), StartsWith("HTTP/1.1 408"));
  EXPECT_GE(Clock::now() - begin, 390ms);
  feeder.join();
}

TEST_F(ServerTest, IdleConnectionsEnd) {
  options_.idle_timeout = 100ms;
  start();
  RawSocket socket = connect();
  socket.send(kGet);
  socket.read("GET /echo ");
  const auto begin = Clock::now();
  EXPECT_EQ(socket.read(), "");
  EXPECT_TRUE(socket.closed());
  EXPECT_LT(Clock::now() - begin, 2s);
}

TEST_F(ServerTest, ConnectionsAboveTheLimitGet503ThenTheBacklog) {
  options_.connections_max = 3;
  options_.reserve_connections = 2;
  options_.linger_timeout = 300ms;
  start();
  std::vector<RawSocket> good;
  for (int i = 0; i < 3; ++i) {
    good.push_back(connect());
    good.back().send(kGet);
    EXPECT_THAT(good.back().read("GET /echo "), HasSubstr("200 OK"));
  }
  RawSocket over = connect();
  over.send(kGet);
  EXPECT_THAT(over.read("overloaded"), StartsWith("HTTP/1.1 503"));
  good.pop_back();
  over.close();
  EXPECT_TRUE(eventually([&] {
    RawSocket again = connect();
    again.send(kGet);
    return again.read("\r\n\r\n").substr(9, 3) == "200";
  }));
}

TEST_F(ServerTest, BodiesHeldTogetherHaveALimit) {
  options_.body_bytes_total_max = 1000;
  start();
  const std::string head = "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 600\r\n\r\n";
  RawSocket first = connect();
  first.send(head + std::string(590, 'x'));
  std::this_thread::sleep_for(50ms);
  RawSocket second = connect();
  second.send(head + std::string(600, 'x'));
  EXPECT_THAT(second.read("overloaded"), StartsWith("HTTP/1.1 503"));
  first.send(std::string(10, 'x'));
  EXPECT_THAT(first.read("\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(eventually(
      [&] { return ask(head + std::string(600, 'x') + kGetClose).substr(9, 3) == "200"; }));
}

TEST_F(ServerTest, StreamsChunkedAndForOldClientsUntilClose) {
  start();
  RawSocket socket = connect();
  socket.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  on_loop([&] {
    held_->write("data: 1\n\n");
    held_->write("data: 22222222\n\n");
    std::exchange(held_, nullptr)->finish();
  });
  const std::string answer = socket.read("0\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Transfer-Encoding: chunked"));
  EXPECT_THAT(answer, HasSubstr("9\r\ndata: 1\n\n\r\n10\r\ndata: 22222222\n\n\r\n0\r\n\r\n"));
  holding_ = false;
  RawSocket old = connect();
  old.send("GET /stream HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  on_loop([&] {
    held_->write("abc");
    std::exchange(held_, nullptr)->finish();
  });
  const std::string plain = old.read();
  EXPECT_THAT(plain, HasSubstr("\r\n\r\nabc"));
  EXPECT_THAT(plain, Not(HasSubstr("chunked")));
}

// What waits unread in the kernel would make the close a reset, which takes the end of the answer
// with it.
TEST_F(ServerTest, EndAfterAnErrorReachesAClientThatHasSentMore) {
  start();
  RawSocket socket = connect();
  socket.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  std::string more;
  while (more.size() < 8 * options_.pipelined_bytes_max) more += kGet;
  EXPECT_GT(socket.send_now(more), 2 * options_.pipelined_bytes_max);
  on_loop([&] {
    held_->write("data: error\n\n");
    std::exchange(held_, nullptr)->finish_and_close();
  });
  std::this_thread::sleep_for(20ms);
  EXPECT_TRUE(socket.send(kGet));
  EXPECT_THAT(socket.read(), HasSubstr("data: error\n\n\r\n0\r\n\r\n"));
  EXPECT_TRUE(socket.closed());
  EXPECT_FALSE(socket.was_reset());
  EXPECT_EQ(calls_, 1);
}

TEST_F(ServerTest, AbortResetsTheConnection) {
  start();
  RawSocket socket = connect();
  socket.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  on_loop([&] { std::exchange(held_, nullptr)->abort(); });
  EXPECT_THAT(socket.read(), Not(HasSubstr("0\r\n\r\n")));
  EXPECT_TRUE(socket.was_reset());
}

// The disconnect must be seen within 100 ms whether the answer has started, and over both kinds of
// socket.
TEST_F(ServerTest, ClosedClientIsNoticed) {
  start();
  const std::string path = testing::TempDir() + std::to_string(getpid()) + "hf_http_gone.sock";
  ASSERT_TRUE(server_->listen_unix(path).ok());
  for (const std::string& address : {address_, path}) {
    for (const char* target : {"/hold", "/stream"}) {
      holding_ = gone_ = false;
      RawSocket socket(address);
      socket.send(get(target));
      ASSERT_TRUE(eventually([&] { return holding_.load(); }));
      const auto begin = Clock::now();
      socket.close();
      ASSERT_TRUE(eventually([&] { return gone_.load(); })) << address << target;
      // 100 ms is promised; the rest is for a busy machine, which a timer of 15 s would still
      // exceed.
      EXPECT_LT(gone_at_ - begin, 500ms) << address << target;
      EXPECT_EQ(reason_, Disconnect::kPeerGone);
      on_loop([&] { held_.reset(); });
    }
  }
}

TEST_F(ServerTest, HalfCloseIsNotADisconnect) {
  start();
  const std::string path = testing::TempDir() + std::to_string(getpid()) + "hf_http_half.sock";
  ASSERT_TRUE(server_->listen_unix(path).ok());
  for (const std::string& address : {address_, path}) {
    for (const char* target : {"/hold", "/stream"}) {
      holding_ = false;
      RawSocket socket(address);
      socket.send(get(target));
      ASSERT_TRUE(eventually([&] { return holding_.load(); }));
      socket.half_close();
      std::this_thread::sleep_for(200ms);
      EXPECT_FALSE(gone_.load()) << address << target;
      on_loop([&] {
        if (held_->stream_started()) {
          held_->write("tail");
          std::exchange(held_, nullptr)->finish();
        } else {
          std::exchange(held_, nullptr)->send({200, {}, "tail"});
        }
      });
      EXPECT_THAT(socket.read(), HasSubstr("tail"));
      EXPECT_TRUE(socket.closed());
    }
  }
}

TEST_F(ServerTest, WriterKnowsWhenToHoldBack) {
  options_.stall_timeout = 10s;
  start();
  RawSocket socket(address_, 2048);
  socket.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  const std::string block(8 * 1024, 'x');
  std::size_t sent = 0;
  on_loop([&] {
    for (int i = 0; i < 1000 && held_->writable(); ++i, sent += block.size()) held_->write(block);
    EXPECT_FALSE(held_->writable());
    EXPECT_LE(held_->unsent_bytes(), 256u * 1024);
  });
  EXPECT_LT(sent, 1024u * 1024);  // the cap and the kernel's buffers, no more
  std::thread reader([&] { socket.read("0\r\n\r\n"); });
  EXPECT_TRUE(eventually([&] { return drains_.load() == 1; }));
  on_loop([&] { std::exchange(held_, nullptr)->finish(); });
  reader.join();
  EXPECT_FALSE(gone_.load());
}

TEST_F(ServerTest, OverflowAndStalledReadersAreDropped) {
  options_.stall_timeout = 150ms;
  start();
  RawSocket flood(address_, 2048);
  flood.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  on_loop([&] { held_->write(std::string(1024 * 1024, 'x')); });
  ASSERT_TRUE(eventually([&] { return gone_.load(); }));
  EXPECT_EQ(reason_, Disconnect::kStalled);
  on_loop([&] { held_.reset(); });

  holding_ = gone_ = false;
  RawSocket stalled(address_, 2048);
  stalled.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  const auto begin = Clock::now();
  on_loop([&] {
    while (held_->writable()) held_->write(std::string(8 * 1024, 'x'));
  });
  ASSERT_TRUE(eventually([&] { return gone_.load(); }));
  EXPECT_EQ(reason_, Disconnect::kStalled);
  EXPECT_GE(gone_at_ - begin, 140ms);
}

TEST_F(ServerTest, DrainEndsIdleConnectionsAndFinishesOthers) {
  start();
  RawSocket idle = connect();
  idle.send(kGet);
  idle.read("GET /echo ");
  RawSocket busy = connect();
  busy.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  on_loop([&] { server_->drain(); });
  EXPECT_EQ(idle.read(), "");
  EXPECT_TRUE(idle.closed());
  EXPECT_FALSE(RawSocket(address_).connected());
  on_loop([&] {
    held_->write("last");
    std::exchange(held_, nullptr)->finish();
  });
  EXPECT_THAT(busy.read(), HasSubstr("last"));
  EXPECT_TRUE(busy.closed());
}

// Who ends the program after the last answer was made must know of readers that have not got it
// yet.
TEST_F(ServerTest, AnAnswerIsUnderWayUntilItsReaderHasIt) {
  start();
  const auto answering = [&] {
    std::size_t out = 0;
    on_loop([&] { out = server_->answering(); });
    return out;
  };
  RawSocket idle = connect();
  idle.send(kGet);
  idle.read("GET /echo");
  EXPECT_TRUE(eventually([&] { return answering() == 0; }));
  RawSocket slow(address_, 2048);
  slow.send(get("/stream"));
  ASSERT_TRUE(eventually([&] { return holding_.load(); }));
  on_loop([&] {
    while (held_->writable()) held_->write(std::string(8 * 1024, 'x'));
    std::exchange(held_, nullptr)->finish();
    server_->drain();
  });
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(answering(), 1u);
  EXPECT_THAT(slow.read(), testing::EndsWith("0\r\n\r\n"));
  EXPECT_TRUE(eventually([&] { return answering() == 0; }));
  EXPECT_FALSE(gone_.load());
}

TEST_F(ServerTest, UnixSocketModeStaleAndTaken) {
  start();
  const std::string path = testing::TempDir() + std::to_string(getpid()) + "hf_http_unix.sock";
  std::filesystem::remove(path);
  ASSERT_TRUE(server_->listen_unix(path).ok());
  struct stat facts {};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0660u);
  RawSocket socket(path);
  socket.send("GET / HTTP/1.1\r\nHost: anything.example\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(socket.read(), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(server_->listen_unix(path).error().code(), ErrorCode::kConflict);
  EXPECT_EQ(server_->listen_tcp(address_).error().code(), ErrorCode::kConflict);

  const std::string stale = testing::TempDir() + std::to_string(getpid()) + "hf_http_stale.sock";
  std::filesystem::remove(stale);
  {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    stale.copy(at.sun_path, sizeof at.sun_path - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    close(fd);
  }
  EXPECT_TRUE(server_->listen_unix(stale).ok());
  const std::string file = testing::TempDir() + std::to_string(getpid()) + "hf_http_file.sock";
  std::ofstream(file) << "x";
  EXPECT_EQ(server_->listen_unix(file).error().code(), ErrorCode::kConflict);
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_EQ(server_->listen_unix("/" + std::string(107, 'a')).error().code(),
            ErrorCode::kInvalidArgument);
  for (const char* bad :
       {"", "11435", "nowhere:1", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:"}) {
    EXPECT_EQ(server_->listen_tcp(bad).error().code(), ErrorCode::kInvalidArgument) << bad;
  }
}

TEST_F(ServerTest, EveryRequestIsReportedOnce) {
  start();
  ask(kGet + kGetClose);
  ask("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return completed().size() == 3; }));
  EXPECT_THAT(completed(), testing::UnorderedElementsAre("/echo 200", "/echo 200", " 400"));
}

TEST_F(ServerTest, ManyConnectionsAtOnce) {
  start();
  std::vector<RawSocket> sockets;
  for (int i = 0; i < 200; ++i) {
    sockets.push_back(connect());
    ASSERT_TRUE(sockets.back().connected());
  }
  for (auto& socket : sockets) socket.send(kGetClose);
  for (auto& socket : sockets) EXPECT_THAT(socket.read(), HasSubstr("200 OK"));
}

}  // namespace
}  // namespace holdfast::http
